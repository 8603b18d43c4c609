// How long a part of a prompt may take before silence means a wedge, learned from earlier parts.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>

#include "engine/local/fading_histogram.h"

namespace om::engine {

// The cost of a token by its depth in the context. It attends to all tokens before it, so that
// costs grow with the depth, at most in proportion. A plain value, used from one thread.
class PromptPace {
 public:
  using Duration = std::chrono::nanoseconds;

  // `tokens`, the last one at `depth`, took so long. Fewer than kTokensMin are left out, since they
  // are mostly overhead. A time far beyond all earlier ones counts as 8 times those: it is believed
  // if it comes again.
  void add(int64_t tokens, int64_t depth, Duration took);

  // Whether enough is known of such parts, and this one took at most twice as long as they do.
  bool is_usual(int64_t tokens, int64_t depth, Duration took) const;

  // 8 times the 99th percentile of what `tokens` at `depth` take, at least `floor`. `unknown` until
  // kEnough parts were seen, and at most `unknown` if only shallower ones were.
  Duration limit(int64_t tokens, int64_t depth, Duration floor, Duration unknown) const;

 private:
  static constexpr size_t kDepths = 12;  // The n-th goes up to 1024 * 2^n tokens.
  static constexpr int64_t kTokensMin = 32;
  static constexpr uint64_t kEnough = 8;

  static size_t index_of(int64_t depth);

  struct Costs : FadingHistogram {  // Nanoseconds a token.
    Costs() : FadingHistogram(1e3) {}
  };
  // Costs of parts at least as deep. If these are too few, costs of shallower parts: the deeper one
  // may cost up to `stretch` times as much.
  struct Known {
    Costs costs;
    double stretch = 1;
  };
  Known known_at(int64_t depth) const;

  std::array<Costs, kDepths> costs_;
};

}  // namespace om::engine
