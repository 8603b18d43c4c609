// What nodes of the run suffer.
#include "base/check.h"
#include "base/log.h"
#include "sim/cluster/run.h"

namespace om::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kServesMax = seconds(90);  // From its start on.
constexpr auto kToldMax = seconds(60);    // That it was removed, from when it can ask on.
constexpr uint64_t kFullDisk = 1;

}  // namespace

io::Task<void> ClusterRun::sleep(io::Duration duration) {
  const auto slept = co_await sim_.clock().sleep_for(duration);
  CHECK(slept.has_value());
}

io::Task<void> ClusterRun::suffer(std::vector<Fault> faults) {
  const io::TimePoint begin = sim_.clock().now();
  for (const Fault& fault : faults) {
    const io::TimePoint due = begin + fault.at;
    if (due > sim_.clock().now()) co_await sleep(due - sim_.clock().now());
    log_info("fault", field("kind", fault.kind),
             field("node", nodes_[static_cast<size_t>(fault.node)]->name()),
             field("lasts", fault.lasts));
    // Others judge what it answers meanwhile; one that cannot be had now is none.
    sufferings_.push_back({static_cast<size_t>(fault.node), fault.kind, sim_.clock().now()});
    const size_t suffering = sufferings_.size() - 1;
    if (co_await suffer_one(fault)) report_.counts[std::string(to_string(fault.kind))]++;
    sufferings_[suffering].until = sim_.clock().now();
    log_info("fault is over", field("kind", fault.kind),
             field("node", nodes_[static_cast<size_t>(fault.node)]->name()));
  }
}

