// Makes a model from files, or from another model.
#pragma once

#include "transfer/context.h"
#include "transfer/download_table.h"

namespace om::transfer {

// Uploaded files that only another node has are fetched first, with a pull's statuses. Then
// statuses in order: parsing GGUF | converting model; quantizing X model to Y; verifying
// conversion; using existing layer D | creating new layer D; writing manifest; success.
// invalid_argument: the request (Ollama's texts). not_found: a blob was not uploaded.
// corrupt: a file is not a sound GGUF. unsupported: a helper program is missing.
io::Task<Result<void>> create_model(Context& context, DownloadTable& downloads,
                                    CreateRequest request, ProgressSink sink, io::Call call);

}  // namespace om::transfer
