// How long a runner may be silent before it counts as wedged, learned from its earlier silences.
#pragma once

#include <chrono>
#include <cstdint>

#include "engine/local/fading_histogram.h"

namespace om::engine {

// Remembers the gaps between events. A plain value, used from one thread.
class StallLimit {
 public:
  using Duration = std::chrono::nanoseconds;
  StallLimit(Duration floor, Duration first) : floor_(floor), first_(first) {}

  // Once enough gaps are known, one far beyond them counts as 8 times their 99th percentile: it is
  // believed if it comes again.
  void add(Duration gap);
  // 8 times the 99th percentile, at least the floor; `first` until kEnough gaps were seen.
  Duration limit() const;

 private:
  static constexpr uint64_t kEnough = 20;

  Duration floor_, first_;
  FadingHistogram gaps_{1e6};
};

}  // namespace om::engine
