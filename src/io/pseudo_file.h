// Files of /proc and /sys, which tell no size.
#pragma once

#include <string>

#include "io/filesystem.h"

namespace om::io {

// Reads until the end, `bytes_max` at most. Empty where it cannot be read. Blocks for as long as
// the kernel takes to write the text: on any thread.
std::string read_pseudo_file(Filesystem& files, const Path& path, size_t bytes_max = 256 << 10);

}  // namespace om::io
