// A voter: a node's share in keeping the cluster's facts. It is a member of an etcd that nodes run,
// or a client of the user's own etcd, or simulated.
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

// etcd's own ports follow the node's: one for clients (voters only), then one for members. They are
// on loopback if the port between nodes leads to them (ClusterState::one_port).
inline constexpr uint16_t kEtcdClientOffset = 1, kEtcdPeerOffset = 2;
io::Endpoint etcd_endpoint(const ClusterState& state, uint16_t offset);
io::Endpoint etcd_on_loopback(const io::Endpoint& advertise, uint16_t offset);

// Whether a voter that begins now among these members needs no further ports: all members must know
// the way to etcd by the port between nodes, and etcd uses no proxy for addresses on loopback.
bool knows_one_port(const cluster::Member& member);
bool can_use_one_port(const Settings& settings, const io::Endpoint& advertise,
                      const std::vector<cluster::Member>& members);

// How many of a cluster's nodes vote if `wanted` of them should. An odd number, since one more
// survives no further death; and one until there are three, since two would need each other.
constexpr size_t voters_of(size_t members, size_t wanted) {
  const size_t most = std::min(members, wanted);
  return most < 3 ? 1 : most - (most % 2 == 0 ? 1 : 0);
}

// The folder of etcd's member, below the cluster's directory.
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
  // `others`: client endpoints of present voters.
  virtual io::Task<Result<void>> join(std::vector<io::Endpoint> others, io::Call call) = 0;
  // After resume() of one whose join() may have broken off.
  virtual io::Task<Result<void>> finish_join(std::vector<io::Endpoint>, io::Call) {
    co_return Result<void>{};
  }
  // forbidden: what was resumed is of another cluster than the others.
  virtual io::Task<Result<void>> check_cluster(std::vector<io::Endpoint>, io::Call) {
    co_return Result<void>{};
  }
  // Tells the other voters this one's new address. Needs a majority.
  virtual io::Task<Result<void>> tell_address(io::Call) { co_return Result<void>{}; }
  virtual bool has_begun() const = 0;
  virtual bool was_removed() const = 0;  // By the other voters: it never runs again.

  virtual metadata::Metadata& metadata() = 0;
  virtual std::string client_url() const = 0;  // As other voters reach it.
  virtual std::string peer_url() const = 0;    // Empty: a voter with an external etcd.
  // Before a planned stop: hands leadership to another voter, if there is one.
  virtual io::Task<void> hand_over_lead() { co_return; }
  virtual io::Task<void> stop() = 0;
};

// What a voter is made of. References outlive the voter.
struct VoterParts {
  io::World& world;
  const Settings& settings;
  const ClusterState& state;
  io::Path directory;
  const security::IdentityStore& identity;
  peer::VoterProxy::LinkAt link_at = {};  // None: the voter is alone.
};

// Makes voters, opens the facts of nodes without a vote, and takes votes away. On the io thread;
// outlives the voters.
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
  // Takes a node's vote away, asking voters at `endpoints`. Does nothing to a node without a vote.
  // The caller has a certificate of the cluster.
  virtual io::Task<Result<void>> remove(io::World& world, const security::IdentityStore& identity,
                                        std::vector<io::Endpoint> endpoints, std::string name,
                                        io::Call call) = 0;
  // Takes away the vote of a node that was let in and never began. Etcd knows no name of it yet,
  // but its address: that follows from `peer`, the node's own port.
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
