// The members of an etcd cluster and their health.
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
  // Makes a learner a voter; does nothing to a voter. overloaded: it has not caught up yet.
  io::Task<Result<void>> promote(uint64_t id, io::Call call);
  // Changes the member's address. already_exists: another one has this address.
  io::Task<Result<void>> update(uint64_t id, std::string peer_url, io::Call call);
  // Does nothing if the member is gone. Waits a while until etcd is ready for a change of its
  // members.
  io::Task<Result<void>> remove(uint64_t id, io::Call call);

  struct Health {
    io::Endpoint endpoint;
    std::optional<StatusReply> status;  // nullopt: it does not answer.
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
