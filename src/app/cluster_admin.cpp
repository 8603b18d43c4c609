#include "app/cluster_admin.h"

#include <algorithm>

#include "app/cluster_restore.h"
#include "app/node_parts.h"
#include "app/own_address.h"
#include "app/own_facts.h"
#include "base/log.h"
#include "base/version.h"
#include "cluster/report_wire.h"
#include "engine/remote/wire.h"
#include "io/wall_time.h"
#include "metadata/backup.h"
#include "transfer/replicas/health.h"

namespace om::app {

namespace json = boost::json;

namespace {

constexpr uint64_t kAnswerBytesMax = 16 << 20;
// Longer than a voter takes, which may have let this machine in when it is given up; but so long
// only where somebody answers at all.
constexpr std::chrono::seconds kJoinAskMax{12}, kJoinConnectMax{3}, kJoinAskAgain{1};
constexpr std::chrono::seconds kRemovalAskedMax{5};
static_assert(kJoinAskMax > peer::JoinService::kJoinMax);
constexpr std::chrono::seconds kCopiesWordMax{3};
constexpr std::chrono::milliseconds kCopiesPoll{100};

// Of machines that ask to be let in, see IdentityStore::join_request().
io::Path joining_directory(std::string_view state_directory) {
  return io::join(state_directory, "joining");
}

Result<void> check_own_name(const std::string& name) {
  const auto checked = security::check_node_name(name);
  if (checked) return {};
  return fail(checked.error().code, "{}; node.name (OLLAMAMAX_NODE_NAME) gives this one another",
              checked.error().what);
}

json::object describe_runner(const cluster::RunnerInfo& runner) {
  return {{"model", runner.model},
          {"context_length", runner.context_length},
          {"slots", runner.slots},
          {"running", runner.running},
          {"queued", runner.queued},
          {"size_bytes", runner.size_bytes},
          {"loading", runner.loading},
          {"output_rate", runner.output_rate},
          {"prompt_rate", runner.prompt_rate}};
}

}  // namespace

ClusterAdmin::ClusterAdmin(io::World& world, io::NameService& names, const Settings& settings,
                           std::string name, ClusterParts* parts, metadata::Metadata* own_facts,
                           VoterMaker& voters, Hooks hooks)
    : world_(world),
      names_(names),
      settings_(settings),
      name_(std::move(name)),
      directory_(cluster_directory(settings.state_directory)),
      parts_(parts),
      own_facts_(own_facts),
      voters_(voters),
      hooks_(std::move(hooks)) {}

Result<void> ClusterAdmin::check_alone() const {
  if (!parts_) return {};
  return fail(Errc::invalid_argument,
              "this node is in a cluster already; `ollamamax cluster leave` takes it out");
}

Result<void> ClusterAdmin::check_in_cluster() const {
  if (parts_) return {};
  return fail(Errc::invalid_argument,
              "this node is in no cluster; `ollamamax cluster init` begins one");
}

template <class T>
io::Task<Result<T>> ClusterAdmin::change_membership(io::Task<Result<T>> act) {
  if (changing_) {
    co_return fail(Errc::overloaded, "the membership of this node is being changed");
  }
  changing_ = true;
  auto done = co_await std::move(act);
  changing_ = done.has_value();
  if (done) hooks_.restart();
  co_return done;
}

io::Task<Result<std::string>> ClusterAdmin::init(cluster::EnterOptions options, io::Call call) {
  return change_membership(init_now(std::move(options), std::move(call)));
}

io::Task<Result<void>> ClusterAdmin::join(std::string token, cluster::EnterOptions options,
                                          io::Call call) {
  return change_membership(join_now(std::move(token), std::move(options), std::move(call)));
}

io::Task<Result<void>> ClusterAdmin::leave(bool force, io::Call call) {
  return change_membership(leave_now(force, std::move(call)));
}

io::Task<Result<std::string>> ClusterAdmin::init_now(cluster::EnterOptions options, io::Call call) {
  CO_TRY_VOID(check_alone());
  CO_TRY_VOID(check_own_name(name_));
  ClusterState state{.name = name_};
  CO_TRY_VOID(choose_address(state, settings_, options.advertise, {}));
  auto token = co_await found(std::move(state), std::move(call));
  if (!token) {
    // The file that makes this node a member is written last: nothing of it counts yet.
    const auto removed = world_.files.remove_all(directory_);
    if (!removed) log_warn("cannot remove", field("error", removed.error()));
  }
  co_return token;
}

// Authority, certificate, first member, first token; in this order, so that a crash in between
// leaves a node by itself.
io::Task<Result<std::string>> ClusterAdmin::found(ClusterState state, io::Call call) {
  const io::WallTime now = world_.clock.wall_now();
  security::IdentityStore identity(world_.files, directory_);
  // Of an earlier try that was cut off: its etcd has facts of its own.
  CO_TRY_VOID(world_.files.remove_all(directory_));
  CO_TRY_VOID(world_.files.make_directories(directory_));
  CO_TRY(const auto authority, security::make_authority("ollamamax", world_.random, now));
  CO_TRY(const auto request, security::make_certificate_request(name_));
  security::IssueOptions issue;
  issue.name = name_;
  const io::Endpoint advertise = state.advertise;
  if (const auto host = security::canonical_host(advertise.host)) issue.addresses.push_back(*host);
  issue.now = now;
  CO_TRY(const std::string certificate,
         security::issue_certificate(authority, request.request, issue, world_.random));
  CO_TRY_VOID(identity.save(authority.certificate, certificate, request.key, now));
  CO_TRY_VOID(identity.save_authority(authority));
  CO_TRY(const auto facts, security::read_certificate(certificate));
  CO_TRY(const auto authority_facts, security::read_certificate(authority.certificate));

  cluster::Member self;
  self.name = name_;
  self.peer = advertise;
  self.voter = true;
  self.serial = facts.serial;
  self.version = kVersion;
  self.joined_seconds = io::unix_seconds(now);
  const bool external = !settings_.etcd_endpoints.empty();
  state.voter = true;
  state.external_etcd = external;
  state.one_port = !external && can_use_one_port(settings_, advertise, {self});
  state.known = {self};
  const auto voter = voters_.make({world_, settings_, state, directory_, identity});
  auto text = Result<std::string>();
  if (auto begun = co_await voter->begin(call); !begun) {
    text = fail(std::move(begun).error());
  } else {
    text = co_await write_first_facts(*voter, self, authority_facts.fingerprint, call);
    if (!text && external) co_await forget_facts(voter->metadata(), call);
  }
  co_await voter->stop();
  if (!text) co_return text;
  CO_TRY_VOID(save_cluster_state(world_.files, directory_, state));
  co_return text;
}

// The facts that this node kept for itself, its own record and the first token. Of models a cluster
// that it was in may have left some there: what its disk has by now it tells by itself.
io::Task<Result<std::string>> ClusterAdmin::write_first_facts(Voter& voter, cluster::Member self,
                                                              Digest ca_pin, io::Call call) {
  metadata::Metadata& metadata = voter.metadata();
  CO_TRY(auto own, co_await own_facts_->list("/", call));
  erase_catalogue(own);
  if (!own.entries.empty()) {
    CO_TRY_VOID(co_await metadata::import_entries(metadata, std::move(own), call));
  }
  self.etcd_client = voter.client_url();
  self.etcd_peer = voter.peer_url();
  metadata::Transaction transaction;
  transaction.operations.push_back(metadata::Operation::put(
      std::string(cluster::kNodesPrefix) + name_, cluster::write_member(self)));
  CO_TRY_VOID(co_await metadata.commit(std::move(transaction), call));
  std::vector<io::Endpoint> endpoints{self.peer};
  CO_TRY(const auto token, co_await cluster::offer_token(world_, metadata, std::move(endpoints),
                                                         ca_pin, cluster::kTokenLife, call));
  co_return security::join_token_text(token);
}

io::Task<Result<cluster::JoinAnswer>> ClusterAdmin::ask_one_to_join(
    http::Client& client, io::Endpoint endpoint, const Digest& ca_pin,
    const cluster::JoinRequest& request, io::Call call) {
  http::ClientRequest ask;
  ask.method = "POST";
  ask.endpoint = endpoint;
  ask.tls = security::join_client(ca_pin);
  ask.host = endpoint.str();
  ask.target = "/peer/v1/join";
  ask.body = cluster::write_join_request(request);
  // Nobody there is no reason to wait for the rest of the call.
  const io::Call bounded = world_.clock.call_within(kJoinAskMax, call);
  auto response = co_await client.send(std::move(ask), bounded);
  if (!response) {
    Error error = annotate(std::move(response).error(), endpoint.str());
    error.code = Errc::unavailable;
    co_return fail(std::move(error));
  }
  CO_TRY(const std::string body, co_await (*response)->read_all(kAnswerBytesMax));
  if ((*response)->status() == 200) co_return cluster::read_join_answer(body);
  CO_TRY(const json::object line, engine::parse_line(body));
  auto told = engine::error_in(line);
  co_return fail(told ? std::move(*told)
                      : Error{Errc::unavailable, endpoint.str() + " let nobody in"});
}

// The token's nodes first, then those that are found: they may have moved since it was made.
io::Task<Result<cluster::JoinAnswer>> ClusterAdmin::ask_to_join(
    const security::JoinToken& token, std::vector<cluster::DiscoverySource> sources,
    const cluster::JoinRequest& request, io::Call call) {
  http::ClientLimits limits;
  limits.connect_max = kJoinConnectMax;
  http::Client client(world_, limits);
  Error last{Errc::unavailable, "the token names no node"};
  std::vector<io::Endpoint> asked;
  for (const bool discovered : {false, true}) {
    std::vector<io::Endpoint> endpoints = token.endpoints;
    if (discovered) endpoints = co_await cluster::discover(world_, names_, sources, call);
    for (const io::Endpoint& endpoint : endpoints) {
      if (std::ranges::find(asked, endpoint) != asked.end()) continue;
      asked.push_back(endpoint);
      do {
        auto answer = co_await ask_one_to_join(client, endpoint, token.ca_pin, request, call);
        if (answer) co_return answer;
        last = std::move(answer).error();
        // Others join there right now, which takes a moment.
      } while (last.code == Errc::overloaded &&
               co_await world_.clock.sleep_for(kJoinAskAgain, call));
      // Only voters let nodes in; others do not know the way.
      const bool ask_next = last.code == Errc::unavailable || last.code == Errc::unsupported;
      if (!ask_next) co_return fail(std::move(last));
    }
  }
  co_return fail(std::move(last));
}

io::Task<Result<void>> ClusterAdmin::join_now(std::string text, cluster::EnterOptions options,
                                              io::Call call) {
  CO_TRY_VOID(check_alone());
  CO_TRY_VOID(check_own_name(name_));
  CO_TRY(const security::JoinToken token, security::parse_join_token(text));
  const auto& places = options.discover.empty() ? settings_.cluster_discover : options.discover;
  CO_TRY(auto sources, cluster::parse_discovery(places));
  ClusterState state{.name = name_, .newcomer = true};
  CO_TRY_VOID(choose_address(state, settings_, options.advertise, token.endpoints));
  security::IdentityStore joining(world_.files, joining_directory(settings_.state_directory));
  CO_TRY(const auto own, joining.join_request(token.id, name_));
  const auto now = std::chrono::floor<std::chrono::seconds>(world_.clock.wall_now());
  cluster::JoinRequest request{token.id,        token.secret, own.request,
                               state.advertise, kVersion,     now.time_since_epoch().count()};
  CO_TRY(cluster::JoinAnswer answer,
         co_await ask_to_join(token, std::move(sources), request, std::move(call)));
  co_return co_await enter(std::move(state), std::move(answer), own.key);
}

// The cluster knows this node by now. Whatever fails here is done again by another join with the
// same token.
io::Task<Result<void>> ClusterAdmin::enter(ClusterState state, cluster::JoinAnswer answer,
                                           const security::Secret& key) {
  security::IdentityStore identity(world_.files, directory_);
  // Of a cluster that was left or never begun: its etcd has other facts.
  CO_TRY_VOID(world_.files.remove_all(directory_));
  CO_TRY_VOID(world_.files.make_directories(directory_));
  CO_TRY_VOID(identity.save(answer.authority, answer.certificate, key, world_.clock.wall_now()));
  state.known = std::move(answer.members);
  CO_TRY_VOID(save_cluster_state(world_.files, directory_, state));
  const auto removed = world_.files.remove_all(joining_directory(settings_.state_directory));
  if (!removed) log_warn("cannot remove", field("error", removed.error()));
  co_return Result<void>{};
}

io::Task<Result<void>> ClusterAdmin::check_copies_elsewhere(std::string node, io::Call call) const {
  const transfer::Replicas& replicas = parts_->distribution().replicas();
  // Of a model that was made a moment ago nobody has told yet who holds it.
  auto are_told = [&replicas] {
    return std::ranges::none_of(replicas.health(), &transfer::ModelHealth::is_awaited);
  };
  call = world_.clock.call_within(kCopiesWordMax, call);
  co_await io::wait_until(world_.clock, are_told, kCopiesPoll, call);
  if (call.cancel.cancelled()) co_return fail(Errc::cancelled, "cancelled");
  std::string models;
  for (const transfer::ModelHealth& model : replicas.health()) {
    // One that does not answer may be gone for ever: it is no copy elsewhere.
    const auto is_node = [&node](const std::string& holder) { return holder == node; };
    const bool holds = std::ranges::any_of(model.copies, is_node) ||
                       std::ranges::any_of(model.unreachable, is_node);
    if (!holds || !std::ranges::all_of(model.copies, is_node)) continue;
    models += (models.empty() ? "" : ", ") + transfer::name_in(*replicas.state(), model);
  }
  if (models.empty()) co_return Result<void>{};
  co_return fail(Errc::invalid_argument,
                 "no other node has {}: `ollamamax replicas set MODEL --factor 2` makes a copy; "
                 "--force takes '{}' out all the same",
                 models, node);
}

io::Task<Result<void>> ClusterAdmin::leave_now(bool force, io::Call call) {
  CO_TRY_VOID(check_in_cluster());
  // A node on its way to a vote would write of it where nothing is to be any more.
  co_await parts_->stop_voting();
  auto left = co_await leave_and_forget(force, std::move(call));
  if (!left) parts_->start_voting();
  co_return left;
}

io::Task<Result<void>> ClusterAdmin::leave_and_forget(bool force, io::Call call) {
  // By an earlier try, perhaps, whose answer was lost: nobody else looks while this node leaves.
  co_await parts_->notice_removal(world_.clock.call_within(kRemovalAskedMax, call.cancel));
  if (!parts_->was_removed()) {
    const auto told = co_await take_leave(force, call);
    if (!told && told.error().code == Errc::invalid_argument) co_return told;
    if (!told && told.error().code != Errc::forbidden) {
      if (!force) {
        co_return fail(told.error().code,
                       "the cluster cannot be told: {}. With --force this node leaves all the "
                       "same, and is removed there later",
                       told.error().what);
      }
      log_warn("this node leaves a cluster that it cannot tell", field("error", told.error()));
    }
  }
  auto removed = remove_cluster(world_.files, directory_);
  if (!removed && load_cluster_state(world_.files, directory_)) co_return removed;
  if (removed) removed = co_await forget_others_keys(std::move(call));
  if (!removed) log_warn("left behind of the cluster", field("error", removed.error()));
  co_return Result<void>{};
}

// A key of one of the cluster's backends would else be taken for that of one of this name later.
io::Task<Result<void>> ClusterAdmin::forget_others_keys(io::Call call) {
  std::set<std::string, std::less<>> own;
  if (world_.files.exists(own_facts_file(settings_.state_directory))) {
    CO_TRY(const metadata::Snapshot facts,
           co_await read_own_facts(world_, voters_, settings_.state_directory, std::move(call)));
    for (const metadata::Entry& entry : facts.entries) {
      if (!entry.key.starts_with(cluster::kBackendsPrefix)) continue;
      own.insert(entry.key.substr(cluster::kBackendsPrefix.size()));
    }
  }
  co_return cluster::remove_other_keys(world_.files, settings_.state_directory, own);
}

io::Task<Result<void>> ClusterAdmin::take_leave(bool force, io::Call call) {
  const std::vector<cluster::Member> members = parts_->members().list();
  // Its own record may lag behind: it votes as soon as the others took it in.
  const bool others_vote = std::ranges::any_of(
      members, [this](const auto& member) { return member.has_vote() && member.name != name_; });
  const bool last_voter = parts_->state().voter && !others_vote;
  if (members.size() <= 1) co_return co_await keep_facts(call);
  if (last_voter) {
    const bool external = parts_->state().external_etcd;
    co_return fail(Errc::invalid_argument, "{}",
                   external ? "only this node reaches the etcd with the cluster's facts: set "
                              "cluster.etcd_endpoints on another one first"
                            : "this node keeps the only copy of the cluster's facts: `ollamamax "
                              "cluster promote NODE` another one first");
  }
  if (!force) CO_TRY_VOID(co_await check_copies_elsewhere(name_, call));
  if (!parts_->members().find(name_)) co_return Result<void>{};
  co_return co_await parts_->withdraw(call);
}

// The last one to leave takes the facts along, as it brought its own.
io::Task<Result<void>> ClusterAdmin::keep_facts(io::Call call) {
  CO_TRY(metadata::Snapshot all, co_await parts_->metadata().list("/", call));
  erase_cluster_facts(all);
  CO_TRY_VOID(remove_own_facts(world_.files, settings_.state_directory));
  CO_TRY(const auto own,
         co_await voters_.open_own(world_, own_facts_file(settings_.state_directory)));
  auto imported = co_await metadata::import_entries(*own, std::move(all), call);
  co_await own->stop();
  if (!imported) co_return fail(std::move(imported).error());
  parts_->forget_facts_at_end();
  co_return Result<void>{};
}

io::Task<Result<std::string>> ClusterAdmin::make_token(io::Duration life, io::Call call) {
  CO_TRY_VOID(check_in_cluster());
  if (life <= io::Duration{} || life > std::chrono::hours(24 * 30)) {
    co_return fail(Errc::invalid_argument, "a token is good for up to 30 days (720h)");
  }
  CO_TRY(const security::Identity identity, parts_->identity().load());
  CO_TRY(const auto authority, security::read_certificate(identity.authorities));
  // Voters give certificates.
  std::vector<io::Endpoint> endpoints;
  for (const cluster::Member& member : parts_->members().list()) {
    if (member.voter) endpoints.push_back(member.peer);
  }
  CO_TRY(const auto token,
         co_await cluster::offer_token(world_, parts_->metadata(), std::move(endpoints),
                                       authority.fingerprint, life, std::move(call)));
  co_return security::join_token_text(token);
}

json::object ClusterAdmin::describe(const cluster::Member& member,
                                    const cluster::View& view) const {
  json::object object{{"name", member.name},
                      {"address", member.peer.str()},
                      {"voter", member.has_vote()},
                      {"self", member.name == name_},
                      {"version", member.version}};
  const cluster::NodeInfo* node = view.find(member.name);
  if (!node) {
    object["state"] = cluster::to_string(cluster::NodeState::joining);
    return object;
  }
  object["state"] = cluster::to_string(node->state);
  if (member.has_vote()) object["majority"] = node->reaches_majority;
  object["memory_total"] = node->memory_total;
  object["memory_used"] = node->memory_used;
  object["graphics_total"] = node->graphics_total;
  object["graphics_used"] = node->graphics_used;
  object["disk_free"] = node->disk_free;
  object["cores"] = node->cores;
  object["ramp"] = node->ramp;
  object["blobs"] = node->blobs ? node->blobs->size() : 0;
  json::array runners;
  for (const auto& runner : node->runners) runners.push_back(describe_runner(runner));
  object["runners"] = std::move(runners);
  return object;
}

json::object ClusterAdmin::status() {
  json::object status{
      {"in_cluster", parts_ != nullptr}, {"node", name_}, {"ready", hooks_.ready()}};
  if (!parts_) return status;
  const cluster::View view = parts_->reports().view();
  json::array nodes;
  for (const cluster::Member& member : parts_->members().list()) {
    nodes.push_back(describe(member, view));
  }
  status["nodes"] = std::move(nodes);
  status["majority"] = parts_->metadata().healthy();
  status["voter"] = parts_->state().voter;
  status["external_etcd"] = parts_->facts_are_external();
  status["removed"] = parts_->was_removed();
  const peer::Renewal& renewal = parts_->renewal();
  const auto end = std::chrono::floor<std::chrono::seconds>(renewal.not_after());
  status["certificate"] = json::object{{"not_after_seconds", end.time_since_epoch().count()},
                                       {"advice", renewal.advice()}};
  return status;
}

io::Task<Result<void>> ClusterAdmin::drain(std::string node, bool on, io::Call call) {
  CO_TRY_VOID(check_in_cluster());
  auto change = [on](cluster::Member& member) { member.draining = on; };
  co_return co_await parts_->members().update(std::move(node), change, std::move(call));
}

io::Task<Result<void>> ClusterAdmin::remove(std::string node, bool force, io::Call call) {
  CO_TRY_VOID(check_in_cluster());
  if (node == name_) {
    co_return fail(Errc::invalid_argument, "this is the node itself: `ollamamax cluster leave`");
  }
  if (!force) CO_TRY_VOID(co_await check_copies_elsewhere(node, call));
  // Asked again after half of it was done, this does the rest.
  if (parts_->members().find(node)) CO_TRY_VOID(co_await parts_->remove_voter(node, call));
  co_return co_await parts_->members().remove(std::move(node), std::move(call));
}

io::Task<Result<void>> ClusterAdmin::promote(std::string node, io::Call call) {
  CO_TRY_VOID(check_in_cluster());
  const cluster::Member* member = parts_->members().find(node);
  if (member && member->voter) {
    co_return fail(Errc::already_exists, "node '{}' is a voter already", node);
  }
  if (parts_->facts_are_external()) {
    co_return fail(Errc::invalid_argument,
                   "the cluster's facts are in an etcd that no node runs: a node with "
                   "cluster.etcd_endpoints becomes a voter by itself");
  }
  co_return co_await parts_->set_voter(std::move(node), true, std::move(call));
}

io::Task<Result<std::string>> ClusterAdmin::backup(io::Call call) {
  CO_TRY_VOID(check_in_cluster());
  CO_TRY(const metadata::Snapshot all, co_await parts_->metadata().list("/", std::move(call)));
  co_return metadata::write_backup(all);
}

io::Task<Result<cluster::Restored>> ClusterAdmin::restore(std::string text, io::Call call) {
  CO_TRY_VOID(check_in_cluster());
  CO_TRY(metadata::Snapshot snapshot, metadata::read_backup(text));
  co_return co_await restore_facts(parts_->metadata(), parts_->store(), std::move(snapshot),
                                   std::move(call));
}

}  // namespace om::app
