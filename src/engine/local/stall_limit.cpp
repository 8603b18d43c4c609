#include "engine/local/stall_limit.h"

#include <algorithm>

namespace om::engine {

StallLimit::Duration StallLimit::limit() const {
  if (gaps_.count() < kEnough) return first_;
  return std::max(floor_, Duration(static_cast<int64_t>(8 * gaps_.p99())));
}

}  // namespace om::engine
