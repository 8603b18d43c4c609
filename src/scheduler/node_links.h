// The other nodes as ClusterScheduler asks them: over the network, or in one process for tests.
#pragma once

#include <memory>
#include <string>

#include "cluster/view.h"
#include "scheduler/scheduler.h"

namespace om::scheduler {

// On the io thread; leases may outlive it.
class NodeLinks {
 public:
  virtual ~NodeLinks() = default;

  virtual cluster::View view() = 0;  // This node is in it.
  // As Scheduler::acquire() of that node alone, with its errors, and: unavailable when it cannot be
  // reached or falls silent, internal when its runner cannot be started, not_found when it has not
  // the model's files.
  virtual io::Task<Result<std::unique_ptr<Lease>>> acquire(const std::string& node,
                                                           const Target& target,
                                                           const AcquireOptions& options,
                                                           io::Call call) = 0;
  // Tells a node, in the background. False: it is unknown, or this one.
  virtual bool unload(const std::string& node, const Digest& key) = 0;
  virtual io::Task<void> stop() = 0;
};

}  // namespace om::scheduler
