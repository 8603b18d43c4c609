#include "scheduler/model_entry.h"

#include <algorithm>
#include <cmath>

namespace om::scheduler {
namespace {

double faded(double uses, io::Duration age) {
  const double half_lives =
      std::chrono::duration<double>(age) / std::chrono::duration<double>(kUseHalfLife);
  return uses * std::exp2(-half_lives);
}

}  // namespace

ModelKey ModelKey::of(const Target& target) {
  return {target.weights, target.adapter_paths, target.projector_paths, target.draft_path};
}

void ModelEntry::add_use(io::TimePoint now) {
  uses = faded(uses, now - uses_at) + 1;
  uses_at = now;
}

double ModelEntry::value(io::TimePoint now) const {
  return load_cost_seconds * faded(uses, now - uses_at);
}

Waiter* ModelEntry::head() const {
  const auto first =
      std::ranges::min_element(waiters, {}, [](const Waiter* waiter) { return rank_of(*waiter); });
  return first == waiters.end() ? nullptr : *first;
}

}  // namespace om::scheduler
