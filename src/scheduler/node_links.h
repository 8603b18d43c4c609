// How ClusterScheduler asks the other nodes: over the network, or within one process in tests.
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
  // Scheduler::acquire() of that node alone. Its errors, and: unavailable: the node cannot be
  // reached or falls silent. internal: its runner cannot be started. not_found: it lacks the
  // model's files.
  virtual io::Task<Result<std::unique_ptr<Lease>>> acquire(const std::string& node,
                                                           const Target& target,
                                                           const AcquireOptions& options,
                                                           io::Call call) = 0;
  // Tells that node in the background. False: the node is unknown, or this one.
  virtual bool unload(const std::string& node, const Digest& key) = 0;
  virtual io::Task<void> stop() = 0;
};

}  // namespace om::scheduler
