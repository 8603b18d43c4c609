// The part of ClusterParts that knows where nodes are: how this one follows its machine's address,
// and how it hears of others that have moved.
//
// A node proves itself by its name, wherever it is; its certificate's address matters to etcd
// alone. So one that has moved is believed: it writes its new address into its record, and says it
// with each question for reports, as the facts may be out of reach: the only voter's, if it is the
// one that moved.
#include <algorithm>

#include "app/cluster_parts.h"
#include "app/own_address.h"
#include "base/log.h"
#include "base/version.h"

namespace om::app {
namespace {

// An address that was found is given up when it is gone for so long.
constexpr std::chrono::seconds kMovedMin{30};

}  // namespace

bool ClusterParts::has_moved() {
  ClusterState now = state_;
  const auto look = [this] {
    std::vector<io::Endpoint> others;
    for (const cluster::Member& member : known_members()) {
      if (member.name != state_.name) others.push_back(member.peer);
    }
    return own_network(others);
  };
  const bool changed = follow_address(now, settings_, look);
  if (!changed || now.advertise == state_.advertise) {
    moved_since_.reset();
    return false;
  }
  if (!moved_since_) moved_since_ = world_.clock.now();
  if (world_.clock.now() - *moved_since_ < kMovedMin) return false;
  log_warn("this machine has another address now", field("before", state_.advertise.str()),
           field("now", now.advertise.str()));
  const auto saved = save_cluster_state(world_.files, directory_, now);
  if (!saved) log_error("the state is not saved", field("error", saved.error()));
  return saved.has_value();
}

// What it says of the program and the place of this node is of an earlier start.
io::Task<Result<void>> ClusterParts::update_own_record(io::Call call) {
  auto change = [at = state_.advertise](cluster::Member& member) {
    member.version = kVersion;
    member.peer = at;
  };
  CO_TRY_VOID(co_await members_->update(state_.name, change, std::move(call)));
  renewal_->look_again();
  co_return Result<void>{};
}

void ClusterParts::hear_address(const http::Request& request) {
  const std::string_view told = request.headers.get(cluster::kAddressHeader);
  if (told.empty()) return;  // As with nearly all that nodes ask each other.
  const auto now = cluster::parse_endpoint(told);
  const cluster::Member* member = members_->find(request.peer_certificate);
  if (!now || !member || member->name == state_.name || !authorize(request)) return;
  const io::Endpoint before = address_of(*member);
  if (before == *now) return;
  log_info("a node has moved", field("node", member->name), field("before", before.str()),
           field("now", now->str()));
  heard_[member->name] = {member->peer, *now};
  connect_members();
}

io::Endpoint ClusterParts::address_of(const cluster::Member& member) const {
  const auto heard = heard_.find(member.name);
  const bool holds = heard != heard_.end() && heard->second.recorded == member.peer;
  return holds ? heard->second.now : member.peer;
}

std::vector<cluster::Member> ClusterParts::known_members() const {
  if (!members_) return members_on_disk();
  std::vector<cluster::Member> members = members_->list();
  if (members.empty()) members = state_.known;
  for (cluster::Member& member : members) member.peer = address_of(member);
  return members;
}

// Who was taken out, or has left, is told nothing any more; what runs for its clients may end.
void ClusterParts::part_from_former(const std::vector<cluster::Member>& members) {
  std::set<std::string> now;
  for (const cluster::Member& member : members) now.insert(member.name);
  for (const std::string& name : members_before_) {
    if (now.contains(name)) continue;
    peer_server_->tell_no_more(name);
    tasks_.spawn(forget_former(name));
  }
  members_before_ = std::move(now);
}

io::Task<void> ClusterParts::forget_former(std::string name) {
  const auto slept =
      co_await world_.clock.sleep_for(settings_.drain_time, {io::kNever, tasks_.token()});
  if (slept && !members_->find(name)) peer_server_->forget(name);
}

// With a certificate for another node's name this one could pose as it.
std::vector<std::string> ClusterParts::addresses_of(std::string_view node) const {
  std::vector<std::string> addresses;
  io::Endpoint peer;
  if (node == state_.name) {
    peer = state_.advertise;  // Its own record says where it was until it is written anew.
  } else if (const cluster::Member* member = members_ ? members_->find(node) : nullptr) {
    peer = member->peer;
  }
  const auto host = security::canonical_host(peer.host);
  if (!host) return addresses;
  const std::vector<cluster::Member> members = known_members();
  const bool is_anothers =
      *host != node && std::ranges::count(members, *host, &cluster::Member::name) > 0;
  if (!is_anothers) addresses.push_back(*host);
  return addresses;
}

}  // namespace om::app
