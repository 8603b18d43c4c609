#include "cluster/reports.h"

#include <algorithm>

#include "base/log.h"
#include "base/rendezvous.h"
#include "cluster/metrics.h"
#include "cluster/report_wire.h"
#include "engine/remote/line_reader.h"
#include "io/cancel_either.h"

namespace om::cluster {
namespace {

constexpr std::chrono::milliseconds kSelfAgeMax{20};
// Of a report that another node passes on: half a beat until it is written, and one until it is
// sent.
constexpr io::Duration kToldAgeMax = engine::kBeatInterval * 3 / 2;

// Of nodes that another one tells of and this one does not know (yet).
constexpr size_t kUnknownToldMax = 1024;

NodeInfo unknown_node(std::string name) {
  NodeInfo node;
  node.name = std::move(name);
  node.state = NodeState::joining;
  return node;
}

NodeInfo unknown_node(const engine::PeerLink& link) {
  NodeInfo node = unknown_node(link.node);
  node.peer = link.endpoint;
  return node;
}

}  // namespace

Reports::Reports(io::World& world, http::Client& client, std::function<NodeInfo()> self)
    : world_(world), client_(client), self_(std::move(self)), tasks_(world.executor, world.clock) {}

Reports::~Reports() = default;

void Reports::set_peers(std::vector<engine::PeerLink> peers, std::vector<std::string> aggregators) {
  if (peers_.empty() && !aggregators.empty()) follows_each_ = false;
  std::map<std::string, std::shared_ptr<Peer>, std::less<>> next;
  bool must_ask = aggregators != aggregators_;
  for (engine::PeerLink& link : peers) {
    const auto known = peers_.find(link.node);
    if (known != peers_.end() && known->second->link.endpoint == link.endpoint &&
        known->second->link.tls == link.tls) {
      next.emplace(link.node, known->second);
      continue;
    }
    auto peer = std::make_shared<Peer>(std::move(link), io::CancelSource());
    publish(unknown_node(peer->link));
    if (follows_each_) tasks_.spawn(follow(peer));
    // The one that is asked is elsewhere; or it tells no more of who was forgotten meanwhile.
    must_ask = must_ask || std::ranges::count(aggregators, peer->link.node) > 0 ||
               told_->forgotten.contains(peer->link.node);
    next.emplace(peer->link.node, std::move(peer));
  }
  for (const auto& [name, peer] : peers_) {
    const auto kept = next.find(name);
    if (kept == next.end() || kept->second != peer) peer->stop.cancel();
    if (kept != next.end()) continue;
    view_ = view_.without(name);
    if (told_->nodes.erase(name) > 0) told_->forgotten.insert(name);
  }
  peers_ = std::move(next);
  if (must_ask) ask(std::move(aggregators));
}

// Whoever tells first ends that each is followed.
void Reports::ask(std::vector<std::string> aggregators) {
  aggregators_stop_.cancel();
  aggregators_stop_ = io::CancelSource();
  aggregators_ = std::move(aggregators);
  if (aggregators_.empty()) return follow_each(true);
  // Each node has an order of its own, or all would ask the same one.
  std::vector<std::string> order = aggregators_;
  const std::string self = self_().name;
  std::ranges::sort(order, {}, [&self](const auto& node) { return rendezvous(self, node); });
  tasks_.spawn(follow_aggregators(std::move(order), aggregators_stop_.token()));
}

void Reports::follow_each(bool on) {
  if (on == follows_each_) return;
  follows_each_ = on;
  for (auto& [name, peer] : peers_) {
    peer->stop.cancel();
    peer = std::make_shared<Peer>(peer->link, io::CancelSource());
    if (on) tasks_.spawn(follow(peer));
  }
}

void Reports::set_draining(std::set<std::string, std::less<>> nodes) {
  draining_ = std::move(nodes);
  for (const std::string& name : draining_) {
    const NodeInfo* known = view_.find(name);
    if (!known || known->state != NodeState::ready) continue;
    NodeInfo told = *known;
    told.state = NodeState::draining;
    view_ = view_.with(std::move(told));
  }
}

View Reports::view() {
  const io::TimePoint now = world_.clock.now();
  if (self_at_ == io::TimePoint{} || now - self_at_ > kSelfAgeMax) {
    view_ = view_.with(self_());
    self_at_ = now;
  }
  return view_;
}

const engine::PeerLink* Reports::link_of(std::string_view node) const {
  const auto found = peers_.find(node);
  return found == peers_.end() ? nullptr : &found->second->link;
}

NodeInfo Reports::as_of(io::TimePoint time, NodeInfo report) const {
  report.reported = time;
  const bool told_to_drain = report.state == NodeState::ready && draining_.contains(report.name);
  if (told_to_drain) report.state = NodeState::draining;
  return report;
}

void Reports::publish(NodeInfo report) {
  view_ = view_.with(as_of(world_.clock.now(), std::move(report)));
}

void Reports::lose(const Peer& peer, const Error& error) {
  const NodeInfo* known = view_.find(peer.link.node);
  if (!known || !known->is_reachable()) return;
  NodeInfo lost = *known;
  const bool was_there = lost.state != NodeState::joining;
  lost.state = NodeState::unreachable;
  lost.runners.clear();
  publish(std::move(lost));
  nodes_lost.add();
  log_warn("node lost", field("node", peer.link.node), field("error", error));
  if (was_there && on_lost_) on_lost_(peer.link.node);
}

io::Task<void> Reports::follow(std::shared_ptr<Peer> peer) {
  io::Duration pause = kRetryFirst;
  bool was_lost = false;
  while (!peer->stop.cancelled() && !tasks_.token().cancelled()) {
    const Ended ended = co_await read_reports(*peer, was_lost);
    if (peer->stop.cancelled() || tasks_.token().cancelled()) break;
    lose(*peer, ended.why);
    was_lost = true;
    pause = ended.told ? io::Duration(kRetryFirst) : std::min<io::Duration>(pause * 2, kRetryMax);
    const auto slept = co_await world_.clock.sleep_for(pause, io::Call{io::kNever, tasks_.token()});
    if (!slept) break;
  }
}

http::ClientRequest Reports::question(const engine::PeerLink& link, std::string path) const {
  auto request = link.request("GET", std::move(path));
  if (own_address_.port != 0) request.headers.add(kAddressHeader, own_address_.str());
  return request;
}

io::Task<Reports::Ended> Reports::read_reports(Peer& peer, bool returned) {
  const io::CancelEither cancel(tasks_.token(), peer.stop.token());
  auto request = question(peer.link, "/peer/v1/report");
  // A name, not an argument: the head must come in time, the reports go on.
  auto opened = co_await engine::LineReader::open(
      world_.clock, client_, peer.link, std::move(request), io::Call{io::kNever, cancel.token()});
  if (!opened) co_return Ended{std::move(opened).error()};
  engine::LineReader reader = std::move(*opened);
  int checks = 0;
  NodeInfo told = unknown_node(peer.link);
  const io::TimePoint since = world_.clock.now();
  while (true) {
    auto line = co_await reader.next();
    if (!line) co_return Ended{std::move(line).error(), checks > 0};
    checks++;
    if (line->contains("state")) told = decode_report(*line, std::move(told));
    if (returned && checks < kGoodChecksMin) continue;
    NodeInfo report = told;
    if (returned) {
      const double grown = std::chrono::duration<double>(world_.clock.now() - since).count() /
                           std::chrono::duration<double>(kRampTime).count();
      report.ramp = std::clamp(grown, kRampFirst, 1.0);
      if (checks == kGoodChecksMin) log_info("node is back", field("node", peer.link.node));
    }
    publish(std::move(report));
  }
}

io::Task<void> Reports::follow_aggregators(std::vector<std::string> nodes, io::CancelToken stop) {
  size_t silent = 0;  // In a row.
  for (size_t i = 0; !stop.cancelled() && !tasks_.token().cancelled(); i++) {
    const std::string& node = nodes[i % nodes.size()];
    Ended ended{{Errc::not_found, fmt::format("{} is not known here", node)}};
    if (const engine::PeerLink* link = link_of(node)) ended = co_await read_told(*link, stop);
    if (stop.cancelled() || tasks_.token().cancelled()) break;
    log_info("reports are asked of another node", field("before", node), field("error", ended.why));
    silent = ended.told ? 1 : silent + 1;
    const bool all_are = silent >= nodes.size();
    if (all_are) follow_each(true);
    const auto slept = co_await world_.clock.sleep_for(all_are ? kRetryMax : kRetryFirst,
                                                       io::Call{io::kNever, tasks_.token()});
    if (!slept) break;
  }
}

io::Task<Reports::Ended> Reports::read_told(engine::PeerLink from, io::CancelToken stop) {
  const io::CancelEither cancel(tasks_.token(), stop);
  auto request = question(from, "/peer/v1/reports");
  auto opened = co_await engine::LineReader::open(world_.clock, client_, from, std::move(request),
                                                  io::Call{io::kNever, cancel.token()});
  if (!opened) co_return Ended{std::move(opened).error()};
  engine::LineReader reader = std::move(*opened);
  const auto all = std::make_shared<Told>();
  told_ = all;
  bool told = false;
  while (true) {
    auto line = co_await reader.next();
    if (!line) co_return Ended{std::move(line).error(), told};
    if (const std::string node = told_node(*line); !node.empty()) {
      // It may have joined, and this node hears of that later: nothing is told twice.
      if (!link_of(node) && all->nodes.size() >= peers_.size() + kUnknownToldMax) continue;
      NodeInfo& known = all->nodes.try_emplace(node, unknown_node(node)).first->second;
      known = decode_told(*line, std::move(known));
      continue;
    }
    // A beat: all that was told holds until now.
    told = true;
    publish_told(all->nodes);
    follow_each(false);
  }
}

void Reports::publish_told(const std::map<std::string, NodeInfo>& nodes) {
  std::vector<NodeInfo> reports;
  for (const auto& [name, node] : nodes) {
    const auto peer = peers_.find(name);
    if (peer == peers_.end() || node.state == NodeState::joining) continue;
    if (!node.is_reachable()) {
      lose(*peer->second, {Errc::unavailable, "another node has lost it"});
    } else {
      reports.push_back(as_of(world_.clock.now() - kToldAgeMax, node));
      reports.back().peer = peer->second->link.endpoint;
    }
  }
  view_ = view_.with(std::move(reports));
}

io::Task<void> Reports::stop() { co_await tasks_.stop(); }

}  // namespace om::cluster
