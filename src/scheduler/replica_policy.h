// How many nodes should have a model in memory. Pure: counts and times are passed in.
//
// A model gets one more runner when requests suffer (they wait, or lose a warm prefix because its
// node is busy) for long enough, and one less when all its runners together have been far from busy
// for much longer: growing is cheap and shrinking costs a load when it was wrong.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>

#include "scheduler/cluster_index.h"

namespace om::scheduler {

// What requests for one model suffered lately, fading with time. One for each model that a gateway
// has requests for.
class ModelPressure {
 public:
  void add_lost_hit(io::TimePoint now) { add(lost_hits_, 1, now); }
  void add_request(io::Duration waited, io::TimePoint now);
  // In the last minutes, about; without the weights.
  cluster::ModelDemand at(io::TimePoint now) const;
  // How much is left of what was told so long ago.
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
  double wait_seconds = 1.5;  // A mean wait above this is pressure.
  double lost_hits = 2;       // So are so many lost hits.
  double requests_min = 3;    // With fewer requests than that there is nothing to judge.
  double busy_high = 0.9;     // So is this share of all slots in use, with requests queued.
  double busy_low = 0.3;      // Below this share of the slots of one runner less: too many.
  io::Duration grow_after = std::chrono::seconds(5), shrink_after = std::chrono::minutes(5);
  // After a change, before the next. Where runners are too few it is not kept, unless the last
  // change brought none.
  io::Duration rest = std::chrono::seconds(20);
  size_t runners_max = 64;
  // Beyond one, while the model answers: where an answer goes on at once when its node dies. One
  // that is lost is replaced at once.
  size_t standby = 0;
  io::Duration standby_after = std::chrono::seconds(2);
};

// What is wanted of a model, from its manifest and policy.
struct ReplicaTarget {
  Digest weights;
  std::optional<Digest> own_key;  // Where a runner takes more than the weights.
  uint64_t load_bytes = 0;
  size_t runners_min = 0;  // Preloaded or pinned: never fewer.

  Digest key() const { return own_key.value_or(weights); }  // Its runners'.
};

struct ReplicaChange {
  enum class Kind { grow, shrink } kind = Kind::grow;
  std::string node;
  bool stage_files = false;  // The node does not have the weights yet: bring them first.
};

// The memory between two looks at one model: since when it is under pressure or idle.
struct ReplicaState {
  io::TimePoint pressed_since = io::kNever, idle_since = io::kNever;
  io::TimePoint exposed_since = io::kNever;  // It answers with less than its standby.
  io::TimePoint changed{};
  size_t runners = 0;  // At the last look.
  // There were before the last change. Nothing once there have been more: it took effect.
  std::optional<size_t> runners_before;
  // What was suffered before the runners there are now: they are the answer to it.
  cluster::ModelDemand before;
  io::TimePoint before_at{};
};

// At most one change. Grows onto free memory only, files at hand first; never evicts for it. To be
// asked every second or so with the demand at all gateways together, by one node for each model
// (see owns()), or replicas come in twos.
std::optional<ReplicaChange> decide_replicas(const ClusterIndex& cluster,
                                             const ReplicaTarget& target,
                                             const cluster::ModelDemand& demand,
                                             ReplicaState& state, const ReplicaOptions& options,
                                             io::TimePoint now);

// True for the one node that decides on the model: of the ready ones that have requests for it, as
// all nodes with the same View agree (rendezvous hashing).
bool owns(const ClusterIndex& cluster, const Digest& key, std::string_view node);
// What all gateways together tell of a model.
cluster::ModelDemand demand_of(const ClusterIndex& cluster, const Digest& key);

}  // namespace om::scheduler
