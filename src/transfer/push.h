// Brings one model out to its registry.
#pragma once

#include "transfer/registry.h"

namespace om::transfer {

// Statuses: retrieving manifest; per layer "pushing <12 hex>"; pushing manifest; success. A layer
// the registry has is not sent; one that came from a model of the same registry is mounted.
io::Task<Result<void>> push_model(Context& context, RegistryRequest request, ProgressSink sink,
                                  io::Call call);

}  // namespace om::transfer
