// How long a part of a prompt may take before silence means a wedge, learned from earlier ones.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>

#include "engine/local/fading_histogram.h"

namespace om::engine {

// What a token costs, by how deep in the context it stands: it attends to all that are before it,
// so that costs grow with the depth, at most in proportion. A plain value, used from one thread.
class PromptPace {
 public:
  using Duration = std::chrono::nanoseconds;

  // So many tokens, the last at this depth, took so long. Few tell more of the overhead than of
  // themselves, and are left out. What took far longer than all before counts as 8 times as much as
  // they did: it is believed if it comes again.
  void add(int64_t tokens, int64_t depth, Duration took);

  // Whether such a part, of which not too little is known, took at most twice that.
  bool is_usual(int64_t tokens, int64_t depth, Duration took) const;

  // 8 times what so many tokens at this depth take at the 99th percentile, at least the floor.
  // `unknown` until kEnough parts were seen, and the most that follows from shallower ones alone.
  Duration limit(int64_t tokens, int64_t depth, Duration floor, Duration unknown) const;

 private:
  static constexpr size_t kDepths = 12;  // The n-th goes up to 1024 * 2^n tokens.
  static constexpr int64_t kTokensMin = 32;
  static constexpr uint64_t kEnough = 8;

  static size_t index_of(int64_t depth);

  struct Costs : FadingHistogram {  // Nanoseconds a token.
    Costs() : FadingHistogram(1e3) {}
  };
  // Of those at least as deep; where they are too few of shallower ones, which cost no less than in
  // proportion to their depth: up to `stretch` times as much.
  struct Known {
    Costs costs;
    double stretch = 1;
  };
  Known known_at(int64_t depth) const;

  std::array<Costs, kDepths> costs_;
};

}  // namespace om::engine
