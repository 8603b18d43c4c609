// The part of ClusterParts that keeps the number of voters: who runs etcd, and who takes over when
// one is lost.
#include <algorithm>

#include "app/cluster_parts.h"
#include "base/log.h"
#include "base/version.h"
#include "cluster/fact_file.h"
#include "cluster/voter_metadata.h"
#include "peer/authority_service.h"

namespace om::app {
namespace {

static_assert(voters_of(1, 3) == 1 && voters_of(2, 3) == 1 && voters_of(3, 3) == 3);
static_assert(voters_of(4, 5) == 3 && voters_of(5, 5) == 5 && voters_of(9, 4) == 3);

constexpr std::chrono::seconds kLookInterval{2};
// Of etcd at a start: without a majority it answers later, and requests are served meanwhile.
constexpr std::chrono::seconds kOpenMax{5};
constexpr std::chrono::seconds kBecomeMax{60}, kChooseMax{10};
constexpr std::chrono::minutes kStepDownMax{15};  // See may_step_down().
constexpr uint64_t kAuthorityBytesMax = 64 << 10;

// etcd's client endpoints of voters that are well, the others last.
std::vector<io::Endpoint> etcd_endpoints(const std::vector<cluster::Member>& members,
                                         const cluster::View& view) {
  std::vector<io::Endpoint> well, others;
  for (const cluster::Member& member : members) {
    if (!member.has_vote()) continue;
    const auto url = http::Url::parse(member.etcd_client);
    if (!url) continue;
    (is_well(view.find(member.name)) ? well : others)
        .push_back(io::Endpoint::tcp(url->host, url->port));
  }
  well.insert(well.end(), others.begin(), others.end());
  return well;
}

}  // namespace

std::unique_ptr<metadata::Metadata> VoterMaker::open_remote(
    io::World& world, http::Client& client, cluster::RemoteMetadata::Voters voters) {
  return std::make_unique<cluster::RemoteMetadata>(world, client, std::move(voters));
}

io::Task<Result<void>> ClusterParts::open_facts() {
  if (state_.voter) {
    voter_ = make_voter();
    const auto resumed = co_await voter_->resume(world_.clock.call_within(kOpenMax));
    if (resumed) {
      auto others =
          voters_maker_.open_remote(world_, *client_, [this] { return other_well_voters(); });
      metadata_ =
          std::make_unique<cluster::VoterMetadata>(world_, voter_->metadata(), std::move(others),
                                                   [this] { return !other_well_voters().empty(); });
      co_return Result<void>{};
    }
    const bool was_replaced = resumed.error().code == Errc::forbidden;
    const bool lost_data =
        !state_.external_etcd && (resumed.error().code == Errc::corrupt || !voter_->has_begun());
    if (!was_replaced && !lost_data) co_return resumed;
    co_await voter_->stop();
    voter_.reset();
    if (lost_data) CO_TRY_VOID(check_facts_elsewhere());
    CO_TRY_VOID(step_down());
  }
  metadata_ = voters_maker_.open_remote(world_, *client_, [this] { return voters(); });
  co_return Result<void>{};
}

bool ClusterParts::facts_are_external() const {
  if (voter_) return state_.external_etcd;
  return std::ranges::any_of(members_->list(), &cluster::Member::uses_external_etcd);
}

std::unique_ptr<Voter> ClusterParts::make_voter() {
  auto link_at = [this](const io::Endpoint& at) { return link_at_address(at); };
  return voters_maker_.make({world_, settings_, state_, directory_, identity_, std::move(link_at)});
}

// Whose port between nodes that is. None: etcd's own, of a voter that has one.
std::optional<engine::PeerLink> ClusterParts::link_at_address(const io::Endpoint& at) {
  for (const cluster::Member& member : known_members()) {
    const auto url = http::Url::parse("https://" + member.peer.str());
    if (url && url->host == at.host && url->port == at.port) return link_to(member);
  }
  return std::nullopt;
}

// Who was in the cluster when this node last knew, also before it can ask.
std::vector<cluster::Member> ClusterParts::members_on_disk() const {
  std::vector<cluster::Member> members;
  if (const auto facts = cluster::read_fact_file(world_.files, members_file())) {
    for (const auto& [name, text] : *facts) {
      if (auto member = cluster::read_member(text)) members.push_back(std::move(*member));
    }
  }
  return members.empty() ? state_.known : members;
}

// What this voter's etcd kept is gone. Others may have all of it, and then it begins again as a new
// member of theirs; the old one may have been all that a change had beside one that is away.
Result<void> ClusterParts::check_facts_elsewhere() const {
  const bool elsewhere = std::ranges::any_of(members_on_disk(), [this](const auto& member) {
    return member.has_vote() && member.name != state_.name;
  });
  if (elsewhere) {
    log_error("this voter's copy of the facts is gone, it gets them from the others",
              field("node", state_.name), field("directory", voter_directory(directory_)));
    return {};
  }
  return fail(Errc::corrupt,
              "the cluster's facts in {} are gone, and no other node has them. Put them back, or "
              "begin again, with all models kept: remove {} on every node and start them, then "
              "`ollamamax cluster init` here, let the others join, and `cluster restore BACKUP`",
              voter_directory(directory_), directory_);
}

// The others have replaced this voter while it was away, or its data are gone: what its member knew
// is out of date.
Result<void> ClusterParts::step_down() {
  log_warn("this node is no voter any more", field("node", state_.name));
  state_.known = members_ ? members_->list() : members_on_disk();
  const bool others_vote = std::ranges::any_of(state_.known, [this](const auto& member) {
    return member.has_vote() && member.name != state_.name;
  });
  // First: what was done of the rest is done again, and leads here again.
  if (others_vote) TRY_VOID(identity_.forget_authority());
  for (cluster::Member& member : state_.known) {
    if (member.name == state_.name) member.voter = false;
  }
  state_.voter = false;
  TRY_VOID(save_cluster_state(world_.files, directory_, state_));
  return world_.files.remove_all(voter_directory(directory_));
}

// Voters refuse to tell the facts to a node that is no member: its removal too.
io::Task<void> ClusterParts::notice_removal(io::Call call) {
  const std::string key = std::string(cluster::kNodesPrefix) + state_.name;
  const auto self = co_await metadata_->get(key, call);
  if (self || self.error().code == Errc::forbidden) tell_removal(!self);
}

void ClusterParts::start_voting() {
  voting_ = std::make_unique<io::TaskGroup>(world_.executor, world_.clock);
  voting_->spawn(keep_voters(voting_->token()));
}

io::Task<void> ClusterParts::stop_voting() { return voting_->stop(); }

io::Task<void> ClusterParts::keep_voters(io::CancelToken token) {
  while (true) {
    if (voter_ && voter_->was_removed()) {
      note_without_vote();
      if (may_step_down()) {
        const auto stepped = step_down();
        if (!stepped) log_error("cannot be a plain node", field("error", stepped.error()));
        co_return restart_();
      }
    }
    const auto slept = co_await world_.clock.sleep_for(kLookInterval, {io::kNever, token});
    if (!slept) co_return;
    if (has_moved()) co_return restart_();
    if (voter_ && !vote_is_sure_ && !voter_->was_removed()) {
      const auto done = co_await complete_vote(world_.clock.call_within(kChooseMax, token));
      if (!done && !token.cancelled()) {
        log_warn("this node's vote is not complete", field("error", done.error()));
      }
      if (voter_->was_removed()) continue;
    }
    if (!members_->facts().following() || (voter_ && voter_->was_removed())) {
      co_await notice_removal(world_.clock.call_within(kChooseMax, token));
      continue;
    }
    const cluster::Member* self = members_->find(state_.name);
    tell_removal(!self);  // The first sync may have brought it, and told nobody.
    const VoteDuty duty = next_duty(self);
    if (duty == VoteDuty::step_down) {
      note_without_vote();
      if (!may_step_down()) continue;
    }
    const auto done = co_await perform(duty, token);
    if (done && duty == VoteDuty::step_down) co_return restart_();
    if (!done && !token.cancelled()) {
      log_warn("the voters are not as they should be", field("error", done.error()));
    }
  }
}

// The first that applies. A node that the members do not know decides nothing, and what a node's
// own record and vote need comes before the votes of others.
ClusterParts::VoteDuty ClusterParts::next_duty(const cluster::Member* self) const {
  if (!self) return VoteDuty::none;
  if (self->version != kVersion || self->peer != state_.advertise) return VoteDuty::write_record;
  if (self->voter && !voter_) return VoteDuty::become_voter;
  const bool reaches_etcd = !settings_.etcd_endpoints.empty();
  if (!voter_ && reaches_etcd && facts_are_external()) return VoteDuty::claim_vote;
  if (!self->voter && !voter_) return VoteDuty::forget_authority;
  if (has_lost_its_vote(*self)) return VoteDuty::step_down;
  return decides_voters() ? VoteDuty::choose_voters : VoteDuty::none;
}

io::Task<Result<void>> ClusterParts::perform(VoteDuty duty, io::CancelToken token) {
  const io::Call call = world_.clock.call_within(kChooseMax, token);
  switch (duty) {
    case VoteDuty::none:
      break;
    case VoteDuty::write_record:
      co_return co_await update_own_record(call);
    case VoteDuty::become_voter:
      co_return co_await become_voter(world_.clock.call_within(kBecomeMax, token));
    case VoteDuty::claim_vote:
      co_return co_await set_voter(state_.name, false, call);
    case VoteDuty::forget_authority:
      co_return identity_.forget_authority();
    case VoteDuty::step_down:
      co_return step_down();
    case VoteDuty::choose_voters:
      co_return co_await choose_voters(call);
  }
  co_return Result<void>{};
}

// The record says so; this voter's etcd, which was taken out first, does not run or hears nothing.
bool ClusterParts::has_lost_its_vote(const cluster::Member& self) const {
  const bool reaches_majority = !voter_ || state_.external_etcd || voter_->metadata().healthy();
  return !self.voter && !reaches_majority;
}

void ClusterParts::note_without_vote() {
  if (!without_vote_since_) without_vote_since_ = world_.clock.now();
}

// Stepping down restarts the node, and that cuts off answers longer than the drain time. So the
// node first waits until it is idle, for kStepDownMax at most.
bool ClusterParts::may_step_down() const {
  return !is_busy_() || world_.clock.now() - *without_vote_since_ >= kStepDownMax;
}

// One of the voters looks after their number: the first by name that is well.
bool ClusterParts::decides_voters() const {
  if (!voter_ || state_.external_etcd) return false;
  const cluster::View view = reports_->view();
  for (const cluster::Member& member : members_->list()) {
    if (!member.has_vote()) continue;
    if (is_well(view.find(member.name))) return member.name == state_.name;
  }
  return false;
}

io::Task<Result<void>> ClusterParts::choose_voters(io::Call call) {
  const std::vector<cluster::Member> members = members_->list();
  const cluster::View view = reports_->view();
  const VoterSurvey now =
      census_.look(members, view, state_.name, state_.one_port, world_.clock.now());
  if (!now.never_voted.empty()) {
    log_warn("a node that was chosen has no vote yet, it is given up",
             field("node", now.never_voted));
    const cluster::NodeInfo* node = view.find(now.never_voted);
    const bool is_reachable = node && node->is_reachable();
    CO_TRY_VOID(co_await remove_voter(now.never_voted, call));
    // No etcd runs there.
    if (is_reachable) census_.note_given_up(now.never_voted, world_.clock.now());
    co_return Result<void>{};
  }
  const size_t wanted = voters_of(members.size(), settings_.voters);
  if (census_.is_surplus(now, wanted, world_.clock.now())) {
    log_info("there are more voters than needed", field("voters", now.voters),
             field("wanted", wanted), field("without_a_vote", now.to_demote));
    co_return co_await remove_voter(now.to_demote, call);
  }
  if (now.candidate.empty()) co_return Result<void>{};
  if (now.voters < wanted) {
    // One after the other: etcd takes in no second one before the first has its vote. And none
    // that would make their number even for long: of two each would need the other.
    const bool makes_even = now.voters % 2 == 1 && now.candidates < 2;
    if (now.is_awaiting || makes_even) co_return Result<void>{};
    log_info("a node becomes a voter", field("node", now.candidate));
    co_return co_await set_voter(now.candidate, false, call);
  }
  if (now.lost.empty()) co_return Result<void>{};
  log_warn("a voter is lost and replaced", field("node", now.lost), field("by", now.candidate));
  CO_TRY_VOID(co_await remove_voter(now.lost, call));
  co_return co_await set_voter(now.candidate, false, call);
}

io::Task<Result<void>> ClusterParts::set_voter(std::string name, bool asked, io::Call call) {
  auto change = [asked](cluster::Member& member) {
    member.voter = true;
    member.asked = asked;
  };
  return members_->update(std::move(name), change, std::move(call));
}

io::Task<Result<void>> ClusterParts::remove_voter(std::string name, io::Call call) {
  if (!facts_are_external()) {
    std::vector<io::Endpoint> there = etcd_endpoints(members_->list(), reports_->view());
    CO_TRY_VOID(co_await voters_maker_.remove(world_, identity_, there, name, call));
    if (const cluster::Member* member = members_->find(name)) {
      const io::Endpoint peer = member->peer;
      CO_TRY_VOID(
          co_await voters_maker_.remove_unbegun(world_, identity_, std::move(there), peer, call));
    }
  }
  auto change = [](cluster::Member& member) {
    member.voter = member.asked = false;
    member.etcd_client.clear();
    member.etcd_peer.clear();
  };
  co_return co_await members_->update(std::move(name), change, call);
}

std::vector<io::Endpoint> ClusterParts::others_etcd(std::vector<cluster::Member> members) const {
  std::erase_if(members, [this](const auto& member) { return member.name == state_.name; });
  return etcd_endpoints(members, reports_->view());
}

// This node's etcd ends with it, or is gone: the others are asked.
io::Task<Result<void>> ClusterParts::remove_own_vote(io::Call call) {
  std::vector<io::Endpoint> there = others_etcd(members_->list());
  co_return co_await voters_maker_.remove(world_, identity_, std::move(there), state_.name,
                                          std::move(call));
}

io::Task<Result<void>> ClusterParts::withdraw(io::Call call) {
  if (!voter_ || state_.external_etcd) {
    const cluster::Member* self = members_->find(state_.name);
    if (self && self->voter) CO_TRY_VOID(co_await remove_voter(state_.name, call));
    co_return co_await members_->remove(state_.name, std::move(call));
  }
  CO_TRY_VOID(co_await remove_own_vote(call));
  const auto facts = voters_maker_.open_remote(world_, *client_, [this] {
    std::vector<engine::PeerLink> links = voters();
    std::erase_if(links, [this](const auto& link) { return link.node == state_.name; });
    return links;
  });
  metadata::Transaction transaction;
  transaction.operations = cluster::removal_of(state_.name);
  const auto done = co_await facts->commit(std::move(transaction), std::move(call));
  co_await facts->stop();
  if (!done) co_return fail(done.error());
  co_return Result<void>{};
}

// Voters give certificates: the authority's key comes along.
io::Task<Result<void>> ClusterParts::fetch_authority(io::Call call) {
  if (identity_.load_authority()) co_return Result<void>{};
  Error last{Errc::unavailable, "no voter can be reached"};
  for (const engine::PeerLink& link : voters()) {
    auto request = link.request("GET", std::string(peer::kAuthorityPath));
    auto response = co_await client_->send(std::move(request), call);
    if (!response) {
      last = std::move(response).error();
      continue;
    }
    CO_TRY(const std::string text, co_await (*response)->read_all(kAuthorityBytesMax));
    if ((*response)->status() != 200) {
      last = {Errc::forbidden, fmt::format("node {} keeps the authority's key", link.node)};
      continue;
    }
    CO_TRY(const security::Authority authority, peer::read_authority(text));
    co_return identity_.save_authority(authority);
  }
  co_return fail(std::move(last));
}

// A member that lost its data lost its promises, too, and must not come back as the same one.
io::Task<Result<void>> ClusterParts::give_up_old_vote(io::Call call) {
  const cluster::Member* self = members_->find(state_.name);
  if (!self || !self->has_vote() || state_.external_etcd) co_return Result<void>{};
  CO_TRY_VOID(co_await remove_own_vote(call));
  auto change = [](cluster::Member& member) {
    member.etcd_client.clear();
    member.etcd_peer.clear();
  };
  co_return co_await members_->update(state_.name, change, std::move(call));
}

io::Task<Result<void>> ClusterParts::become_voter(io::Call call) {
  CO_TRY_VOID(co_await fetch_authority(call));
  state_.external_etcd = facts_are_external();
  auto voter = make_voter();
  auto joined = Result<void>();
  if (voter->has_begun()) {
    joined = co_await voter->resume(call);
    if (joined) {
      std::vector<io::Endpoint> others = etcd_endpoints(members_->list(), reports_->view());
      joined = co_await voter->check_cluster(others, call);
      if (joined) joined = co_await voter->finish_join(std::move(others), call);
    }
  } else {
    CO_TRY_VOID(co_await give_up_old_vote(call));
    // Known before etcd begins: it keeps its address for as long as it lives.
    state_.one_port =
        !state_.external_etcd && can_use_one_port(settings_, state_.advertise, members_->list());
    CO_TRY_VOID(save_cluster_state(world_.files, directory_, state_));
    voter = make_voter();
    std::vector<io::Endpoint> others = etcd_endpoints(members_->list(), reports_->view());
    joined = co_await voter->join(std::move(others), call);
  }
  if (!joined) {
    co_await voter->stop();
    // Of an earlier time as a voter, or of another cluster: begins afresh.
    if (joined.error().code == Errc::forbidden) {
      CO_TRY_VOID(world_.files.remove_all(voter_directory(directory_)));
    }
    co_return joined;
  }
  voter_ = std::move(voter);  // Stopped with this node, whatever fails from here on.
  peer_server_->serve_voters(voter_->metadata(), identity_);
  co_return co_await complete_vote(call);
}

// The vote, this node's state and its record are three places, and it may have ended or failed
// between any two: looked at once after each start, and again until all three agree. The vote
// first, and before anything is read: a learner refuses the very reads that the rest begins with.
io::Task<Result<void>> ClusterParts::complete_vote(io::Call call) {
  if (auto others = others_etcd(known_members()); !others.empty()) {
    CO_TRY_VOID(co_await voter_->finish_join(std::move(others), call));
  }
  if (!members_->facts().following()) co_return Result<void>{};
  const cluster::Member* self = members_->find(state_.name);
  if (!self || !self->voter) co_return Result<void>{};  // Its removal is on its way.
  CO_TRY_VOID(co_await voter_->tell_address(call));
  const bool is_new = !state_.voter;
  if (is_new) {
    state_.known = members_->list();
    ClusterState state = state_;
    state.voter = true;
    CO_TRY_VOID(save_cluster_state(world_.files, directory_, state));
    state_.voter = true;
  }
  const std::string client_url = voter_->client_url();
  const std::string peer_url = voter_->peer_url();
  self = members_->find(state_.name);  // It may have been removed meanwhile.
  if (!self || !self->voter) co_return Result<void>{};
  if (self->etcd_client != client_url || self->etcd_peer != peer_url) {
    auto change = [client_url, peer_url](cluster::Member& member) {
      member.etcd_client = client_url;
      member.etcd_peer = peer_url;
    };
    CO_TRY_VOID(co_await members_->update(state_.name, change, std::move(call)));
  }
  vote_is_sure_ = true;
  if (is_new) log_info("this node is a voter now", field("node", state_.name));
  co_return Result<void>{};
}

}  // namespace om::app
