// What one simulated run of a cluster is made of, drawn from its seed.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "sim/cluster/foreign_plan.h"
#include "sim/cluster/pull_scenario.h"
#include "sim/metadata.h"
#include "sim/network.h"
#include "sim/scenario_for_test.h"

namespace om::sim {

// What happens to one node (or between it and others) for a while.
enum class FaultKind {
  kill,          // kill -9 of it and its children; others see their connections break.
  power_loss,    // It falls silent; what was not synced is gone.
  wipe,          // As power_loss, and its disk comes back empty: it is replaced.
  freeze,        // SIGSTOP.
  stop,          // SIGTERM and a later start, as in an upgrade.
  cut_silently,  // From all others, both ways.
  cut_with_word,
  cut_outgoing,  // What it sends does not arrive.
  cut_incoming,
  swizzle,     // Links are cut one after the other, and healed in another order.
  slow,        // Messages, timers and runners.
  clock_jump,  // Of its wall clock.
  full_disk,
  bit_rot,        // Of one stored blob.
  drain,          // And undrained later.
  leave,          // And joins again later.
  remove,         // By the operator while it runs, often unseen; it leaves and joins again.
  runner_deaths,  // kill -9 of its children, again and again.
  no_leader,      // Of the facts; the node does not matter.
  lost_history,   // Watches are told that what they wait for is forgotten.
};
inline constexpr int kFaultKinds = static_cast<int>(FaultKind::lost_history) + 1;
std::string_view to_string(FaultKind kind);

struct Fault {
  FaultKind kind = FaultKind::kill;
  int node = 0;
  io::Duration at{}, lasts{};
};

// Nodes whose number is below `anchors` suffer nothing, and each model lies on one of them: what is
// asked of them must be answered, whatever happens to the others.
struct ClusterScenario {
  Scenario base;
  int nodes = 3, anchors = 1;
  std::vector<std::vector<int>> models;  // By node: what lies on its disk at first.
  std::set<int> bad_runners;             // Nodes whose runners fail as `base` says.
  std::vector<io::Duration> skews;       // Of the wall clocks.
  MetadataFaults facts;
  bool facts_load = false;  // Nodes make more use of them than they need.
  std::vector<Fault> faults;
  PullScenario pulls;
  ForeignScenario foreign;  // Backends.
  io::Duration trouble_lasts{};

  // Answers through an anchor may fail only by a full queue.
  bool anchors_hold() const { return base.network.reset_chance == 0; }
  std::vector<int> others() const;  // Models that clients ask for, beside those of the nodes.
  bool has_bad_runners() const {
    return base.crash_chance + base.wedge_chance + base.garbage_chance > 0;  // See bad_runners.
  }
  // Nothing is broken on purpose: each request must be answered or find a full queue.
  bool is_calm() const;
  std::string describe() const;
};

ClusterScenario draw_cluster(uint64_t seed);

}  // namespace om::sim
