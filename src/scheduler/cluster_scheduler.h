// The scheduler of a node in a cluster: finds each request a slot on the best node.
#pragma once

#include <memory>
#include <string>

#include "scheduler/node_chooser.h"
#include "scheduler/node_links.h"
#include "scheduler/recent_decisions.h"
#include "scheduler/replica_keeper.h"
#include "scheduler/scheduler.h"
#include "scheduler/split_planner.h"

namespace om::scheduler {

// How often a request may be passed on because a node refused or was lost while it was asked.
inline constexpr size_t kNodesTriedMax = 8;
// If no node with the model's files can be reached: how long a request waits for one to come back,
// and how long it waits if its answer has begun.
inline constexpr std::chrono::seconds kReturnPatience{10}, kResumePatience{20};
inline constexpr std::chrono::milliseconds kReturnInterval{200};
// If no node seems to have the model's files: how long to wait for reports, since the model may
// have been made a moment ago.
inline constexpr std::chrono::milliseconds kFilesWordMax{1500};

// Asks placement for the best node, then that node for a lease. The node knows its own state better
// and may refuse: then the next one is asked. On the io thread. Needs the View, no majority.
class ClusterScheduler final : public Scheduler {
 public:
  // References outlive it. `local` is this node's own scheduler, which is stopped with it.
  ClusterScheduler(io::World& world, std::unique_ptr<NodeLinks> nodes, Scheduler& local,
                   std::string self, ReplicaOptions replicas = {});
  ~ClusterScheduler() override;

  void start() { keeper_.start(); }  // Begins to keep replicas.
  void stage_with(ReplicaKeeper::Stage stage) { keeper_.stage_with(std::move(stage)); }
  std::vector<cluster::ModelDemand> demand() const { return keeper_.demand(); }
  // From now on a model that no node can hold is split. `planner` outlives this object.
  void split_with(SplitPlanner& planner) { split_planner_ = &planner; }

  io::Task<Result<std::unique_ptr<Lease>>> acquire(Target target, AcquireOptions options,
                                                   io::Call call) override;
  bool unload(const Digest& key) override;           // On all nodes.
  std::vector<LoadedModel> loaded() const override;  // Of all nodes.
  std::string explain(const std::string& request_id) const override;
  std::shared_ptr<PlacementDecision> dry_run(const Target& target,
                                             const AcquireOptions& options) override;
  bool wants_read_ahead() const override { return standby_ > 0; }
  io::Task<Result<void>> read_ahead(Target target, AcquireOptions options,
                                    engine::CompletionRequest request, std::string busy,
                                    io::Call call) override;
  io::Task<void> stop() override;

 private:
  friend class RoutedLease;

  bool leaving(std::string_view node) const;
  std::optional<NodeCandidate> candidate(const std::string& node) const;  // nullopt: it has left.
  // The standby node: the same for all prompts of an answer while it has a slot free. Empty: no
  // node has.
  std::string standby_for(const Target& target, std::string_view busy, uint64_t answer);
  PlacementRequest placement_request(const Target& target, const AcquireOptions& options);
  void remember(const std::string& id, std::string decision);
  // On a node that is ready, else split, else on one that drains. `since`: when the request came,
  // for its patience. Errors as ask_nodes()'.
  io::Task<Result<std::unique_ptr<Lease>>> acquire_on_any(const Target& target,
                                                          const AcquireOptions& options,
                                                          io::TimePoint since, io::Call call);
  // Asks nodes one after the other until one gives a lease. unavailable: none is left.
  io::Task<Result<std::unique_ptr<Lease>>> ask_nodes(PlacementRequest request, const Target& target,
                                                     const AcquireOptions& options,
                                                     io::TimePoint since, io::Call call);
  io::Task<Result<void>> wait_for_word_of_files(const PlacementRequest& request,
                                                std::optional<io::Duration> patience,
                                                io::TimePoint since, io::Call call);
  static SentOutcome::Result outcome_of(const Error& error, bool own_node);
  io::Task<Result<std::unique_ptr<Lease>>> acquire_on(const std::string& node, const Target& target,
                                                      const AcquireOptions& options, io::Call call);

  // Of the split model, on its main node; that one plans the parts, unless it is this node.
  io::Task<Result<std::unique_ptr<Lease>>> acquire_on_main(const std::string& main, Target target,
                                                           const AcquireOptions& options,
                                                           io::Call call);
  // A lease on the model split over several nodes. not_found: it is not to be split.
  io::Task<Result<std::unique_ptr<Lease>>> acquire_split(const Target& target,
                                                         const AcquireOptions& options,
                                                         io::Call call);

  io::World& world_;
  std::unique_ptr<NodeLinks> nodes_;
  Scheduler& local_;
  std::string self_;
  const size_t standby_;
  SplitPlanner* split_planner_ = nullptr;
  std::shared_ptr<NodeChooser> chooser_;  // Leases outlive this object.
  ReplicaKeeper keeper_;
  std::shared_ptr<const ClusterScheduler*> alive_;  // Until stop().
  RecentDecisions decisions_;
};

}  // namespace om::scheduler
