// Leases that other nodes give on their runners.
#pragma once

#include <memory>
#include <string>

#include "cluster/reports.h"
#include "engine/remote/remote_engine.h"
#include "io/task_group.h"
#include "scheduler/node_links.h"

namespace om::scheduler {

// Speaks to the nodes of the reports. On the io thread; stop() must have returned before it is
// destroyed, leases may outlive it.
class RemoteLeases final : public NodeLinks {
 public:
  RemoteLeases(io::World& world, http::Client& client, cluster::Reports& reports);
  ~RemoteLeases() override;

  cluster::View view() override { return reports_.view(); }
  io::Task<Result<std::unique_ptr<Lease>>> acquire(const std::string& node, const Target& target,
                                                   const AcquireOptions& options,
                                                   io::Call call) override;
  bool unload(const std::string& node, const Digest& key) override;
  io::Task<void> stop() override;

 private:
  friend class RemoteLease;
  void give_back(engine::PeerLink link, std::string id, bool failed);
  // Sends a request whose answer is not needed: a node that is gone has forgotten the lease anyway.
  io::Task<void> tell(engine::PeerLink link, std::string method, std::string target);

  io::World& world_;
  http::Client& client_;
  cluster::Reports& reports_;
  std::shared_ptr<RemoteLeases*> self_;
  io::TaskGroup tasks_;
};

}  // namespace om::scheduler
