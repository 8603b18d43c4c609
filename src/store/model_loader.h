// Reads the small layers of a model and the header of its weights.
#pragma once

#include <memory>

#include "store/store.h"

namespace om::store {

inline constexpr uint64_t kTextBytesMax = 16 << 20;  // Of a config, or a layer that is read whole.

// not_found: a layer's blob is missing. corrupt: a layer is not what its type says.
Result<std::shared_ptr<const Model>> read_model(Store& store, io::Filesystem& files,
                                                StoredManifest stored);

}  // namespace om::store
