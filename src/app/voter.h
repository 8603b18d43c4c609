// A node's share in keeping the cluster's facts: one etcd member, run as a child.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "app/cluster_state.h"
#include "app/settings.h"
#include "metadata/etcd/etcd_metadata.h"
#include "metadata/etcd/member.h"
#include "security/identity.h"

namespace om::app {

// The ports of etcd itself follow that of the node: clients (voters only), then members.
inline constexpr uint16_t kEtcdClientOffset = 1, kEtcdPeerOffset = 2;

// Where its member keeps what it knows, below the cluster's directory.
io::Path voter_directory(const io::Path& cluster_directory);

// On the io thread. References outlive it; stop() must have returned before it is destroyed.
class Voter {
 public:
  Voter(io::World& world, const Settings& settings, const ClusterState& state, io::Path directory,
        const security::IdentityStore& identity);

  // One of these, once. Errors as EtcdMember's.
  io::Task<Result<void>> begin(io::Call call);  // The first of a new cluster.
  io::Task<Result<void>> resume(io::Call call);
  // `others`: etcd's client endpoints of voters that are there.
  io::Task<Result<void>> join(std::vector<io::Endpoint> others, io::Call call);
  bool has_begun() const { return member_.has_begun(); }

  metadata::Metadata& metadata() { return *metadata_; }
  const metadata::EtcdMember& member() const { return member_; }
  io::Endpoint client_endpoint() const;  // As other voters reach it.
  io::Task<void> stop();

 private:
  void open_metadata();

  io::World& world_;
  const ClusterState& state_;
  const security::IdentityStore& identity_;
  metadata::EtcdMember member_;
  std::unique_ptr<metadata::EtcdMetadata> metadata_;
};

// Speaks to the voters' etcd members about who they are. For whoever has the cluster's certificate.
std::unique_ptr<metadata::Membership> open_membership(io::World& world,
                                                      const security::IdentityStore& identity,
                                                      std::vector<io::Endpoint> endpoints);

}  // namespace om::app
