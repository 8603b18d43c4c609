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
// A voter that cannot be reached for so long is replaced, if another node is there to take over;
// one whose own etcd is gone later, for it serves on and starts anew when its vote is taken.
constexpr std::chrono::seconds kVoterGoneMax{60}, kCutOffMax{600};
constexpr std::chrono::seconds kSurveyGapMax{30};  // Longer than from one look to the next.
// So long there must be too many of them, all well, before one has no vote any more.
constexpr std::chrono::seconds kSurplusMax{60};
// A node without a vote so long after it was chosen (no etcd there) gets none, nor soon again.
constexpr std::chrono::minutes kVoteAwaitedMax{5}, kChosenAgain{60};
constexpr std::chrono::minutes kStepDownMax{15};  // See may_step_down().
constexpr uint64_t kAuthorityBytesMax = 64 << 10;

// A voter whose own etcd is gone is as good as away.
bool is_well(const cluster::NodeInfo* voter) {
  return voter && voter->is_reachable() && voter->reaches_majority;
}

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
    if (voter_ && voter_->was_removed() && may_step_down()) {
      const auto stepped = step_down();
      if (!stepped) log_error("cannot be a plain node", field("error", stepped.error()));
      co_return restart_();
    }
    const auto slept = co_await world_.clock.sleep_for(kLookInterval, {io::kNever, token});
    if (!slept) co_return;
    if (has_moved()) co_return restart_();
    Result<void> done;
    if (voter_ && !vote_is_sure_ && !voter_->was_removed()) {
      done = co_await complete_vote(world_.clock.call_within(kChooseMax, token));
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
    done = {};
    if (self && (self->version != kVersion || self->peer != state_.advertise)) {
      done = co_await update_own_record(world_.clock.call_within(kChooseMax, token));
    } else if (self && self->voter && !voter_) {
      done = co_await become_voter(world_.clock.call_within(kBecomeMax, token));
    } else if (self && !voter_ && !settings_.etcd_endpoints.empty() && facts_are_external()) {
      done = co_await set_voter(state_.name, false, world_.clock.call_within(kChooseMax, token));
    } else if (self && !self->voter && !voter_) {
      done = identity_.forget_authority();  // It was chosen, and given up before it had a vote.
    } else if (has_lost_its_vote(self)) {
      if (may_step_down()) {
        done = step_down();
        if (done) co_return restart_();
      }
    } else if (decides_voters()) {
      done = co_await choose_voters(world_.clock.call_within(kChooseMax, token));
    }
    if (!done && !token.cancelled()) {
      log_warn("the voters are not as they should be", field("error", done.error()));
    }
  }
}

// The record says so; this voter's etcd, which was taken out first, does not run or hears nothing.
bool ClusterParts::has_lost_its_vote(const cluster::Member* self) const {
  const bool hears = !voter_ || state_.external_etcd || voter_->metadata().healthy();
  return self && !self->voter && !hears;
}

// Stepping down restarts the node, and that cuts off answers longer than the drain time. So the
// node first waits until it is idle, for kStepDownMax at most.
bool ClusterParts::may_step_down() {
  const io::TimePoint now = world_.clock.now();
  if (!without_vote_since_) without_vote_since_ = now;
  return !is_busy_() || now - *without_vote_since_ >= kStepDownMax;
}

// One of the voters looks after their number: the first by name that is well.
bool ClusterParts::decides_voters() {
  if (!voter_ || state_.external_etcd) return false;
  const cluster::View view = reports_->view();
  for (const cluster::Member& member : members_->list()) {
    if (!member.has_vote()) continue;
    if (is_well(view.find(member.name))) return member.name == state_.name;
  }
  return false;
}

// What the voters and those that may become some look like now. Remembers since when.
ClusterParts::VoterSurvey ClusterParts::survey_voters(const std::vector<cluster::Member>& members) {
  const cluster::View view = reports_->view();
  const io::TimePoint now = world_.clock.now();
  // Others have decided meanwhile: what this node knew of then says nothing about the time since.
  if (now - surveyed_at_ > kSurveyGapMax) {
    voters_gone_.clear();
    votes_awaited_.clear();
    surplus_since_.reset();
  }
  surveyed_at_ = now;
  std::erase_if(voters_failed_,
                [now](const auto& failed) { return now - failed.second > kChosenAgain; });
  VoterSurvey survey;
  for (const cluster::Member& member : members) {
    const cluster::NodeInfo* node = view.find(member.name);
    if (!member.voter) {
      voters_gone_.erase(member.name);
      votes_awaited_.erase(member.name);
      const bool is_ready = node && node->state == cluster::NodeState::ready &&
                            (!state_.one_port || knows_one_port(member)) &&
                            !voters_failed_.contains(member.name);
      if (is_ready && survey.candidates++ == 0) survey.candidate = member.name;
      continue;
    }
    survey.voters++;
    // One that is drained votes on.
    const bool is_there = is_well(node) && node->answers();
    bool is_over = false;
    if (is_there || member.name == state_.name) {
      voters_gone_.erase(member.name);
    } else {
      survey.all_vote = false;
      const bool serves = member.has_vote() && node && node->is_reachable();
      const auto since = voters_gone_.try_emplace(member.name, now).first->second;
      is_over = now - since > (serves ? kCutOffMax : kVoterGoneMax);
    }
    if (member.has_vote()) {
      votes_awaited_.erase(member.name);
      if (is_over) survey.lost = member.name;
      if (!member.asked && member.name != state_.name) survey.last = member.name;
    } else {
      survey.all_vote = false;
      survey.is_awaiting = true;
      const auto since = votes_awaited_.try_emplace(member.name, now).first->second;
      if (is_over || now - since > kVoteAwaitedMax) survey.failed = member.name;
    }
  }
  return survey;
}

io::Task<Result<void>> ClusterParts::choose_voters(io::Call call) {
  const std::vector<cluster::Member> members = members_->list();
  const VoterSurvey now = survey_voters(members);
  if (!now.failed.empty()) {
    log_warn("a node that was chosen has no vote yet, it is given up", field("node", now.failed));
    const cluster::View view = reports_->view();
    const cluster::NodeInfo* node = view.find(now.failed);
    const bool is_reachable = node && node->is_reachable();
    CO_TRY_VOID(co_await remove_voter(now.failed, call));
    if (is_reachable) voters_failed_[now.failed] = world_.clock.now();  // No etcd runs there.
    co_return Result<void>{};
  }
  const size_t wanted = voters_of(members.size(), settings_.voters);
  if (is_surplus(now, wanted)) {
    log_info("there are more voters than needed", field("voters", now.voters),
             field("wanted", wanted), field("without_a_vote", now.last));
    co_return co_await remove_voter(now.last, call);
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

// After nodes have left, or where the one to make an odd number of them has never come: the two
// that are left of three would need each other.
bool ClusterParts::is_surplus(const VoterSurvey& survey, size_t wanted) {
  const bool stays_even = survey.voters % 2 == 0 && survey.candidates == 0;
  const bool too_many = survey.voters > wanted || stays_even;
  if (!too_many || !survey.all_vote || survey.last.empty()) {
    surplus_since_.reset();
    return false;
  }
  const io::TimePoint now = world_.clock.now();
  if (!surplus_since_) surplus_since_ = now;
  return now - *surplus_since_ > kSurplusMax;
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
