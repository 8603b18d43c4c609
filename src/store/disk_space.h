// Says plainly that a disk is full.
#pragma once

#include <string_view>

#include "io/filesystem.h"

namespace om::store {

// "1.5 GB", "720 MB", as people read sizes (powers of ten, like Ollama).
std::string human_bytes(uint64_t bytes);

// io_failed "not enough disk space in DIR: 4.1 GB needed, 720 MB free" if `needed` does not fit.
Result<void> require_space(io::Filesystem& files, const io::Path& directory, uint64_t needed);

// The same text if a write failed with so little space left, else the error as it is.
Error explain_write_error(io::Filesystem& files, const io::Path& directory, Error error,
                          uint64_t needed);

}  // namespace om::store
