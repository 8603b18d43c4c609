// Brings one model in from its registry.
#pragma once

#include "transfer/context.h"
#include "transfer/download_table.h"

namespace om::transfer {

// Statuses: pulling manifest; per layer "pulling <12 hex>"; verifying sha256 digest; writing
// manifest; removing unused layers (if there are any); success. The manifest is written only when
// every blob it names is in the store. Errors begin "pull model manifest: " until that has arrived.
io::Task<Result<void>> pull_model(Context& context, DownloadTable& downloads,
                                  RegistryRequest request, ProgressSink sink, io::Call call);

}  // namespace om::transfer
