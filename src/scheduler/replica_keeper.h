// Carries out what replica_policy.h decides: loads busy models on further nodes before requests
// have to wait, and unloads surplus runners.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "io/task_group.h"
#include "io/world.h"
#include "scheduler/node_chooser.h"
#include "scheduler/node_links.h"
#include "scheduler/replica_policy.h"

namespace om::scheduler {

inline constexpr std::chrono::seconds kReplicaInterval{1};
inline constexpr size_t kModelsWatchedMax = 256;

// One per node, on the io thread. Every node's report tells what its requests suffered; of the
// nodes that have requests for a model, one decides for all. References outlive it; stop() must
// have returned before it is destroyed.
class ReplicaKeeper {
 public:
  // Brings the model's files to one node more than the `copies` nodes that have them, in the
  // background.
  using Stage = std::function<void(const Target& target, size_t copies)>;

  ReplicaKeeper(io::World& world, NodeChooser& chooser, NodeLinks& nodes, Scheduler& local,
                std::string self, ReplicaOptions options);

  void stage_with(Stage stage) { stage_ = std::move(stage); }
  void start();
  io::Task<void> stop();

  // A request came to this node and got a slot.
  void note_request(const Target& target, uint64_t load_bytes, io::Duration waited, bool lost_hit);
  // For this node's report.
  std::vector<cluster::ModelDemand> demand() const;
  // Called if a node was to load the model and does not have its files.
  void stage(const Target& target);

 private:
  struct Model {
    Target target;  // As last asked for.
    uint64_t load_bytes = 0;
    ModelPressure pressure;
    ReplicaState state;
    bool changing = false;
    io::TimePoint staged{};
  };
  io::Task<void> run();
  void look();
  void carry_out(Model& model, const ReplicaChange& change);
  io::Task<void> grow(Digest key, std::string node);

  io::World& world_;
  NodeChooser& chooser_;
  NodeLinks& nodes_;
  Scheduler& local_;
  const std::string self_;
  const ReplicaOptions options_;
  Stage stage_;
  std::map<Digest, Model> models_;
  io::TaskGroup tasks_;
};

}  // namespace om::scheduler
