// Several simulated nodes that pass blobs to each other, and a registry that misbehaves as told.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "transfer/chunk_lists.h"
#include "transfer/cluster_fetch.h"
#include "transfer/peer_blobs.h"
#include "transfer/testing/fake_metadata.h"
#include "transfer/testing/registry.h"

namespace om::transfer::testing {

// One node: a folder of its own, a server for its peers, a door to the facts.
class ClusterNode {
 public:
  ClusterNode(io::World& world, Facts& facts, std::string name,
              std::function<cluster::View()> view);
  ~ClusterNode();

  io::Task<void> start();
  io::Task<void> stop();
  // As when the power goes: nothing is given back, its leases run out by themselves.
  io::Task<void> kill();
  bool alive() const { return server != nullptr; }
  io::Path folder() const { return "/" + name; }
  cluster::NodeInfo info() const;
  io::Task<Result<void>> fetch(std::shared_ptr<Registry> registry, Digest digest, uint64_t size,
                               io::Call call);
  uint64_t present(const Digest& digest) const;  // Bytes of it that have come.

  io::World& world;
  std::string name;
  FakeMetadata metadata;
  ClusterLinks links;
  cluster::NodeState state = cluster::NodeState::ready;
  io::TimePoint reported{};
  uint64_t slow_down = 0;            // Bytes a second it sends; 0: as fast as it can.
  bool send_garbage = false;         // Its bytes are wrong, and its digests say they are right.
  bool tells_blobs = true;           // Else its reports are as of before it had any.
  std::vector<Digest> told_besides;  // Its reports are as of before these were removed.
  uint64_t bytes_asked = 0;          // By its peers.
  std::vector<Digest> corrupt;       // Found so.

  std::unique_ptr<store::Store> store;
  std::unique_ptr<http::Client> client;
  std::unique_ptr<IncomingTable> incoming;
  std::unique_ptr<ChunkLists> lists;
  std::unique_ptr<Bandwidth> receiving, sending;
  std::unique_ptr<PeerBlobs> peer_blobs;
  std::unique_ptr<Context> context;
  std::unique_ptr<DownloadTable> downloads;
  std::unique_ptr<http::Server> server;
  io::Endpoint at;

 private:
  io::Task<void> serve(http::Request& request, http::ResponseWriter& response);
  io::Task<Result<void>> ignore(Progress) { co_return Result<void>{}; }
};

// The fixture.
class ClusterWorld : public ::testing::Test {
 public:
  ~ClusterWorld() override;

  void make_nodes(size_t count);
  ClusterNode& node(size_t index) { return *nodes_[index]; }
  cluster::View view() const;
  std::shared_ptr<Registry> registry_for(ClusterNode& node, std::string_view model = "m",
                                         bool insecure = true);
  // All of these nodes fetch the blob at once; their outcomes.
  std::vector<Result<void>> fetch_all(const std::vector<size_t>& which, const std::string& data,
                                      bool from_registry = true);
  void put(ClusterNode& node, const std::string& data);
  // A model of one layer, on this node's disk only; the bytes of its manifest.
  std::string put_model(size_t index, const model::Name& name, const std::string& layer);
  static std::string manifest_of(const std::string& layer);
  bool has(ClusterNode& node, const std::string& data);
  template <class T>
  T wait(io::Task<T> task) {
    std::optional<T> result;
    sim_.run(keep(std::move(task), result));
    return std::move(*result);
  }

 protected:
  template <class T>
  static io::Task<void> keep(io::Task<T> task, std::optional<T>& result) {
    result.emplace(co_await std::move(task));
  }
  static io::Task<void> fetch_into(ClusterNode& node, std::shared_ptr<Registry> registry,
                                   Digest digest, uint64_t size, Result<void>& result);

  sim::World sim_{11};
  io::World& world_ = sim_.world();
  Facts facts_{world_.clock};
  sim::SimRegistry registry_{world_};
  std::vector<std::unique_ptr<ClusterNode>> nodes_;
};

}  // namespace om::transfer::testing
