// How many nodes should have a model in memory. Pure: counts and times are passed in.
//
// A model gets one more runner when its requests suffer for long enough: they wait, or lose a warm
// prefix because its node is busy. It gets one less when all its runners together were far from
// busy for much longer: growing is cheap, but shrinking costs a load if it was wrong.
#pragma once

#include <optional>
#include <string>

#include "scheduler/cluster_index.h"

namespace om::scheduler {

// What a gateway's requests for one model suffered lately, fading with time.
class ModelPressure {
 public:
  void add_lost_hit(io::TimePoint now) { add(lost_hits_, 1, now); }
  void add_request(io::Duration waited, io::TimePoint now);
  // The sums of about the last minutes; without the key.
  cluster::ModelDemand at(io::TimePoint now) const;
  // The share that is left of a sum after `passed`.
  static double left_after(io::Duration passed);

 private:
  struct Faded {
    double value = 0;
    io::TimePoint at{};
  };
  static double now_of(const Faded& faded, io::TimePoint now);
  static void add(Faded& faded, double amount, io::TimePoint now);
  Faded lost_hits_, requests_, waits_;
};

struct ReplicaOptions {
  // Pressure: busy_high of all slots in use, with requests queued. Or, of requests_min requests at
  // least, a mean wait above wait_seconds or more than lost_hits lost hits.
  double wait_seconds = 1.5;
  double lost_hits = 2;
  double requests_min = 3;
  double busy_high = 0.9;
  double busy_low = 0.3;  // Too many runners: with one less, no more than this share is in use.
  io::Duration grow_after = std::chrono::seconds(5), shrink_after = std::chrono::minutes(5);
  // From one change to the next. While runners are too few there is no rest, unless the last change
  // brought none.
  io::Duration rest = std::chrono::seconds(20);
  size_t runners_max = 64;
  // Further runners while the model answers, where an answer goes on at once when its node dies. A
  // lost standby is replaced at once.
  size_t standby = 0;
  io::Duration standby_after = std::chrono::seconds(2);
};

// What is wanted of a model, from its manifest and policy.
struct ReplicaTarget {
  Digest weights;
  std::optional<Digest> own_key;  // If a runner takes more files than the weights.
  uint64_t load_bytes = 0;
  size_t runners_min = 0;  // Preloaded or pinned: never fewer.

  Digest key() const { return own_key.value_or(weights); }  // Its runners'.
};

struct ReplicaChange {
  enum class Kind { grow, shrink } kind = Kind::grow;
  std::string node;
  bool stage_files = false;  // The node does not have the weights yet: bring them first.
};

// What is remembered of one model from look to look: since when it is under pressure or idle.
struct ReplicaState {
  io::TimePoint pressed_since = io::kNever, idle_since = io::kNever;
  io::TimePoint exposed_since = io::kNever;  // It answers with too few standby runners.
  io::TimePoint changed{};
  size_t runners = 0;  // At the last look.
  // Runners before the last change. nullopt once there were more: the change took effect.
  std::optional<size_t> runners_before;
  // What requests suffered before the present runners, which are the answer to it.
  cluster::ModelDemand before;
  io::TimePoint before_at{};
};

// At most one change. Grows onto free memory only, on nodes with the files first; never evicts. Ask
// every second or so with the demand of all gateways together, and on one node only (owns()), or
// two replicas come at once.
std::optional<ReplicaChange> decide_replicas(const ClusterIndex& cluster,
                                             const ReplicaTarget& target,
                                             const cluster::ModelDemand& demand,
                                             ReplicaState& state, const ReplicaOptions& options,
                                             io::TimePoint now);

// True for the one node that decides on the model: one of the ready nodes that have requests for
// it. All nodes with the same View agree on it (rendezvous hashing).
bool owns(const ClusterIndex& cluster, const Digest& key, std::string_view node);
// The demand for a model at all gateways together.
cluster::ModelDemand demand_of(const ClusterIndex& cluster, const Digest& key);

}  // namespace om::scheduler
