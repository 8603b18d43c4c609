// The parts of a node that exist only in a cluster, built and stopped together.
#pragma once

#include <memory>
#include <string>

#include "cluster/reports.h"
#include "http/client.h"
#include "http/server.h"
#include "peer/peer_server.h"
#include "scheduler/cluster_scheduler.h"
#include "scheduler/local_scheduler.h"
#include "store/store.h"

namespace om::app {

// On the io thread. References outlive it; stop() must have returned before it is destroyed.
class ClusterParts {
 public:
  ClusterParts(io::World& world, store::Store& store, scheduler::LocalScheduler& local,
               std::string name);
  ~ClusterParts();

  Result<io::Endpoint> listen(io::Endpoint at, std::shared_ptr<const io::Tls> tls);
  void set_peers(std::vector<engine::PeerLink> peers) { reports_->set_peers(std::move(peers)); }
  void drain() { draining_ = true; }

  scheduler::Scheduler& scheduler() { return *scheduler_; }
  cluster::Reports& reports() { return *reports_; }
  cluster::NodeInfo self();
  io::Task<void> stop();

 private:
  void refresh_blobs();

  io::World& world_;
  store::Store& store_;
  scheduler::LocalScheduler& local_;
  std::string name_;
  bool draining_ = false;
  std::shared_ptr<const std::vector<Digest>> blobs_;
  io::TimePoint blobs_at_{};
  uint64_t disk_free_ = 0;
  // Of its own: a pooled connection to a runner and one to a node have different limits.
  std::unique_ptr<http::Client> client_;
  std::unique_ptr<cluster::Reports> reports_;
  std::unique_ptr<scheduler::ClusterScheduler> scheduler_;
  std::unique_ptr<peer::PeerServer> peer_server_;
  std::unique_ptr<http::Server> http_server_;
  bool listening_ = false;
};

}  // namespace om::app
