#include "scheduler/placement.h"

#include <algorithm>

namespace om::scheduler {
namespace {

using Phase = RunnerState::Phase;

bool is_idle(const RunnerState& runner) {
  return runner.phase == Phase::ready && runner.running == 0;
}

// Runners that could be ended, least worth keeping first. Waiting requests make one worth more.
std::vector<size_t> victims(const std::vector<RunnerState>& others, bool idle) {
  std::vector<size_t> result;
  for (size_t i = 0; i < others.size(); i++) {
    const RunnerState& runner = others[i];
    if (runner.pinned || runner.phase != Phase::ready || is_idle(runner) != idle) continue;
    result.push_back(i);
  }
  std::ranges::stable_sort(result, [&](size_t a, size_t b) {
    const RunnerState &x = others[a], &y = others[b];
    return std::pair(x.queued > 0, x.value) < std::pair(y.queued > 0, y.value);
  });
  return result;
}

bool count_allows(const NodeState& node, size_t gone) {
  if (node.loaded_max <= 0) return true;
  return node.others.size() - gone < static_cast<size_t>(node.loaded_max);
}

// Who is ahead is given what these have, at the latest when it lets them run empty.
bool makes_way(const RunnerState& runner, const Ahead& ahead) {
  if (runner.phase == Phase::leaving || runner.draining) return true;
  return !runner.pinned && runner.load_started <= ahead.since;
}

// What the demanded model may take once `gone` have ended. Only what nobody makes way for is kept
// free for the one ahead: a small model need not wait for it. One of the places of loaded_max needs
// no keeping, as one comes with the memory.
uint64_t room(const NodeState& node, const std::vector<size_t>& gone = {}) {
  uint64_t free = node.memory_free;
  for (size_t i : gone) free += node.others[i].bytes;
  if (!node.ahead) return free;
  uint64_t kept = node.ahead->bytes;
  for (size_t i = 0; i < node.others.size(); i++) {
    const RunnerState& other = node.others[i];
    const bool is_gone = std::ranges::find(gone, i) != gone.end();
    if (!is_gone && makes_way(other, *node.ahead)) kept -= std::min(kept, other.bytes);
  }
  return free - std::min(free, kept);
}

// The fewest of `candidates`, in order, whose end makes room; nullopt: not even all of them.
std::optional<std::vector<size_t>> enough(const NodeState& node, uint64_t bytes,
                                          const std::vector<size_t>& candidates) {
  std::vector<size_t> chosen;
  const auto suffices = [&] {
    return room(node, chosen) >= bytes && count_allows(node, chosen.size());
  };
  for (size_t candidate : candidates) {
    if (suffices()) return chosen;
    chosen.push_back(candidate);
  }
  if (suffices()) return chosen;
  return std::nullopt;
}

// How many are pinned where they take all places of loaded_max, else 0: none of them goes by
// itself.
size_t pinned_on_all_places(const NodeState& node) {
  const auto pinned =
      static_cast<size_t>(std::ranges::count_if(node.others, [](const RunnerState& runner) {
        return runner.pinned && runner.phase != Phase::leaving;
      }));
  return node.loaded_max > 0 && pinned >= static_cast<size_t>(node.loaded_max) ? pinned : 0;
}

Action make_room(const NodeState& node, const Demand& demand, const Plan& plan) {
  std::vector<size_t> idle = victims(node.others, true);
  if (auto chosen = enough(node, plan.bytes, idle)) return Evict{std::move(*chosen)};
  // Memory that is coming free anyway.
  const bool leaving = std::ranges::any_of(node.others, [](const RunnerState& runner) {
    return runner.phase == Phase::leaving || runner.draining;
  });
  if (leaving) return Wait{};
  const io::TimePoint patience = demand.since + kDrainAfter;
  if (node.now < patience) return Wait{patience};
  std::vector<size_t> all = idle;
  std::vector<size_t> busy = victims(node.others, false);
  // Who came first is served first: else a busy model would be loaded anew for each few of those
  // that wait for it.
  std::erase_if(busy, [&](size_t i) { return node.others[i].head_rank < demand.rank; });
  all.insert(all.end(), busy.begin(), busy.end());
  auto chosen = enough(node, plan.bytes, all);
  // What is in the way still loads, or is pinned and runs, or serves those that came before.
  if (!chosen) return Wait{};
  std::erase_if(*chosen, [&](size_t i) { return is_idle(node.others[i]); });
  return DrainOthers{std::move(*chosen)};
}

// Idle models leave the cards for one that would lie there as a whole; nobody waits for busy ones.
std::optional<Action> make_card_room(const NodeState& node, uint64_t bytes) {
  if (bytes <= node.graphics_free || bytes > node.graphics_total) return std::nullopt;
  uint64_t free = node.graphics_free;
  for (const RunnerState& runner : node.others) {
    if (runner.phase == Phase::leaving) free += runner.graphics;
  }
  if (bytes <= free) return Wait{};
  Evict evict;
  for (size_t victim : victims(node.others, true)) {
    if (node.others[victim].graphics == 0) continue;
    evict.others.push_back(victim);
    free += node.others[victim].graphics;
    if (bytes <= free) return evict;
  }
  return std::nullopt;
}

Action start(const NodeState& node, const Demand& demand) {
  if (node.now < demand.not_before) return Wait{demand.not_before};
  if (const size_t pinned = pinned_on_all_places(node)) return Refuse{.pinned = pinned};
  if (auto action = make_card_room(node, demand.plans.back().bytes)) return std::move(*action);
  const Plan* smallest = &demand.plans.back();
  const uint64_t free = room(node);
  for (const Plan& plan : demand.plans) {
    // More than one slot is comfort: it may take half of what is free, never another's place, nor
    // what keeps the model off the cards.
    const bool all = &plan == smallest || plan.asked_for;
    uint64_t allowed = all ? free : free / 2;
    if (!all && smallest->bytes <= node.graphics_free) {
      allowed = std::min(allowed, node.graphics_free);
    }
    if (plan.bytes <= allowed && count_allows(node, 0)) return Load{plan};
  }
  uint64_t pinned = 0;
  for (const RunnerState& runner : node.others) {
    if (runner.pinned) pinned += runner.bytes;
  }
  const uint64_t most = node.memory_total - std::min(pinned, node.memory_total);
  if (smallest->bytes > most) return Refuse{smallest->bytes, most};
  return make_room(node, demand, *smallest);
}

}  // namespace

int grown_context(int wanted, int current, int trained) {
  if (current <= 0 || wanted <= current) return wanted;
  const int grown = std::max(wanted, current + current / 2);
  return trained > 0 ? std::max(wanted, std::min(grown, trained)) : grown;
}

bool waits_for_room(const NodeState& node, const Action& action) {
  if (node.own) return false;
  // One with a time waits for that: before its end nothing need be left for it.
  if (const auto* wait = std::get_if<Wait>(&action)) return !wait->until;
  return std::holds_alternative<Evict>(action) || std::holds_alternative<DrainOthers>(action);
}

bool has_room(const NodeState& node, const Demand& demand) {
  if (node.own) return true;
  const uint64_t bytes = demand.plans.back().bytes;
  return bytes <= room(node) && count_allows(node, 0) && !make_card_room(node, bytes);
}

Action decide(const NodeState& node, const Demand& demand) {
  if (!node.own) return start(node, demand);
  const RunnerState& own = *node.own;
  if (own.phase == Phase::leaving) return Wait{};
  if (own.context < demand.context) {
    if (own.phase == Phase::loading) return Wait{};
    // Ending the small one must bring a large enough one, or nothing is gained.
    NodeState after = node;
    after.own.reset();
    after.memory_free += own.bytes;
    Action then = start(after, demand);
    if (std::holds_alternative<Refuse>(then)) return then;
    // Nobody passes the head of the queue, so a busy one runs empty by itself.
    return own.running == 0 ? Action(Replace{}) : Action(Wait{});
  }
  if (own.draining) return Wait{};
  if (own.phase == Phase::loading || own.exclusive || own.running >= own.slots) return Wait{};
  if (demand.suspect && own.running > 0) return Wait{};
  return Grant{};
}

}  // namespace om::scheduler
