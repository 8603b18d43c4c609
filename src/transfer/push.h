// Pushes one model to its registry.
#pragma once

#include "transfer/download_table.h"
#include "transfer/registry.h"
#include "transfer/upload_table.h"

namespace om::transfer {

inline constexpr size_t kPushStreamsMax = 4;  // Layers on their way at once.

// Statuses: retrieving manifest; per layer "pushing <12 hex>"; pushing manifest; success. A layer
// the registry has is not sent; one that came from a model of the same registry is mounted. The
// first layer that fails ends the others. Layers that only other nodes have are fetched first.
io::Task<Result<void>> push_model(Context& context, UploadTable& uploads, DownloadTable& downloads,
                                  RegistryRequest request, ProgressSink sink, io::Call call);

}  // namespace om::transfer
