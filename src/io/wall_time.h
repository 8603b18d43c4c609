// Times of day as text and as numbers.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "io/task.h"

namespace om::io {

// RFC 3339 with an offset or Z; beyond the ends of WallTime (year 1677 to 2262): the nearest one
// that it has. Nothing: no such time. Fractions of a second do not count.
std::optional<WallTime> parse_rfc3339(std::string_view text);

int64_t unix_seconds(WallTime time);  // Whole ones since 1970.

}  // namespace om::io
