#include "engine/local/fading_histogram.h"

#include <algorithm>
#include <cmath>

namespace om::engine {

void FadingHistogram::add(double size) {
  const double units = std::max(1.0, size / unit_);
  const auto bucket = static_cast<size_t>(std::ceil(4 * std::log2(units)));
  counts_[std::min(bucket, kBuckets - 1)]++;
  if (++count_ < kForgetAfter) return;
  count_ = 0;
  for (uint32_t& count : counts_) count_ += count /= 2;
}

void FadingHistogram::add(const FadingHistogram& other) {
  for (size_t i = 0; i < kBuckets; i++) counts_[i] += other.counts_[i];
  count_ += other.count_;
}

double FadingHistogram::p99() const {
  if (count_ == 0) return 0;
  const uint64_t above = count_ / 100;  // Sizes that may lie beyond the percentile.
  uint64_t seen = 0;
  size_t bucket = kBuckets;
  while (bucket > 0 && seen + counts_[bucket - 1] <= above) seen += counts_[--bucket];
  return unit_ * std::exp2(static_cast<double>(bucket > 0 ? bucket - 1 : 0) / 4);
}

}  // namespace om::engine
