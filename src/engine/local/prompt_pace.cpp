#include "engine/local/prompt_pace.h"

#include <algorithm>
#include <bit>

namespace om::engine {
namespace {

constexpr double kLongest = 1e16;  // Nanoseconds: 4 months.

}  // namespace

size_t PromptPace::index_of(int64_t depth) {
  const auto above = static_cast<uint64_t>(std::max<int64_t>(0, depth - 1)) >> 10;
  return std::min<size_t>(static_cast<size_t>(std::bit_width(above)), kDepths - 1);
}

void PromptPace::add(int64_t tokens, int64_t depth, Duration took) {
  if (tokens < kTokensMin || took.count() <= 0) return;
  auto cost = static_cast<double>(took.count()) / static_cast<double>(tokens);
  const Known known = known_at(depth);
  if (known.costs.count() >= kEnough) cost = std::min(cost, 8 * known.costs.p99() * known.stretch);
  costs_[index_of(depth)].add(cost);
}

PromptPace::Known PromptPace::known_at(int64_t depth) const {
  Known known;
  size_t index = kDepths;
  const size_t wanted = index_of(depth);
  while (index > wanted) known.costs.add(costs_[--index]);
  while (index > 0 && known.costs.count() < kEnough) {
    known.costs.add(costs_[--index]);
    known.stretch *= 2;
  }
  return known;
}

bool PromptPace::is_usual(int64_t tokens, int64_t depth, Duration took) const {
  if (tokens < kTokensMin) return false;
  const Known known = known_at(depth);
  return known.costs.count() >= kEnough &&
         static_cast<double>(took.count()) <=
             2 * known.costs.p99() * known.stretch * static_cast<double>(tokens);
}

PromptPace::Duration PromptPace::limit(int64_t tokens, int64_t depth, Duration floor,
                                       Duration unknown) const {
  const auto [costs, stretch] = known_at(depth);
  if (costs.count() < kEnough) return std::max(floor, unknown);
  const double seen = 8 * costs.p99() * static_cast<double>(std::max<int64_t>(1, tokens));
  double limit = seen * stretch;
  if (stretch > 1) limit = std::min(limit, std::max(seen, static_cast<double>(unknown.count())));
  return std::max(floor, Duration(static_cast<int64_t>(std::min(limit, kLongest))));
}

}  // namespace om::engine
