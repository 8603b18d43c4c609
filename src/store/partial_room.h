// Room for a download on a disk that others fill, too.
#pragma once

#include "store/disk_space.h"
#include "store/layout.h"

namespace om::store {

// A download that broke off and was not gone on with for so long makes room for others; where
// none is needed it stays for kPartialAgeMax.
inline constexpr std::chrono::hours kGivenUpAge{1};

// Sees that `needed` bytes fit, and promises them. Where they do not fit, downloads that nobody
// goes on with are dropped, the oldest first, but only if that helps. On a worker; the caller holds
// lock_store(). Errors as require_space(), which says also what such downloads hold.
Result<Promise> promise_room(io::Filesystem& files, const Layout& layout, io::WallTime now,
                             uint64_t needed, Promise::Total promised);

}  // namespace om::store
