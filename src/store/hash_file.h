// SHA-256 of a whole file, read on the workers in small pieces.
#pragma once

#include "base/digest.h"
#include "io/world.h"

namespace om::store {

io::Task<Result<Digest>> hash_file(io::World& world, io::Path path);
// Of one that is open; nobody else uses it meanwhile.
io::Task<Result<Digest>> hash_open_file(io::World& world, io::File& file);

}  // namespace om::store
