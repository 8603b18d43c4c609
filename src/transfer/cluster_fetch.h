// The fetch of one blob from all nodes that have some of it; chunks that no node has come from its
// registry, which one node at a time asks.
#pragma once

#include <memory>
#include <set>

#include "transfer/cluster_links.h"
#include "transfer/context.h"
#include "transfer/download_table.h"
#include "transfer/peer_fetch.h"
#include "transfer/pull_lease.h"

namespace om::transfer {

// Shared by all fetches of a node.
struct FetchParts {
  io::World& world;
  store::Store& store;
  http::Client& client;
  const ClusterLinks& links;
  IncomingTable& incoming;
  Bandwidth& bandwidth;
};

// Nodes that have the whole blob are asked first. If there is none, the node that gets the pull's
// lease (pull_lease.h) asks the registry, and the others fetch from that node while it receives. If
// it dies, the next one goes on from the chunks that are there. If the whole is wrong although
// every chunk had the digest that its source told, the sources are tried one by one, the registry
// alone last.
class ClusterFetch final : public BlobDownload {
 public:
  // `registry` null: only other nodes can have the blob.
  ClusterFetch(FetchParts parts, std::shared_ptr<Registry> registry, Digest digest, uint64_t size);

  void cancel() override { cancel_.cancel(); }
  bool cancelled() const override { return cancel_.cancelled(); }
  uint64_t registry_bytes() const { return registry_bytes_; }

 private:
  io::Task<Result<void>> receive() override;
  uint64_t received() const override;
  io::Task<Result<void>> open();
  io::Task<Result<void>> attempt();
  io::Task<void> look_for_sources();
  io::Task<void> look_once();
  io::Task<bool> add_nodes();  // True: one of them has the whole blob.
  io::Task<void> consider_registry(bool somebody_has_it);
  io::Task<Result<void>> download_in_order();
  void add_node(const cluster::NodeInfo& node);
  bool may_use(std::string_view name) const;
  bool somebody_may_have_it() const;  // A node, not the registry.
  bool trust_fewer();                 // After a wrong blob. False: no source is left to ask.

  FetchParts parts_;
  std::shared_ptr<Registry> registry_;
  std::shared_ptr<IncomingBlob> blob_;
  std::unique_ptr<PeerFetch> fetch_;
  std::shared_ptr<BlobDownload> in_order_;
  PullLease lease_;
  std::optional<Error> lease_error_;  // Why no node asks the registry.
  bool is_refused_ = false;           // The registry refused, and no node has the blob.
  uint64_t registry_bytes_ = 0;
  std::set<std::string, std::less<>> used_, distrusted_;
  std::optional<std::string> alone_;  // The only source that may be used; empty: the registry.
  io::CancelSource cancel_;
  io::CancelSource stop_looking_;
  io::TaskGroup tasks_;
};

}  // namespace om::transfer
