#include "engine/local/stall_limit.h"

#include <algorithm>
#include <cmath>

namespace om::engine {

StallLimit::Duration StallLimit::bound(size_t bucket) {
  return Duration(static_cast<int64_t>(1e6 * std::exp2(static_cast<double>(bucket) / 2)));
}

void StallLimit::add(Duration gap) {
  const double ms = std::max(1.0, static_cast<double>(gap.count()) / 1e6);
  const auto bucket = static_cast<size_t>(std::ceil(2 * std::log2(ms)));
  counts_[std::min(bucket, kBuckets - 1)]++;
  if (++total_ < kForgetAfter) return;
  total_ = 0;
  for (uint32_t& count : counts_) total_ += count /= 2;
}

StallLimit::Duration StallLimit::limit() const {
  if (total_ < kEnough) return first_;
  const uint64_t above = total_ / 100;  // Gaps that may lie beyond the percentile.
  uint64_t seen = 0;
  size_t bucket = kBuckets;
  while (bucket > 0 && seen + counts_[bucket - 1] <= above) seen += counts_[--bucket];
  return std::max(floor_, 8 * bound(bucket > 0 ? bucket - 1 : 0));
}

}  // namespace om::engine
