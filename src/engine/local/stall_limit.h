// How long a runner may be silent before it counts as wedged, learned from how it behaved.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>

namespace om::engine {

// Remembers the gaps between events in a histogram that forgets: counts are halved now and then.
// A plain value, used from one thread.
class StallLimit {
 public:
  using Duration = std::chrono::nanoseconds;
  StallLimit(Duration floor, Duration first) : floor_(floor), first_(first) {}

  void add(Duration gap);
  // 8 times the 99th percentile, at least the floor; `first` until kEnough gaps were seen.
  Duration limit() const;

 private:
  static constexpr size_t kBuckets = 40;  // The n-th holds gaps up to 1 ms * 2^(n/2).
  static constexpr uint64_t kEnough = 20, kForgetAfter = 2048;

  static Duration bound(size_t bucket);

  Duration floor_, first_;
  std::array<uint32_t, kBuckets> counts_{};
  uint64_t total_ = 0;
};

}  // namespace om::engine
