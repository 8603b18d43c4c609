// The read that a change begins with.
#pragma once

#include "io/clock.h"
#include "metadata/metadata.h"

namespace om::metadata {

// get(), repeated without a majority until an election would be over: get() alone gives up sooner
// than a change does. Errors as of get().
io::Task<Result<std::optional<Entry>>> read_to_change(io::Clock& clock, Metadata& metadata,
                                                      std::string key, io::Call call);

}  // namespace om::metadata
