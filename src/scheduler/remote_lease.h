// A lease that another node gives on one of its runners.
#pragma once

#include <memory>
#include <string>

#include "engine/remote/remote_engine.h"
#include "io/task_group.h"
#include "scheduler/scheduler.h"

namespace om::scheduler {

// Takes leases from other nodes and gives them back. On the io thread; stop() must have returned
// before it is destroyed, leases may outlive it.
class RemoteLeases {
 public:
  RemoteLeases(io::World& world, http::Client& client);
  ~RemoteLeases();

  // As Scheduler::acquire() of the other node, with its errors; unavailable also when it cannot be
  // reached or falls silent; not_found when it does not have the model's files. `budget`: how long
  // it may take while the node is alive is the call's matter.
  io::Task<Result<std::unique_ptr<Lease>>> acquire(engine::PeerLink link, const Target& target,
                                                   const AcquireOptions& options, io::Call call);
  // Asks a node to unload a model, in the background.
  void unload(engine::PeerLink link, const Digest& weights);
  io::Task<void> stop();

 private:
  friend class RemoteLease;
  void give_back(engine::PeerLink link, std::string id, bool failed);
  // Sends a request nobody waits for; a node that is gone has forgotten the lease anyway.
  io::Task<void> tell(engine::PeerLink link, std::string method, std::string target);

  io::World& world_;
  http::Client& client_;
  std::shared_ptr<RemoteLeases*> self_;
  io::TaskGroup tasks_;
};

}  // namespace om::scheduler