// False: it could not be done to it.
io::Task<bool> ClusterRun::suffer_one(Fault fault) {
  ClusterNode& node = *nodes_[static_cast<size_t>(fault.node)];
  switch (fault.kind) {
    case FaultKind::kill:
    case FaultKind::power_loss:
    case FaultKind::stop:
      co_await go_down(fault);
      break;
    case FaultKind::wipe:
      co_return co_await replace(fault);
    case FaultKind::freeze:
      node.freeze();
      co_await sleep(fault.lasts);
      node.thaw();
      break;
    case FaultKind::cut_silently:
    case FaultKind::cut_with_word:
    case FaultKind::cut_outgoing:
    case FaultKind::cut_incoming:
      co_await be_cut_off(fault);
      break;
    case FaultKind::swizzle:
      co_await swizzle(fault);
      break;
    case FaultKind::slow:
      co_await be_slow(fault);
      break;
    case FaultKind::clock_jump:
      node.jump_clock(random_.chance(0.5) ? milliseconds(random_.between(1, 3'600'000))
                                          : -milliseconds(random_.between(1, 240'000)));
      break;
    case FaultKind::full_disk:
      node.disk().set_space(kFullDisk);
      co_await sleep(fault.lasts);
      node.disk().set_space(uint64_t{64} << 30);
      break;
    case FaultKind::bit_rot:
      if (!node.rot_blob(random_)) co_return false;
      copies_.forgive();
      break;
    case FaultKind::drain:
      co_await be_drained(fault);
      break;
    case FaultKind::leave:
      co_await be_away(fault);
      break;
    case FaultKind::remove:
      co_return co_await be_removed(fault);
    case FaultKind::runner_deaths:
      co_await lose_runners(fault);
      break;
    case FaultKind::no_leader:
      voters_.set_outage(true);
      co_await sleep(fault.lasts);
      voters_.set_outage(false);
      break;
    case FaultKind::lost_history:
      facts_.forget_history();
      break;
  }
  co_return true;
}

// Its messages, timers and runners.
io::Task<void> ClusterRun::be_slow(Fault fault) {
  ClusterNode& node = *nodes_[static_cast<size_t>(fault.node)];
  sim_.network().slow[node.name()] = milliseconds(random_.between(20, 400));
  node.set_late_max(milliseconds(random_.between(20, 400)));
  node.token_factor = 10;
  co_await sleep(fault.lasts);
  node.token_factor = 1;
  node.set_late_max({});
  sim_.network().slow.erase(node.name());
}

io::Task<void> ClusterRun::go_down(Fault fault) {
  ClusterNode& node = *nodes_[static_cast<size_t>(fault.node)];
  if (fault.kind == FaultKind::stop) {
    node.stop();
    const auto ended = [&node] { return node.has_all_ended(); };
    co_await wait_for(ended, seconds(90), node.name() + " stops");
  } else if (fault.kind == FaultKind::kill) {
    node.kill(Word::reset, DiskFate::kept);
  } else {
    node.kill(Word::none, DiskFate::synced);
    for (const auto& other : nodes_) cut(other->name(), node.name(), Word::none);
  }
  co_await sleep(fault.lasts);
  for (const auto& other : nodes_) heal(other->name(), node.name());
  node.start();
  const auto serves = [&node] { return node.node() != nullptr; };
  co_await wait_for(serves, kServesMax, node.name() + " serves again");
}

// Its disk is lost. The operator takes the old one out and brings the machine in as a new node.
io::Task<bool> ClusterRun::replace(Fault fault) {
  const auto number = static_cast<size_t>(fault.node);
  ClusterNode& node = *nodes_[number];
  // No cluster outlives what a majority of its voters wrote: two at once, or one of two while the
  // third is on its way.
  if (replacing_ || !voters_.can_lose(node.name())) co_return false;
  replacing_ = true;
  node.kill(Word::none, DiskFate::lost);
  copies_.forgive();
  for (const auto& other : nodes_) cut(other->name(), node.name(), Word::none);
  co_await sleep(fault.lasts);
  co_await ask_until_done(0, "DELETE", removal_of(node.name()), "", "removal");
  absences_.push_back({node.name(), "was removed", sim_.clock().now()});
  const size_t absence = absences_.size() - 1;
  for (const auto& other : nodes_) heal(other->name(), node.name());
  node.start();
  const auto serves = [&node] { return node.node() != nullptr; };
  co_await wait_for(serves, kServesMax, node.name() + " serves anew");
  absences_[absence].until = sim_.clock().now();
  co_await join(number);
  replacing_ = false;
  co_return true;
}

// A model that was just pulled may be there alone.
std::string ClusterRun::removal_of(const std::string& node) const {
  return "/api/v1/cluster/nodes/" + node + (pulls_ ? "?force=true" : "");
}

void ClusterRun::cut(const std::string& from, const std::string& to, Word word) {
  if (from == to) return;
  sim_.network().cut(from, to, word);
  voters_.look_again();
}

void ClusterRun::heal(const std::string& from, const std::string& to) {
  sim_.network().heal(from, to);
  voters_.look_again();
}

void ClusterRun::cut_both_ways(const std::string& one, const std::string& other) {
  cut(one, other, Word::none);
  cut(other, one, Word::none);
}

void ClusterRun::heal_both_ways(const std::string& one, const std::string& other) {
  heal(one, other);
  heal(other, one);
}

io::Task<void> ClusterRun::be_cut_off(Fault fault) {
  const std::string& name = nodes_[static_cast<size_t>(fault.node)]->name();
  const Word word = fault.kind == FaultKind::cut_with_word ? Word::reset : Word::none;
  // From all, or from some.
  const double from_each = random_.chance(0.5) ? 1 : 0.6;
  std::vector<std::string> others;
  for (const auto& other : nodes_) {
    if (other->name() != name && random_.chance(from_each)) others.push_back(other->name());
  }
  for (const std::string& other : others) {
    if (fault.kind != FaultKind::cut_incoming) cut(name, other, word);
    if (fault.kind != FaultKind::cut_outgoing) cut(other, name, word);
  }
  co_await sleep(fault.lasts);
  for (const std::string& other : others) heal_both_ways(name, other);
}

io::Task<void> ClusterRun::swizzle(Fault fault) {
  const std::string& name = nodes_[static_cast<size_t>(fault.node)]->name();
  std::vector<std::string> others;
  for (const auto& other : nodes_) {
    if (other->name() != name) others.push_back(other->name());
  }
  for (const bool heals : {false, true}) {
    for (size_t i = others.size(); i > 1; i--) std::swap(others[i - 1], others[random_.below(i)]);
    for (const std::string& other : others) {
      co_await sleep(fault.lasts / static_cast<int>(2 * others.size()));
      if (heals) {
        heal_both_ways(name, other);
      } else {
        cut_both_ways(name, other);
      }
    }
  }
}

io::Task<void> ClusterRun::be_drained(Fault fault) {
  const std::string name = nodes_[static_cast<size_t>(fault.node)]->name();
  const std::string target = "/api/v1/cluster/nodes/" + name;
  co_await ask_until_done(0, "POST", target + "/drain", "", "drain");
  absences_.push_back({name, "was drained", sim_.clock().now()});
  const size_t absence = absences_.size() - 1;
  co_await sleep(fault.lasts);
  absences_[absence].until = sim_.clock().now();
  co_await ask_until_done(0, "POST", target + "/undrain", "", "undrain");
}

io::Task<void> ClusterRun::leave(size_t number) {
  ClusterNode& node = *nodes_[number];
  co_await ask_until_done(number, "POST", "/api/v1/cluster/leave", "", "leave");
  const auto alone = [&node] { return node.is_alone(); };
  co_await wait_for(alone, kServesMax, node.name() + " is alone");
}

io::Task<void> ClusterRun::be_away(Fault fault) {
  const auto number = static_cast<size_t>(fault.node);
  co_await leave(number);
  absences_.push_back({nodes_[number]->name(), "has left", sim_.clock().now()});
  const size_t absence = absences_.size() - 1;
  co_await sleep(fault.lasts);
  absences_[absence].until = sim_.clock().now();
  co_await join(number);
}

// It must learn of it by itself, whether it was there or cut off when it happened.
io::Task<bool> ClusterRun::be_removed(Fault fault) {
  const auto number = static_cast<size_t>(fault.node);
  ClusterNode& node = *nodes_[number];
  if (replacing_ || !voters_.can_lose(node.name())) co_return false;
  replacing_ = true;
  if (random_.chance(0.5)) {
    for (const auto& other : nodes_) cut_both_ways(node.name(), other->name());
  }
  co_await ask_until_done(0, "DELETE", removal_of(node.name()), "", "removal");
  absences_.push_back({node.name(), "was removed", sim_.clock().now()});
  const size_t absence = absences_.size() - 1;
  co_await sleep(fault.lasts);
  for (const auto& other : nodes_) heal_both_ways(node.name(), other->name());
  const auto knows = [&node] {
    return node.node() && node.node()->cluster() && node.node()->cluster()->was_removed();
  };
  co_await wait_for(knows, kToldMax, node.name() + " knows that it was removed");
  co_await leave(number);
  absences_[absence].until = sim_.clock().now();
  co_await join(number);
  replacing_ = false;
  co_return true;
}

io::Task<void> ClusterRun::lose_runners(Fault fault) {
  ClusterNode& node = *nodes_[static_cast<size_t>(fault.node)];
  const io::TimePoint end = sim_.clock().now() + fault.lasts;
  while (sim_.clock().now() < end) {
    if (node.kill_runner(random_.next())) report_.counts["runners killed"]++;
    co_await sleep(milliseconds(random_.between(100, 3'000)));
  }
}

}  // namespace om::sim
