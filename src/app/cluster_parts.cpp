#include "app/cluster_parts.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "app/own_facts.h"
#include "base/log.h"
#include "base/measured_rate.h"
#include "base/rendezvous.h"
#include "peer/metrics.h"
#include "scheduler/remote_lease.h"

namespace om::app {
namespace {

constexpr std::chrono::seconds kPeerConnectMax{2};
constexpr std::chrono::seconds kPeerWriteIdleMax{5};
// So many answers at once come from a node without a new mutual TLS handshake for each.
constexpr size_t kPeerIdleMax = 256;
constexpr std::chrono::seconds kFirstSyncMax{5}, kFirstReportsMax{1};
constexpr std::chrono::milliseconds kReportsPoll{20};
constexpr std::string_view kJoinPath = "/peer/v1/join";

http::ClientLimits peer_client_limits() {
  http::ClientLimits limits;
  limits.connect_max = kPeerConnectMax;
  limits.idle_per_endpoint_max = kPeerIdleMax;
  return limits;
}

http::ServerLimits peer_server_limits() {
  http::ServerLimits limits;
  limits.write_idle_max = kPeerWriteIdleMax;
  limits.body_bytes_max = 512ull << 20;
  return limits;
}

}  // namespace

ClusterParts::ClusterParts(io::World& world, const Settings& settings, store::Store& disk,
                           ClusterState state, io::Path directory, VoterMaker& voters)
    : world_(world),
      settings_(settings),
      disk_(disk),
      state_(std::move(state)),
      directory_(std::move(directory)),
      voters_maker_(voters),
      identity_(world.files, directory_),
      files_(world, disk),
      tasks_(world.executor, world.clock) {
  client_ = std::make_unique<http::Client>(world_, peer_client_limits());
}

ClusterParts::~ClusterParts() = default;

io::Task<Result<void>> ClusterParts::open(io::Endpoint at, scheduler::LocalScheduler& local,
                                          http::Client& client, transfer::TransferOptions options) {
  local_ = &local;
  CO_TRY_VOID(identity_.load());
  co_await files_.look();
  open_renewal();
  CO_TRY_VOID(listen(std::move(at)));
  CO_TRY_VOID(co_await open_facts());
  members_ = std::make_unique<cluster::Members>(world_, *metadata_, members_file());
  catalogue_ = std::make_unique<cluster::Catalogue>(world_, *metadata_, disk_,
                                                    io::join(directory_, "models.json"));
  store_ = std::make_unique<cluster::ClusterStore>(world_, disk_, *catalogue_);
  reports_ = std::make_unique<cluster::Reports>(world_, *client_, [this] { return self(); });
  reports_->tell_address(state_.advertise);
  staged_ = std::make_unique<peer::StagedScheduler>(
      local, [this](const scheduler::Target& target, io::Call call) {
        return bring(target, std::move(call));
      });
  auto leases = std::make_unique<scheduler::RemoteLeases>(world_, *client_, *reports_);
  part_leases_ = std::make_unique<scheduler::PartLeases>(world_, *leases, state_.name);
  scheduler::ReplicaOptions replicas;
  replicas.standby = settings_.standby_runners;
  scheduler_ = std::make_unique<scheduler::ClusterScheduler>(world_, std::move(leases), *staged_,
                                                             state_.name, replicas);
  scheduler_->stage_with([this](const scheduler::Target& target, size_t copies) {
    tasks_.spawn(stage(target.name, copies));
  });
  open_split(local);
  peer::Dependencies dependencies{
      world_,
      disk_,
      *staged_,
      [this] { return self(); },
      [this] { return reports_->view(); },
      [this](const http::Request& request) { return authorize(request); },
      [this](std::string_view node) {
        const cluster::Member* member = members_->find(node);
        return member && member->voter;
      },
      [this](scheduler::Target& target, io::Call call) {
        return plan_split(target, std::move(call));
      }};
  peer_server_ = std::make_unique<peer::PeerServer>(std::move(dependencies));
  if (voter_) peer_server_->serve_voters(voter_->metadata(), identity_);
  peer_server_->mount(
      std::string(peer::kRenewPath),
      [this](http::Request& request, http::BodyReader& body, http::ResponseWriter& response) {
        return renewal_->answer(request, body, response);
      });
  open_distribution(client, std::move(options));
  reports_->on_lost([this](const std::string& node) { peer_server_->forget(node); });
  members_->on_change([this] { connect_members(); });
  catalogue_->on_change([this](const auto&, const auto*, const cluster::Card* card) {
    if (card != nullptr) files_.add(*card->model);
  });
  members_->start();
  catalogue_->start();
  connect_members();
  start_voting();
  renewal_->start();
  const io::Call call = world_.clock.call_within(kFirstSyncMax, tasks_.token());
  auto synced = co_await members_->facts().wait_synced(call);
  if (synced) synced = co_await catalogue_->facts().wait_synced(call);
  if (!synced) {
    log_warn("the cluster's facts cannot be read yet: serving from what was known last",
             field("error", synced.error()));
  }
  distribution_->start();
  scheduler_->start();
  co_await wait_for_reports();
  co_return Result<void>{};
}

// Whoever knows nobody's state yet would take each first request itself.
io::Task<void> ClusterParts::wait_for_reports() {
  auto are_known = [this] {
    return std::ranges::none_of(reports_->view().nodes(), [](const cluster::NodeInfo& node) {
      return node.state == cluster::NodeState::joining;
    });
  };
  const io::Call call = world_.clock.call_within(kFirstReportsMax, tasks_.token());
  co_await io::wait_until(world_.clock, are_known, kReportsPoll, call);
}

bool ClusterParts::knows_facts() const {
  return !state_.newcomer || (members_->facts().synced() && catalogue_->facts().synced());
}

void ClusterParts::open_renewal() {
  renewal_ = std::make_unique<peer::Renewal>(
      peer::RenewalLinks{world_, *client_, identity_, state_.name,
                         [this](std::string_view node) { return addresses_of(node); },
                         [this] { return voters(); }, settings_.certificate_life});
  // Before etcd and the other nodes see the old one: it may have expired while the node was off.
  renewal_->renew_by_itself();
}

void ClusterParts::open_split(scheduler::LocalScheduler& local) {
  split_planner_ = std::make_unique<scheduler::SplitPlanner>(
      world_, *client_, *reports_, state_.name, local.plan_options(),
      [&local](const scheduler::Target& target) { return local.wanted_context(target); });
  scheduler_->split_with(*split_planner_);
  local.use_engines(engine::node_engines(world_, *part_leases_));
}

io::Task<Result<void>> ClusterParts::plan_split(scheduler::Target& target, io::Call call) {
  CO_TRY(target.split, co_await split_planner_->plan_here(target, std::move(call)));
  co_return Result<void>{};
}

Result<void> ClusterParts::listen(io::Endpoint at) {
  auto handler = [this](http::Request& request, http::BodyReader& body,
                        http::ResponseWriter& response) { return answer(request, body, response); };
  http_server_ = std::make_unique<http::Server>(world_, peer_server_limits(), std::move(handler));
  // Of a voter whose etcd has one_port, now or later.
  peer::VoterPorts ports{etcd_on_loopback(state_.advertise, kEtcdClientOffset),
                         etcd_on_loopback(state_.advertise, kEtcdPeerOffset),
                         identity_.client_of(state_.name)};
  voter_service_ = std::make_unique<peer::VoterService>(world_, *client_, std::move(ports));
  TRY(const io::Endpoint bound, http_server_->listen(std::move(at), identity_.peer_server()));
  listening_ = true;
  log_info("listening for other nodes", field("address", bound.str()), field("node", state_.name));
  return {};
}

// Voters reach each other's etcd also while this node begins: it may wait for just that.
io::Task<void> ClusterParts::answer(http::Request& request, http::BodyReader& body,
                                    http::ResponseWriter& response) {
  const bool for_voter = peer::VoterService::serves(request.path) && state_.one_port;
  if (!for_voter && serving_) {
    hear_address(request);
    co_return co_await peer_server_->handle(request, body, response);
  }
  int status = 503;
  Error error{Errc::unavailable, "this node is starting"};
  if (const auto allowed = authorize(request); !allowed) {
    peer::refused.add();
    status = 403;
    error = allowed.error();
  } else if (for_voter) {
    co_return co_await voter_service_->handle(request, body, response);
  }
  // Who is gone needs no answer.
  (void)co_await response.send(status, "application/x-ndjson", engine::error_line(error));
}

void ClusterParts::serve_nodes() {
  serving_ = true;
  peer_server_->start();
  if (settings_.announce_mdns) {
    announcement_ =
        std::make_unique<cluster::MdnsAnnouncement>(world_, state_.name, state_.advertise.port);
    announcement_->start();
  }
}

engine::PeerLink ClusterParts::link_to(const cluster::Member& member) {
  auto& tls = tls_[member.name];  // One object a node: connections are pooled by it.
  if (!tls) tls = identity_.client_of(member.name);
  return {member.name, member.peer, tls};
}

void ClusterParts::connect_members() {
  if (!reports_) return;
  std::vector<engine::PeerLink> links;
  std::set<std::string, std::less<>> draining;
  std::vector<std::string> aggregators;
  const std::vector<cluster::Member> members = known_members();
  part_from_former(members);
  const bool asks_voters = !state_.voter && members.size() > settings_.direct_reports_max;
  for (const cluster::Member& member : members) {
    if (member.name == state_.name) {
      if (member.draining && !drained_) local_->end_split();
      drained_ = member.draining;
      continue;
    }
    links.push_back(link_to(member));
    if (member.draining) draining.insert(member.name);
    if (asks_voters && member.has_vote()) aggregators.push_back(member.name);
  }
  reports_->set_peers(std::move(links), std::move(aggregators));
  reports_->set_draining(std::move(draining));
  if (members_->facts().synced()) tell_removal(!members_->find(state_.name));
}

void ClusterParts::tell_removal(bool removed) {
  const bool leaving = voting_ && voting_->token().cancelled();
  if (removed && !removed_ && !leaving) {
    log_warn(
        "this node was removed from its cluster: `ollamamax cluster leave` makes it a node "
        "of its own again",
        field("node", state_.name));
  }
  removed_ = removed;
}

std::vector<engine::PeerLink> ClusterParts::voters() {
  const std::vector<cluster::Member> members = known_members();
  std::vector<engine::PeerLink> links;
  for (const cluster::Member& member : members) {
    // A node that became a voter while it ran asks itself through its own port.
    const bool is_here = member.name == state_.name && !voter_;
    if (member.has_vote() && !is_here) links.push_back(link_to(member));
  }
  const cluster::View view = reports_ ? reports_->view() : cluster::View();
  // Each node has an order of its own, or all would ask the same one.
  std::ranges::sort(links, {}, [&](const engine::PeerLink& link) {
    const cluster::NodeInfo* node = view.find(link.node);
    const bool is_there = node && node->is_reachable();
    return std::tuple(!is_there, is_there && !node->reaches_majority,
                      rendezvous(state_.name, link.node));
  });
  return links;
}

// Those that said so themselves, of late: who is asked in vain may leave a change open.
std::vector<engine::PeerLink> ClusterParts::other_well_voters() {
  std::vector<engine::PeerLink> links = voters();
  const cluster::View view = reports_ ? reports_->view() : cluster::View();
  std::erase_if(links, [&](const engine::PeerLink& link) {
    const cluster::NodeInfo* node = view.find(link.node);
    return link.node == state_.name || !node || !node->reaches_majority || !node->answers();
  });
  return links;
}

std::vector<engine::PeerLink> ClusterParts::peers() {
  std::vector<engine::PeerLink> peers;
  const cluster::View view = reports_->view();
  for (const cluster::NodeInfo& node : view.nodes()) {
    const engine::PeerLink* link = reports_->link_of(node.name);
    if (link && node.answers()) peers.push_back(*link);
  }
  return peers;
}

Result<void> ClusterParts::authorize(const http::Request& request) {
  if (request.path == kJoinPath) return {};
  const std::string& name = request.peer_certificate;
  const cluster::Member* member = members_ ? members_->find(name) : nullptr;
  std::vector<cluster::Member> known;  // Before the records have come; a stranger pays for it.
  if (!member) {
    known = known_members();
    const auto found = std::ranges::find(known, name, &cluster::Member::name);
    if (found != known.end()) member = &*found;
  }
  return security::check_peer(name, request.peer_certificate_serial,
                              member ? &member->serial : nullptr);
}

cluster::NodeInfo ClusterParts::self() {
  cluster::NodeInfo node = local_->node_info(state_.name);
  const cluster::Member* member = members_->find(state_.name);
  const bool draining = stopping_ || (member && member->draining);
  node.state = draining ? cluster::NodeState::draining : cluster::NodeState::ready;
  node.blobs = files_.blobs();
  node.disk_free = files_.bytes_free();
  node.reaches_majority = !voter_ || voter_->metadata().healthy();
  if (distribution_) node.copying = distribution_->replicas().progress();
  if (scheduler_) node.demand = scheduler_->demand();
  if (distribution_) node.copy_rate = in_steps(distribution_->receiving().measured());
  return node;
}

io::Task<void> ClusterParts::stop() {
  if (voting_) co_await voting_->stop();
  if (voter_) co_await voter_->hand_over_lead();
  co_await tasks_.stop();
  if (announcement_) co_await announcement_->stop();
  if (renewal_) co_await renewal_->stop();
  if (local_) local_->on_doubt(nullptr);
  if (distribution_) co_await distribution_->stop();
  if (reports_) co_await reports_->stop();
  co_await files_.stop();
  if (peer_server_) co_await peer_server_->stop();
  if (voter_service_) voter_service_->stop();
  if (listening_) co_await http_server_->stop(std::chrono::seconds(2));
  if (catalogue_) co_await catalogue_->stop();
  if (members_) co_await members_->stop();
  if (metadata_) co_await metadata_->stop();
  if (is_last_ && voter_ && state_.external_etcd) {
    co_await forget_facts(voter_->metadata(), world_.clock.call_within(metadata::kCallMax));
  }
  if (voter_) co_await voter_->stop();
  client_->close_idle();
}

}  // namespace om::app
