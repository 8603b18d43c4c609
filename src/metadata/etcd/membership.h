// Who the members of an etcd cluster are, and how they fare.
#pragma once

#include <string>
#include <vector>

#include "metadata/etcd/gateway.h"

namespace om::metadata {

// On the io thread. Asks the endpoints given, with failover. Errors are the Gateway's, and:
// overloaded: etcd refuses now and may not later (a member is not in sync, or not enough of them
// are up); already_exists, not_found: of members.
class Membership {
 public:
  Membership(io::World& world, EtcdOptions options);

  io::Task<Result<std::vector<Member>>> list(io::Call call);
  io::Task<Result<uint64_t>> cluster_id(io::Call call);
  // Adds a member that follows and does not vote. already_exists: another one has this address.
  io::Task<Result<Member>> add_learner(std::string peer_url, io::Call call);
  // Makes a voter of it. overloaded: it has not caught up yet. Already a voter: done.
  io::Task<Result<void>> promote(uint64_t id, io::Call call);
  // Says where it is reached from now on. already_exists: another one has this address.
  io::Task<Result<void>> update(uint64_t id, std::string peer_url, io::Call call);
  // Gone already: done. Waits a while for etcd to be ready for a change of its members.
  io::Task<Result<void>> remove(uint64_t id, io::Call call);

  struct Health {
    io::Endpoint endpoint;
    std::optional<StatusReply> status;  // Nothing: it does not answer.
    std::string error;
  };
  io::Task<std::vector<Health>> health(io::Call call);  // Of each endpoint.

  void set_endpoints(std::vector<io::Endpoint> endpoints) {
    gateway_.set_endpoints(std::move(endpoints));
  }

 private:
  io::Task<Result<MembersReply>> ask(Gateway::Kind kind, std::string_view what, std::string body,
                                     io::Call call);
  io::World& world_;
  Gateway gateway_;
};

}  // namespace om::metadata
