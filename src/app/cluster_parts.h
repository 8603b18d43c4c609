// The parts of a node that exist only in a cluster, built and stopped together.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>

#include "app/cluster_state.h"
#include "app/own_files.h"
#include "app/voter.h"
#include "app/voter_census.h"
#include "cluster/backend_table.h"
#include "cluster/catalogue.h"
#include "cluster/cluster_store.h"
#include "cluster/discovery.h"
#include "cluster/members.h"
#include "cluster/remote_metadata.h"
#include "cluster/reports.h"
#include "http/client.h"
#include "http/server.h"
#include "peer/peer_server.h"
#include "peer/renewal.h"
#include "peer/staged_scheduler.h"
#include "peer/voter_service.h"
#include "scheduler/cluster_scheduler.h"
#include "scheduler/local_scheduler.h"
#include "scheduler/part_leases.h"
#include "scheduler/split_planner.h"
#include "security/identity.h"
#include "store/store.h"
#include "transfer/distribution.h"

namespace om::app {

// On the io thread. References outlive it; stop() must have returned before it is destroyed. Built
// by open(): what it hands out by reference exists from then on.
class ClusterParts {
 public:
  ClusterParts(io::World& world, const Settings& settings, store::Store& disk, ClusterState state,
               io::Path directory, VoterMaker& voters);
  ~ClusterParts();

  // Listens at `at`, at first for the other voters' etcd alone; opens the facts, and begins to
  // follow them and the other nodes. Goes on without a majority. `client` is for registries and
  // blobs. already_exists: the address is in use.
  io::Task<Result<void>> open(io::Endpoint at, scheduler::LocalScheduler& local,
                              http::Client& client, transfer::TransferOptions options);
  void serve_nodes();  // Answers whatever nodes ask, from then on.

  store::Store& store() { return *store_; }
  transfer::Distribution& distribution() { return *distribution_; }
  scheduler::Scheduler& scheduler() { return *scheduler_; }
  scheduler::Scheduler& own_scheduler() { return *staged_; }  // Of this node, fetches files.
  metadata::Metadata& metadata() { return *metadata_; }
  // The node becomes a voter once it has seen this; `asked`: and stays one, though others may be
  // enough. Errors as Members::update()'s.
  io::Task<Result<void>> set_voter(std::string name, bool asked, io::Call call);
  // Takes a node out of those that keep the facts; its record says that it is no voter any more.
  io::Task<Result<void>> remove_voter(std::string name, io::Call call);
  // Takes this node out of the cluster, its vote first. Asked again after half of it was done, it
  // does the rest.
  io::Task<Result<void>> withdraw(io::Call call);
  bool facts_are_external() const;  // In an etcd that no node runs.
  // The cluster is over with this node. They go when nobody here follows them any more: to see them
  // go would be to delete what they stand for.
  void forget_facts_at_end() { is_last_ = true; }
  cluster::Members& members() { return *members_; }
  cluster::Reports& reports() { return *reports_; }
  security::IdentityStore& identity() { return identity_; }
  const peer::Renewal& renewal() const { return *renewal_; }
  const ClusterState& state() const { return state_; }
  // Another node's copy of a backend's key. not_found: none has it.
  io::Task<Result<std::string>> fetch_backend_key(std::string name, io::Call call);
  // Hands keys to other nodes from then on. It outlives this object.
  void serve_backend_keys(cluster::BackendTable& table);
  // Looking after the voters, this node's own vote included. On from open() on; off to leave.
  void start_voting();
  io::Task<void> stop_voting();
  cluster::NodeInfo self();
  // Another node took this one out of the cluster: it is refused there.
  bool was_removed() const { return removed_; }
  io::Task<void> notice_removal(io::Call call);  // Asks the voters; a node looks by itself, too.
  // False: it has just joined and was told nothing of the cluster's models yet.
  bool knows_facts() const;
  // Its own models have their names in the cluster: see Replicas::renamed().
  bool has_settled() const { return !state_.newcomer; }
  // Before open(), which may find it necessary. `restart` is called once when this node must start
  // anew to go on; where that can wait, not as long as somebody is answered here (`is_busy`).
  void on_change_of_role(std::function<void()> restart, std::function<bool()> is_busy) {
    restart_ = std::move(restart);
    is_busy_ = std::move(is_busy);
  }
  size_t leases_held() const { return peer_server_->leases(); }  // For the simulation.
  // The other nodes that can be reached and stay.
  std::vector<engine::PeerLink> peers();
  http::Client& peer_client() { return *client_; }
  // What else nodes ask of this one: `prefix` and everything below it.
  void serve(std::string prefix, http::Handler handler) {
    peer_server_->mount(std::move(prefix), std::move(handler));
  }
  // Tells other nodes to send nothing more, and lets what runs for them end within `grace`.
  void begin_drain() { stopping_ = true; }
  io::Task<void> drain(io::Duration grace) { return peer_server_->drain(grace); }
  io::Task<void> stop();

 private:
  // cluster_parts.cpp: what the parts are made of, and what other nodes ask of them.
  void connect_members();
  std::vector<engine::PeerLink> voters();  // The most promising first.
  std::vector<engine::PeerLink> other_well_voters();
  engine::PeerLink link_to(const cluster::Member& member);
  Result<void> listen(io::Endpoint at);
  io::Task<void> answer(http::Request& request, http::BodyReader& body,
                        http::ResponseWriter& response);
  Result<void> authorize(const http::Request& request);
  void tell_removal(bool removed);
  io::Task<void> wait_for_reports();
  void open_split(scheduler::LocalScheduler& local);
  io::Task<Result<void>> plan_split(scheduler::Target& target, io::Call call);
  void open_renewal();

