// One node: the one place where its parts are built, joined, and taken down in order.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "api/api.h"
#include "app/cluster_admin.h"
#include "app/cluster_parts.h"
#include "app/memory_watch.h"
#include "app/node_health.h"
#include "app/node_parts.h"
#include "app/settings.h"
#include "generation/federated_generation.h"
#include "generation/node_records.h"
#include "http/client.h"
#include "http/server.h"
#include "io/real.h"
#include "security/api_keys.h"
#include "transfer/transfer.h"

namespace om::app {

// On the io thread. References outlive it.
class Node {
 public:
  Node(io::World& world, io::NameService& names, const Settings& settings, VoterMaker& voters)
      : world_(world),
        names_(names),
        settings_(settings),
        voters_(voters),
        stop_event_(world.clock),
        tasks_(world.executor, world.clock) {}

  // Serves until stop(); then it takes no new requests, lets running ones end within the drain
  // time, and ends its runners. Once. `on_ready` is called when it listens.
  // already_exists: the address is in use; not_found: llama-server is missing; each with advice.
  io::Task<Result<void>> run(std::function<void()> on_ready);
  void stop();
  // The node entered or left a cluster and is to be built anew; false if it was stopped meanwhile.
  bool wants_restart() const { return restart_ && !stopping_; }

  // False for a node that was removed, that does not know the cluster's models yet, or that is in
  // no cluster although cluster.required is set.
  bool ready() const;
  bool serves() const { return ready_; }
  // Its parts, while it serves.
  scheduler::LocalScheduler& local_scheduler() { return *local_scheduler_; }
  ClusterParts* cluster() { return cluster_.get(); }  // Null: in none.
  engine::Backends& backends() { return *backends_; }
  http::Server& server() { return *server_; }

 private:
  io::Task<Result<void>> build();
  generation::Records* make_records();
  io::Task<Result<void>> enter_cluster(transfer::TransferOptions options);
  io::Path copy_of_facts(std::string_view name, std::string_view earlier);
  io::Task<Result<void>> open_backends();
  io::Task<Result<void>> open_pins();
  io::Task<void> bring_own_facts();  // Into the cluster that this node has entered.
  io::Task<Result<void>> move_own_facts(bool& pins_moved, io::Call call);
  Result<void> listen();
  io::Task<Result<void>> open_cluster(transfer::TransferOptions options);
  io::Task<void> take_down();

  io::World& world_;
  io::NameService& names_;
  const Settings& settings_;
  VoterMaker& voters_;
  io::Event stop_event_;
  bool stopping_ = false, ready_ = false, restart_ = false;
  std::string name_;
  std::vector<ListenAddress> listen_;
  std::string runtime_directory_;
  std::shared_ptr<io::File> runtime_lock_;

  std::unique_ptr<http::Client> client_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<scheduler::LocalScheduler> local_scheduler_;
  std::unique_ptr<metadata::Metadata> own_facts_;  // As long as it is in no cluster.
  std::unique_ptr<ClusterParts> cluster_;
  std::unique_ptr<ClusterAdmin> admin_;
  scheduler::Scheduler* scheduler_ = nullptr;  // Of the node, or of the cluster.
  store::Store* models_ = nullptr;             // Likewise.
  std::unique_ptr<generation::NodeRecords> records_;
  std::unique_ptr<engine::Backends> backends_;
  std::unique_ptr<cluster::BackendTable> backend_table_;
  std::unique_ptr<cluster::PinTable> pin_table_;
  std::unique_ptr<generation::PinKeeper> pin_keeper_;
  std::unique_ptr<generation::Generation> own_generation_, generation_;
  std::unique_ptr<transfer::Transfer> transfer_;
  std::unique_ptr<security::ApiKeys> api_keys_;  // Null: callers need none.
  std::unique_ptr<api::Api> api_;
  std::unique_ptr<http::Server> server_;
  std::unique_ptr<MemoryWatch> memory_watch_;
  std::unique_ptr<NodeHealth> health_;
  io::TaskGroup tasks_;
};

}  // namespace om::app
