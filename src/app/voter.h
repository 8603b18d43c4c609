// A node's share in keeping the cluster's facts, and who makes it: etcd's members, the user's own
// etcd, or simulated ones.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "app/cluster_state.h"
#include "app/settings.h"
#include "cluster/remote_metadata.h"
#include "metadata/metadata.h"
#include "peer/voter_proxy.h"
#include "security/identity.h"

namespace om::app {

// The ports of etcd itself follow that of the node: clients (voters only), then members. On
// loopback only where the port between nodes leads to them (ClusterState::one_port).
inline constexpr uint16_t kEtcdClientOffset = 1, kEtcdPeerOffset = 2;
io::Endpoint etcd_endpoint(const ClusterState& state, uint16_t offset);
io::Endpoint etcd_on_loopback(const io::Endpoint& advertise, uint16_t offset);

// Whether a voter that begins now in a cluster of these members can do without: all of them must
// know the way, and etcd asks no proxy for what is on loopback.
bool knows_one_port(const cluster::Member& member);
bool can_use_one_port(const Settings& settings, const io::Endpoint& advertise,
                      const std::vector<cluster::Member>& members);

// How many of a cluster's nodes vote if `wanted` of them should: an odd number, for an even one
// survives no more deaths, and one until there are three, for two would need each other.
constexpr size_t voters_of(size_t members, size_t wanted) {
  const size_t most = std::min(members, wanted);
  return most < 3 ? 1 : most - (most % 2 == 0 ? 1 : 0);
}

// Where etcd's member keeps what it knows, below the cluster's directory.
inline io::Path voter_directory(const io::Path& cluster_directory) {
  return io::join(cluster_directory, "etcd");
}

// On the io thread; stop() must have returned before it is destroyed.
class Voter {
 public:
  virtual ~Voter() = default;

  // One of these, once. Errors as EtcdMember's.
  virtual io::Task<Result<void>> begin(io::Call call) = 0;  // The first of a new cluster.
  virtual io::Task<Result<void>> resume(io::Call call) = 0;
  // `others`: client endpoints of voters that are there.
  virtual io::Task<Result<void>> join(std::vector<io::Endpoint> others, io::Call call) = 0;
  // After resume() of one whose join() may have broken off.
  virtual io::Task<Result<void>> finish_join(std::vector<io::Endpoint>, io::Call) {
    co_return Result<void>{};
  }
  // forbidden: what was resumed is of another cluster than the others.
  virtual io::Task<Result<void>> check_cluster(std::vector<io::Endpoint>, io::Call) {
    co_return Result<void>{};
  }
  // As long as there is a majority: the engine's other members hear where this one is now.
  virtual io::Task<Result<void>> tell_address(io::Call) { co_return Result<void>{}; }
  virtual bool has_begun() const = 0;
  virtual bool was_removed() const = 0;  // By the others: it is of no use any more.

  virtual metadata::Metadata& metadata() = 0;
  virtual std::string client_url() const = 0;  // As other voters reach it.
  virtual std::string peer_url() const = 0;    // Empty: it is no member of the engine itself.
  // Before a planned end: what it leads, another one leads then, if there is one.
  virtual io::Task<void> hand_over_lead() { co_return; }
  virtual io::Task<void> stop() = 0;
};

// What a voter is of. References outlive the voter.
struct VoterParts {
  io::World& world;
  const Settings& settings;
  const ClusterState& state;
  io::Path directory;
  const security::IdentityStore& identity;
  peer::VoterProxy::LinkAt link_at = {};  // None: the voter is alone.
};

// On the io thread; outlives the voters.
class VoterMaker {
 public:
  virtual ~VoterMaker() = default;
  virtual std::unique_ptr<Voter> make(VoterParts parts) = 0;
  // The facts of a node by itself. Errors as metadata::open_sqlite()'s.
  virtual io::Task<Result<std::unique_ptr<metadata::Metadata>>> open_own(io::World& world,
                                                                         io::Path file) = 0;
  // The facts for a node that keeps no copy of them: it asks `voters`.
  virtual std::unique_ptr<metadata::Metadata> open_remote(io::World& world, http::Client& client,
                                                          cluster::RemoteMetadata::Voters voters);
  // Takes the node out of those that keep the facts, asking voters at `endpoints`; one that is none
  // stays none. For whoever has the cluster's certificate.
  virtual io::Task<Result<void>> remove(io::World& world, const security::IdentityStore& identity,
                                        std::vector<io::Endpoint> endpoints, std::string name,
                                        io::Call call) = 0;
  // Takes out what is left of a node that was let in and never began: it has no name there yet, and
  // is known by where `peer`, the node's own port, says that it would have been.
  virtual io::Task<Result<void>> remove_unbegun(io::World&, const security::IdentityStore&,
                                                std::vector<io::Endpoint>, io::Endpoint, io::Call) {
    co_return Result<void>{};
  }
};

// Runs etcd as a child, or asks the user's own, as the state says. Lives for ever.
VoterMaker& etcd_voters();

// Reaches an etcd that no node runs, as `settings` says: nothing is started, joined or removed.
std::unique_ptr<Voter> external_etcd_voter(VoterParts parts);

}  // namespace om::app
