#include "transfer/replicas/popularity.h"

#include <algorithm>

#include "base/check.h"

namespace om::transfer {

int copies_busy(const cluster::View& view, const Digest& key) {
  int requests = 0, slots = 0;
  for (const cluster::NodeInfo* node : view.nodes_running(key)) {
    if (node->state != cluster::NodeState::ready) continue;
    const cluster::RunnerInfo* runner = node->runner_of(key);
    requests += runner->running + runner->queued;
    slots = std::max(slots, runner->slots);
  }
  return slots == 0 ? 0 : (requests + slots - 1) / slots;
}

std::vector<PopularModel> Popularity::look(const ReplicaInput& input,
                                           const std::vector<std::string>& speakers,
                                           const std::string& self) {
  CHECK(speakers.size() == input.models.size());
  std::vector<PopularModel> told;
  std::map<std::string, Seen> seen;
  for (size_t i = 0; i < speakers.size(); i++) {
    if (speakers[i] != self) continue;
    const ReplicatedModel& model = input.models[i];
    Seen now = seen_[model.key];
    const int extra = std::clamp(copies_busy(input.view, model.runner_key) - model.policy.factor, 0,
                                 model.policy.popular_extra_max);
    now.looks = extra > 0 ? now.looks + 1 : 0;
    const int due = now.looks >= kLooksMin ? extra : 0;
    const bool again = due > 0 && input.now - now.told >= kTellEvery;
    if (due != now.extra || again) {
      told.push_back({model.key, due});
      now.told = input.now;
    }
    now.extra = due;
    seen[model.key] = now;
  }
  seen_ = std::move(seen);
  return told;
}

}  // namespace om::transfer
