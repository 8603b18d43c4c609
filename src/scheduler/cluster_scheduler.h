// The scheduler of a node in a cluster: finds each request a slot on the best node.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "cluster/reports.h"
#include "scheduler/remote_lease.h"
#include "scheduler/scheduler.h"

namespace om::scheduler {

// How often a request may be passed on because a node refused or was lost while it was asked.
inline constexpr size_t kNodesTriedMax = 8;
// How long a request waits for a node that has its model's files to come back, when none can be
// reached; one whose answer has begun waits longer.
inline constexpr std::chrono::seconds kReturnPatience{3}, kResumePatience{20};
inline constexpr std::chrono::milliseconds kReturnInterval{200};

// Asks the placement for the best node, then that node for a lease: it knows better and may refuse,
// then the next one is asked. On the io thread. Requests need no agreement, only the View.
class ClusterScheduler final : public Scheduler {
 public:
  // References outlive it. `local` is this node's own scheduler, which is stopped with it.
  ClusterScheduler(io::World& world, http::Client& client, Scheduler& local,
                   cluster::Reports& reports, std::string self);
  ~ClusterScheduler() override;

  io::Task<Result<std::unique_ptr<Lease>>> acquire(Target target, AcquireOptions options,
                                                   io::Call call) override;
  bool unload(const Digest& weights) override;  // On all nodes.
  bool pin(const Digest& weights, bool pinned) override { return local_.pin(weights, pinned); }
  std::vector<LoadedModel> loaded() const override;  // Of all nodes.
  io::Task<void> stop() override;

 private:
  // The nodes that could serve it, best first.
  std::vector<std::string> rank(const Target& target);
  // One after the other, until one gives a lease. unavailable: none is left.
  io::Task<Result<std::unique_ptr<Lease>>> acquire_on_any(const Target& target,
                                                          const AcquireOptions& options,
                                                          io::Call call);
  io::Task<Result<std::unique_ptr<Lease>>> acquire_on(const std::string& node, const Target& target,
                                                      const AcquireOptions& options, io::Call call);

  io::World& world_;
  Scheduler& local_;
  cluster::Reports& reports_;
  std::string self_;
  RemoteLeases remote_;
  // Routed and not yet seen in a report: node and weights to requests.
  std::map<std::pair<std::string, Digest>, std::vector<io::TimePoint>> routed_;
};

}  // namespace om::scheduler
