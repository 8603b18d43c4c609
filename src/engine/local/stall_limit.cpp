#include "engine/local/stall_limit.h"

#include <algorithm>

namespace om::engine {

void StallLimit::add(Duration gap) {
  auto size = static_cast<double>(gap.count());
  if (gaps_.count() >= kEnough) size = std::min(size, 8 * gaps_.p99());
  gaps_.add(size);
}

StallLimit::Duration StallLimit::limit() const {
  if (gaps_.count() < kEnough) return first_;
  return std::max(floor_, Duration(static_cast<int64_t>(8 * gaps_.p99())));
}

}  // namespace om::engine
