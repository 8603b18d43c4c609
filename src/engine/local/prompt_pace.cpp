#include "engine/local/prompt_pace.h"

#include <algorithm>
#include <bit>

namespace om::engine {
namespace {

constexpr double kLongest = 1e18;  // Nanoseconds: 30 years.

}  // namespace

size_t PromptPace::index_of(int64_t depth) {
  const auto above = static_cast<uint64_t>(std::max<int64_t>(0, depth - 1)) >> 10;
  return std::min<size_t>(static_cast<size_t>(std::bit_width(above)), kDepths - 1);
}

void PromptPace::add(int64_t tokens, int64_t depth, Duration took) {
  if (tokens < kTokensMin || took.count() <= 0) return;
  costs_[index_of(depth)].add(static_cast<double>(took.count()) / static_cast<double>(tokens));
}

PromptPace::Duration PromptPace::limit(int64_t tokens, int64_t depth, Duration floor,
                                       Duration unknown) const {
  // Deeper ones cost no less.
  Costs costs;
  size_t index = kDepths;
  const size_t wanted = index_of(depth);
  while (index > wanted) costs.add(costs_[--index]);
  // Shallower ones cost no less than in proportion to their depth.
  double stretch = 1;
  while (index > 0 && costs.count() < kEnough) {
    costs.add(costs_[--index]);
    stretch *= 2;
  }
  if (costs.count() < kEnough) return std::max(floor, unknown);
  const double seen = 8 * costs.p99() * static_cast<double>(std::max<int64_t>(1, tokens));
  double limit = seen * stretch;
  if (stretch > 1) limit = std::min(limit, std::max(seen, static_cast<double>(unknown.count())));
  return std::max(floor, Duration(static_cast<int64_t>(std::min(limit, kLongest))));
}

}  // namespace om::engine