  // cluster_exchange.cpp: the models and keys of backends that nodes give each other.
  void open_distribution(http::Client& client, transfer::TransferOptions options);
  io::Task<void> serve_blob(http::Request& request, http::ResponseWriter& response);
  io::Task<Result<std::string>> describe(model::Name name, std::string bytes);
  io::Task<Result<void>> bring(const scheduler::Target& target, io::Call call);
  io::Task<void> stage(std::string model, size_t copies);

  // cluster_address.cpp: where this node and the others are.
  bool has_moved();
  io::Task<Result<void>> update_own_record(io::Call call);
  void hear_address(const http::Request& request);
  io::Endpoint address_of(const cluster::Member& member) const;
  std::vector<std::string> addresses_of(std::string_view node) const;
  std::vector<cluster::Member> known_members() const;
  void part_from_former(const std::vector<cluster::Member>& members);
  io::Task<void> forget_former(std::string name);

  // cluster_voters.cpp: how this node opens the facts, and its own vote.
  io::Task<Result<void>> open_facts();
  std::unique_ptr<Voter> make_voter();
  std::optional<engine::PeerLink> link_at_address(const io::Endpoint& at);
  io::Path members_file() const { return io::join(directory_, "members.json"); }
  std::vector<cluster::Member> members_on_disk() const;
  Result<void> check_facts_elsewhere() const;
  std::vector<io::Endpoint> others_etcd(std::vector<cluster::Member> members) const;
  io::Task<Result<void>> fetch_authority(io::Call call);
  io::Task<Result<void>> become_voter(io::Call call);
  io::Task<Result<void>> complete_vote(io::Call call);
  io::Task<Result<void>> give_up_old_vote(io::Call call);
  io::Task<Result<void>> remove_own_vote(io::Call call);
  bool has_lost_its_vote(const cluster::Member& self) const;
  void note_without_vote();
  bool may_step_down() const;  // After note_without_vote().
  Result<void> step_down();

  // cluster_voters.cpp, too: what is looked after all the time, the votes of others included.
  // claim_vote: this node reaches the user's own etcd. forget_authority: it was chosen, and given
  // up before it had a vote.
  enum class VoteDuty {
    none,
    write_record,
    become_voter,
    claim_vote,
    forget_authority,
    step_down,
    choose_voters,
  };
  io::Task<void> keep_voters(io::CancelToken token);
  VoteDuty next_duty(const cluster::Member* self) const;  // Null: this node is no member.
  io::Task<Result<void>> perform(VoteDuty duty, io::CancelToken token);
  bool decides_voters() const;
  io::Task<Result<void>> choose_voters(io::Call call);

  io::World& world_;
  const Settings& settings_;
  store::Store& disk_;
  ClusterState state_;
  io::Path directory_;
  VoterMaker& voters_maker_;
  security::IdentityStore identity_;
  scheduler::LocalScheduler* local_ = nullptr;
  std::function<void()> restart_;
  std::function<bool()> is_busy_;
  bool stopping_ = false, listening_ = false, serving_ = false, removed_ = false, is_last_ = false;
  bool drained_ = false;  // As its record said last.
  OwnFiles files_;
  std::map<std::string, std::shared_ptr<const io::Tls>> tls_;

  // cluster_address.cpp.
  struct HeardAddress {
    io::Endpoint recorded, now;
  };
  // Where nodes say that they are, until their records say something else than they did then.
  std::map<std::string, HeardAddress, std::less<>> heard_;
  std::set<std::string> members_before_;
  std::optional<io::TimePoint> moved_since_;

  // From here on each may use those above it, and is destroyed before them.
  // Of its own: connections to nodes have other limits than those to runners and registries.
  std::unique_ptr<http::Client> client_;
  std::unique_ptr<peer::Renewal> renewal_;
  std::unique_ptr<cluster::MdnsAnnouncement> announcement_;

  // cluster_voters.cpp.
  std::unique_ptr<Voter> voter_;
  bool vote_is_sure_ = false;  // Etcd, this node's state and its record agree on it.
  // Through other voters: all of a node without a vote, and what a voter's own copy does not do.
  std::unique_ptr<metadata::Metadata> metadata_;
  VoterCensus census_;
  // Nothing ends it but the restart of this node as one without a vote.
  std::optional<io::TimePoint> without_vote_since_;

  std::unique_ptr<cluster::Members> members_;
  std::unique_ptr<cluster::Catalogue> catalogue_;
  std::unique_ptr<cluster::ClusterStore> store_;
  std::unique_ptr<cluster::Reports> reports_;
  std::unique_ptr<transfer::Distribution> distribution_;
  std::unique_ptr<scheduler::SplitPlanner> split_planner_;
  std::unique_ptr<peer::StagedScheduler> staged_;  // `local_`, once the model's files are here.
  std::unique_ptr<scheduler::ClusterScheduler> scheduler_;
  std::unique_ptr<scheduler::PartLeases> part_leases_;
  std::unique_ptr<peer::PeerServer> peer_server_;
  std::unique_ptr<peer::VoterService> voter_service_;
  std::unique_ptr<http::Server> http_server_;
  std::unique_ptr<io::TaskGroup> voting_;
  io::TaskGroup tasks_;
};

}  // namespace om::app
