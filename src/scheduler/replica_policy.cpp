#include "scheduler/replica_policy.h"

#include <algorithm>
#include <cmath>

#include "base/rendezvous.h"

namespace om::scheduler {
namespace {

constexpr std::chrono::minutes kHalfLife{1};
// What is told is rounded to steps of a twentieth: not to be taken for news.
constexpr double kToldInSteps = 1.05;

struct Usage {
  size_t runners = 0, loading = 0;
  int slots = 0, slots_of_one = 0, running = 0, queued = 0;
};

Usage usage_of(const ClusterIndex& cluster, const Digest& key) {
  Usage usage;
  for (NodeNumber number : cluster.with_runner(key)) {
    const cluster::RunnerInfo* runner = cluster.node(number).runner_of(key);
    if (runner == nullptr) continue;
    usage.runners++;
    usage.loading += runner->loading ? 1 : 0;
    usage.slots += runner->slots;
    usage.slots_of_one = std::max(usage.slots_of_one, runner->slots);
    usage.running += runner->running;
    usage.queued += runner->queued;
  }
  return usage;
}

// Follows what became of the last change, and of what there was.
void observe(ReplicaState& state, const Usage& usage, bool exposed, const ReplicaOptions& options,
             io::TimePoint now) {
  const bool more = !state.runners_before || usage.runners > *state.runners_before;
  if (usage.loading == 0 && more) state.runners_before.reset();
  const bool lost = usage.runners < state.runners;
  state.runners = usage.runners;
  if (!exposed) {
    state.exposed_since = io::kNever;
  } else {
    state.exposed_since = std::min(state.exposed_since, lost ? now - options.standby_after : now);
  }
}

bool is_pressed(const Usage& usage, const cluster::ModelDemand& demand,
                const ReplicaOptions& options) {
  const bool busy = usage.queued > 0 && usage.running >= options.busy_high * usage.slots;
  if (busy) return true;
  if (demand.requests < options.requests_min) return false;
  return demand.wait_seconds > options.wait_seconds * demand.requests ||
         demand.lost_hits > options.lost_hits;
}

// Waits of before ask for no further runner.
cluster::ModelDemand demand_since(const ReplicaState& state, cluster::ModelDemand demand,
                                  io::TimePoint now) {
  const double left = kToldInSteps * ModelPressure::left_after(now - state.before_at);
  const auto subtract = [left](double& value, double before) {
    value = std::max(0.0, value - before * left);
  };
  subtract(demand.requests, state.before.requests);
  subtract(demand.wait_seconds, state.before.wait_seconds);
  subtract(demand.lost_hits, state.before.lost_hits);
  return demand;
}

bool is_idle(const Usage& usage, const ReplicaOptions& options) {
  const int slots_then = usage.slots - usage.slots_of_one;
  return usage.queued == 0 && usage.running <= options.busy_low * slots_then;
}

// The most room that is left afterwards; nodes that have the weights before others.
std::optional<ReplicaChange> find_growth(const ClusterIndex& cluster, const ReplicaTarget& target) {
  std::optional<ReplicaChange> best;
  uint64_t best_room = 0;
  for (NodeNumber number : cluster.all()) {
    const cluster::NodeInfo& node = cluster.node(number);
    if (node.state != cluster::NodeState::ready || node.runner_of(target.key()) != nullptr) {
      continue;
    }
    const uint64_t room = room_of(node);
    if (room < target.load_bytes) continue;
    const bool stage = !node.has_blob(target.weights);
    if (stage && node.disk_free < target.load_bytes) continue;
    const bool better = !best || std::tuple(!stage, room, node.name) >
                                     std::tuple(!best->stage_files, best_room, best->node);
    if (!better) continue;
    best = ReplicaChange{ReplicaChange::Kind::grow, node.name, stage};
    best_room = room;
  }
  return best;
}

// An idle runner, on the node that has the least room: others need it most there.
std::optional<ReplicaChange> find_shrinking(const ClusterIndex& cluster,
                                            const ReplicaTarget& target) {
  std::optional<ReplicaChange> best;
  uint64_t best_room = 0;
  for (NodeNumber number : cluster.with_runner(target.key())) {
    const cluster::NodeInfo& node = cluster.node(number);
    const cluster::RunnerInfo* runner = node.runner_of(target.key());
    if (runner == nullptr || runner->pinned || runner->loading) continue;
    if (runner->running + runner->queued > 0) continue;
    const uint64_t room = room_of(node);
    if (best && std::tie(room, node.name) >= std::tie(best_room, best->node)) continue;
    best = ReplicaChange{ReplicaChange::Kind::shrink, node.name};
    best_room = room;
  }
  return best;
}

}  // namespace

double ModelPressure::left_after(io::Duration passed) {
  const double half_lives = std::chrono::duration<double>(passed) / kHalfLife;
  return std::exp2(-std::max(0.0, half_lives));
}

double ModelPressure::now_of(const Faded& faded, io::TimePoint now) {
  return faded.value * left_after(now - faded.at);
}

void ModelPressure::add(Faded& faded, double amount, io::TimePoint now) {
  faded = {now_of(faded, now) + amount, now};
}

void ModelPressure::add_request(io::Duration waited, io::TimePoint now) {
  add(requests_, 1, now);
  add(waits_, std::chrono::duration<double>(waited).count(), now);
}

cluster::ModelDemand ModelPressure::at(io::TimePoint now) const {
  return {.requests = now_of(requests_, now),
          .wait_seconds = now_of(waits_, now),
          .lost_hits = now_of(lost_hits_, now)};
}

cluster::ModelDemand demand_of(const ClusterIndex& cluster, const Digest& key) {
  cluster::ModelDemand sum{.key = key};
  for (NodeNumber number : cluster.all()) {
    for (const cluster::ModelDemand& demand : cluster.node(number).demand) {
      if (demand.key != key) continue;
      sum.requests += demand.requests;
      sum.wait_seconds += demand.wait_seconds;
      sum.lost_hits += demand.lost_hits;
    }
  }
  return sum;
}

std::optional<ReplicaChange> decide_replicas(const ClusterIndex& cluster,
                                             const ReplicaTarget& target,
                                             const cluster::ModelDemand& demand,
                                             ReplicaState& state, const ReplicaOptions& options,
                                             io::TimePoint now) {
  const Usage usage = usage_of(cluster, target.key());
  const size_t standby_min = usage.running + usage.queued > 0 ? 1 + options.standby : 1;
  const bool exposed = usage.runners > 0 && usage.runners < standby_min;
  observe(state, usage, exposed, options, now);
  const bool pressed =
      usage.runners > 0 && is_pressed(usage, demand_since(state, demand, now), options);
  const bool idle = usage.runners > std::max(standby_min, target.runners_min) && !pressed &&
                    is_idle(usage, options);
  state.pressed_since = pressed ? std::min(state.pressed_since, now) : io::kNever;
  state.idle_since = idle ? std::min(state.idle_since, now) : io::kNever;
  if (usage.loading > 0) {  // The last change has not shown its effect.
    state.before = demand;
    state.before_at = now;
    return std::nullopt;
  }
  const bool too_few = usage.runners < target.runners_min ||
                       (exposed && now - state.exposed_since >= options.standby_after);
  const bool rests = state.changed != io::TimePoint{} && now - state.changed < options.rest;
  if (rests && !(too_few && !state.runners_before)) return std::nullopt;

  std::optional<ReplicaChange> change;
  if (too_few || (pressed && now - state.pressed_since >= options.grow_after)) {
    if (usage.runners < options.runners_max) change = find_growth(cluster, target);
  } else if (idle && now - state.idle_since >= options.shrink_after) {
    change = find_shrinking(cluster, target);
  }
  if (change) {
    state = ReplicaState{.changed = now,
                         .runners = usage.runners,
                         .runners_before = usage.runners,
                         .before = demand,
                         .before_at = now};
  }
  return change;
}

bool owns(const ClusterIndex& cluster, const Digest& key, std::string_view node) {
  const cluster::NodeInfo* owner = nullptr;
  uint64_t most = 0;
  for (NodeNumber number : cluster.all()) {
    const cluster::NodeInfo& candidate = cluster.node(number);
    if (candidate.state != cluster::NodeState::ready) continue;
    if (std::ranges::find(candidate.demand, key, &cluster::ModelDemand::key) ==
        candidate.demand.end()) {
      continue;
    }
    const uint64_t hash = rendezvous(model_key(key), candidate.name);
    if (owner != nullptr && std::tie(hash, candidate.name) <= std::tie(most, owner->name)) continue;
    owner = &candidate;
    most = hash;
  }
  return owner != nullptr && owner->name == node;
}

}  // namespace om::scheduler
