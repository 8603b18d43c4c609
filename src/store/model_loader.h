// Reads the small layers of a model and the header of its weights.
#pragma once

#include <memory>

#include "store/store.h"

namespace om::store {

inline constexpr uint64_t kTextBytesMax = 16 << 20;   // Of a config, or a layer that is read whole.
inline constexpr uint64_t kTextsBytesMax = 64 << 20;  // Of all such layers of a model.
inline constexpr size_t kLayersReadMax = 1000;        // Of a model, with files beside the weights.

// not_found: a layer's blob is missing. corrupt: a layer is not what its type says, or there is
// more to read than the limits allow.
Result<std::shared_ptr<const Model>> read_model(Store& store, io::Filesystem& files,
                                                StoredManifest stored);

}  // namespace om::store
