// Carries out what an operator asks: enters and leaves clusters, changes members.
#pragma once

#include <functional>
#include <string>

#include "app/cluster_parts.h"
#include "app/settings.h"
#include "cluster/admin.h"
#include "cluster/admission.h"
#include "cluster/discovery.h"

namespace om::app {

// On the io thread. References outlive it.
class ClusterAdmin final : public cluster::Admin {
 public:
  // `restart` makes the node begin anew once the answer was sent; `ready`: whether it serves.
  struct Hooks {
    std::function<void()> restart;
    std::function<bool()> ready;
  };
  // As long as this node is in no cluster, `parts` is null; then, and only then, it has
  // `own_facts`.
  ClusterAdmin(io::World& world, io::NameService& names, const Settings& settings, std::string name,
               ClusterParts* parts, metadata::Metadata* own_facts, VoterMaker& voters, Hooks hooks);

  io::Task<Result<std::string>> init(cluster::EnterOptions options, io::Call call) override;
  io::Task<Result<void>> join(std::string token, cluster::EnterOptions options,
                              io::Call call) override;
  io::Task<Result<void>> leave(bool force, io::Call call) override;
  io::Task<Result<std::string>> make_token(io::Duration life, io::Call call) override;
  boost::json::object status() override;
  io::Task<Result<void>> drain(std::string node, bool on, io::Call call) override;
  io::Task<Result<void>> remove(std::string node, bool force, io::Call call) override;
  io::Task<Result<void>> promote(std::string node, io::Call call) override;
  io::Task<Result<std::string>> backup(io::Call call) override;
  io::Task<Result<cluster::Restored>> restore(std::string text, io::Call call) override;

 private:
  Result<void> check_alone() const;
  Result<void> check_in_cluster() const;
  io::Task<Result<void>> check_copies_elsewhere(std::string node, io::Call call) const;
  // `act`, unless another one is under way. When it is done this node is about to start anew.
  template <class T>
  io::Task<Result<T>> change_membership(io::Task<Result<T>> act);
  io::Task<Result<std::string>> init_now(cluster::EnterOptions options, io::Call call);
  io::Task<Result<void>> join_now(std::string token, cluster::EnterOptions options, io::Call call);
  io::Task<Result<void>> enter(ClusterState state, cluster::JoinAnswer answer,
                               const security::Secret& key);
  io::Task<Result<void>> leave_now(bool force, io::Call call);
  io::Task<Result<void>> leave_and_forget(bool force, io::Call call);
  io::Task<Result<void>> forget_others_keys(io::Call call);
  io::Task<Result<void>> take_leave(bool force, io::Call call);  // Tells the cluster.
  io::Task<Result<std::string>> found(ClusterState state, io::Call call);
  io::Task<Result<std::string>> write_first_facts(Voter& voter, cluster::Member self, Digest ca_pin,
                                                  io::Call call);
  io::Task<Result<void>> keep_facts(io::Call call);
  io::Task<Result<cluster::JoinAnswer>> ask_to_join(const security::JoinToken& token,
                                                    std::vector<cluster::DiscoverySource> sources,
                                                    const cluster::JoinRequest& request,
                                                    io::Call call);
  io::Task<Result<cluster::JoinAnswer>> ask_one_to_join(http::Client& client, io::Endpoint endpoint,
                                                        const Digest& ca_pin,
                                                        const cluster::JoinRequest& request,
                                                        io::Call call);
  boost::json::object describe(const cluster::Member& member, const cluster::View& view) const;

  io::World& world_;
  io::NameService& names_;
  const Settings& settings_;
  std::string name_;
  io::Path directory_;
  ClusterParts* parts_;
  metadata::Metadata* own_facts_;
  VoterMaker& voters_;
  Hooks hooks_;
  bool changing_ = false;
};

}  // namespace om::app
