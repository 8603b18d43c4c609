#include "sim/cluster/scenario.h"

#include <fmt/format.h>

#include <algorithm>

namespace om::sim {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr uint64_t kMebibyte = 1 << 20;

template <class T>
T one_of(SimRandom& random, std::initializer_list<T> choices) {
  return *(choices.begin() + random.below(choices.size()));
}

// A fault is absent in most runs, and frequent where it is present.
double sometimes(SimRandom& random, double presence, double most) {
  return random.chance(presence) ? random.unit() * most : 0;
}

void draw_network(NetworkFaults& network, SimRandom& random) {
  network.delay_min = std::chrono::microseconds(random.between(50, 1000));
  network.delay_max =
      network.delay_min +
      std::chrono::microseconds(random.chance(0.2) ? random.below(150'000) : random.below(5'000));
  network.slice_max = one_of<size_t>(random, {500, 8'000, 65'536});
  network.window = one_of<size_t>(random, {4096, 65'536, 262'144});
  network.reset_chance = sometimes(random, 0.2, 0.003);
}

void draw_runners(Scenario& base, SimRandom& random) {
  base.load_time_max =
      one_of<io::Duration>(random, {milliseconds(50), milliseconds(500), seconds(5)});
  base.token_time_max = one_of<io::Duration>(random, {milliseconds(5), milliseconds(50)});
  base.load_failure_chance = sometimes(random, 0.3, 0.5);
  base.crash_chance = sometimes(random, 0.5, 1);
  base.wedge_chance = sometimes(random, 0.3, 0.5);
  base.garbage_chance = sometimes(random, 0.3, 0.3);
  base.fault_after_tokens_max = random.chance(0.3) ? 20 : 500;
  base.deaf_chance = sometimes(random, 0.3, 1);
}

void draw_load(Scenario& base, SimRandom& random) {
  base.memory_total = one_of<uint64_t>(random, {800 * kMebibyte, 16'384 * kMebibyte});
  base.num_parallel = static_cast<int>(random.below(5));
  base.default_context = 2048;
  base.queue_max = one_of<size_t>(random, {4, 512, 512});
  base.keep_alive = one_of<io::Duration>(random, {seconds(3), minutes(5), seconds(-1)});
  base.models = static_cast<int>(random.between(1, 3));
  base.clients = static_cast<int>(random.between(3, 8));
  base.requests_each = static_cast<int>(random.between(3, 7));
  base.predict_max = random.chance(0.3) ? 20 : 200;
  base.pause_max = one_of<io::Duration>(random, {milliseconds(100), seconds(2), seconds(6)});
  base.leave_chance = sometimes(random, 0.5, 0.3);
  base.pool_chance = random.unit();
  base.patience = minutes(15);
  base.admin = random.chance(0.5);
  base.job_max =
      one_of<io::Duration>(random, {microseconds(0), microseconds(200), milliseconds(20)});
}

void draw_places(ClusterScenario& cluster, SimRandom& random) {
  cluster.nodes = static_cast<int>(random.between(3, 7));
  cluster.anchors = random.chance(0.5) ? 1 : 2;
  cluster.models.resize(static_cast<size_t>(cluster.nodes));
  for (int model = 0; model < cluster.base.models; model++) {
    const auto anchor = random.below(static_cast<uint64_t>(cluster.anchors));
    for (size_t node = 0; node < cluster.models.size(); node++) {
      if (node == anchor || random.chance(0.4)) cluster.models[node].push_back(model);
    }
  }
  const bool skewed = random.chance(0.3);
  for (int node = 0; node < cluster.nodes; node++) {
    const auto most = static_cast<uint64_t>(std::chrono::nanoseconds(minutes(4)).count());
    cluster.skews.emplace_back(skewed ? static_cast<int64_t>(random.below(most)) : 0);
    if (node >= cluster.anchors && random.chance(0.4)) cluster.bad_runners.insert(node);
  }
}

void draw_facts(MetadataFaults& facts, SimRandom& random) {
  facts.slow_chance = sometimes(random, 0.3, 0.1);
  facts.refused_chance = sometimes(random, 0.3, 0.1);
  facts.unknown_chance = sometimes(random, 0.3, 0.1);
  facts.lost_lease_chance = sometimes(random, 0.3, 0.1);
  facts.forget_chance = sometimes(random, 0.3, 0.2);
}

// A few kinds a run, so that each gets its share.
void draw_faults(ClusterScenario& cluster, SimRandom& random) {
  std::vector<FaultKind> kinds;
  for (uint64_t i = 0, count = random.between(1, 4); i < count; i++) {
    kinds.push_back(static_cast<FaultKind>(random.below(kFaultKinds)));
  }
  // Each node takes its turns one after the other.
  for (int node = cluster.anchors; node < cluster.nodes; node++) {
    if (node > cluster.anchors && random.chance(0.3)) continue;
    io::Duration at = milliseconds(random.between(200, 8'000));
    while (at < cluster.trouble_lasts) {
      const io::Duration lasts = milliseconds(random.chance(0.5) ? random.between(50, 2'000)
                                                                 : random.between(2'000, 15'000));
      cluster.faults.push_back({kinds[random.below(kinds.size())], node, at, lasts});
      at += lasts + milliseconds(random.between(1'000, 12'000));
    }
  }
}

// One more model, which no node can hold alone.
void draw_split(ClusterScenario& cluster, SimRandom random) {
  cluster.base.memory_total = 800 * kMebibyte;
  cluster.base.split_model = cluster.base.models++;
  for (int node = 0; node < cluster.nodes; node++) {
    if (node >= cluster.anchors && random.chance(0.6)) continue;
    cluster.models[static_cast<size_t>(node)].push_back(cluster.base.split_model);
  }
}

void make_calm(ClusterScenario& cluster) {
  cluster.faults.clear();
  cluster.facts = {};
  cluster.base.network.reset_chance = 0;
}

}  // namespace

std::string_view to_string(FaultKind kind) {
  static constexpr std::string_view kNames[kFaultKinds] = {
      "kill",         "power_loss",    "wipe",          "freeze",       "stop",
      "cut_silently", "cut_with_word", "cut_outgoing",  "cut_incoming", "swizzle",
      "slow",         "clock_jump",    "full_disk",     "bit_rot",      "drain",
      "leave",        "remove",        "runner_deaths", "no_leader",    "lost_history"};
  return kNames[static_cast<size_t>(kind)];
}

std::string ClusterScenario::describe() const {
  std::string text = fmt::format("{} nodes, {} anchors, {} models, {} clients", nodes, anchors,
                                 base.models, base.clients);
  for (const Fault& fault : faults) {
    text += fmt::format("\n  {:7.3f} s n{} {} for {:.3f} s",
                        std::chrono::duration<double>(fault.at).count(), fault.node,
                        to_string(fault.kind), std::chrono::duration<double>(fault.lasts).count());
  }
  if (!pulls.sizes.empty()) text += "\n" + pulls.describe();
  if (!foreign.servers.empty()) text += "\n" + foreign.describe();
  return text;
}

bool ClusterScenario::is_calm() const {
  const bool runners = has_bad_runners() || base.load_failure_chance > 0;
  const bool backends = std::ranges::any_of(
      foreign.servers, [](const ForeignPlan& plan) { return !plan.faults.empty(); });
  return faults.empty() && !facts.any() && anchors_hold() && (bad_runners.empty() || !runners) &&
         !backends && !foreign.shared;
}

std::vector<int> ClusterScenario::others() const {
  return foreign.any_has(kForeignModel) ? std::vector<int>{kForeignModel} : std::vector<int>();
}

ClusterScenario draw_cluster(uint64_t seed) {
  SimRandom random(seed * 0x9E3779B97F4A7C15 + 2);
  ClusterScenario cluster;
  draw_network(cluster.base.network, random);
  draw_runners(cluster.base, random);
  draw_load(cluster.base, random);
  draw_places(cluster, random);
  draw_facts(cluster.facts, random);
  cluster.trouble_lasts = seconds(random.between(10, 40));
  if (!random.chance(0.1)) draw_faults(cluster, random);
  cluster.facts_load = seed % 3 == 0;  // It takes its time.
  cluster.base.standby = seed % 4 == 3;
  cluster.base.aggregates = seed % 3 == 1;
  if (seed % 5 == 2) draw_split(cluster, SimRandom(seed * 0x9E3779B97F4A7C15 + 3));
  cluster.pulls = draw_pulls(cluster.base.network, cluster.trouble_lasts,
                             SimRandom(seed * 0x9E3779B97F4A7C15 + 5));
  if (cluster.pulls.calm) make_calm(cluster);
  if (seed % 7 < 2 && !cluster.pulls.calm) {
    // Another factor than the generator's own step: else a seed's draws were the next one's.
    cluster.foreign = draw_foreign(SimRandom(seed * 0xD1342543DE82EF95 + 7), cluster.base.models,
                                   cluster.trouble_lasts);
    // So that their faults meet answers.
    cluster.base.pause_max = std::min<io::Duration>(cluster.base.pause_max, milliseconds(500));
  }
  return cluster;
}

}  // namespace om::sim
