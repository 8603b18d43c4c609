#include "sim/cluster/foreign_servers.h"

#include <algorithm>

#include "base/check.h"
#include "base/log.h"
#include "sim/models_for_test.h"

namespace om::sim {

namespace json = boost::json;

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr double kTokenSlowdown = 10;
constexpr seconds kForgottenMax{10};  // By every node, once it is removed.
constexpr seconds kUnderWayMax{1};    // What was asked of it just before.
constexpr seconds kQuietTime{20};     // In which none asks it any more.
constexpr seconds kLeavesAfter{3};
constexpr seconds kEndedMax{5};  // What a client left.
constexpr int kLeavesMax = 10;
constexpr int kAsksToKnow = 2;  // Of a node: short answers tell no rate.

}  // namespace

ForeignServers::ForeignServers(RunParts parts)
    : parts_(std::move(parts)), random_(parts_.world.random().next()) {
  for (const ForeignPlan& plan : parts_.scenario.foreign.servers) {
    const auto number = static_cast<int>(servers_.size());
    servers_.push_back(std::make_unique<ForeignServer>(parts_.world, plan, number));
  }
}

ForeignServers::~ForeignServers() = default;

io::Task<void> ForeignServers::sleep(io::Duration duration) {
  const auto slept = co_await parts_.world.clock().sleep_for(duration);
  CHECK(slept.has_value());
}

ForeignServer* ForeignServers::find(std::string_view name) const {
  const auto found =
      std::ranges::find_if(servers_, [name](const auto& server) { return server->name() == name; });
  return found == servers_.end() ? nullptr : found->get();
}

io::Task<void> ForeignServers::add_all() {
  for (const auto& server : servers_) {
    server->start();
    co_await add(*server, any_node());
  }
}

// While all nodes are drained only they answer.
io::Task<void> ForeignServers::make_known() {
  if (!parts_.scenario.foreign.known) co_return;
  std::set<int> models;
  for (const auto& server : servers_) {
    models.insert(server->plan().models.begin(), server->plan().models.end());
  }
  std::vector<io::Endpoint> gateways;
  for (const auto& node : parts_.nodes) gateways.push_back(node->api());
  co_await drain_all("drain");
  SimClient client(parts_.world, parts_.scenario.base, -2, parts_.seen, gateways);
  for (size_t gateway = 0; gateway < gateways.size(); gateway++) {
    for (const int model : models) {
      for (int i = 0; i < kAsksToKnow; i++) co_await client.ask(model, gateway);
    }
  }
  co_await drain_all("undrain");
}

io::Task<void> ForeignServers::drain_all(std::string_view act) {
  for (const auto& node : parts_.nodes) {
    co_await parts_.ask_until_done(
        0, "POST", fmt::format("/api/v1/cluster/nodes/{}/{}", node->name(), act), "", act);
  }
}

// As `ollamamax backend add` does.
io::Task<void> ForeignServers::add(const ForeignServer& server, size_t through) {
  const ForeignPlan& plan = server.plan();
  json::object body{{"url", server.url()}, {"name", server.name()}};
  if (!plan.key.empty()) body["key"] = plan.key;
  if (plan.kind_is_told) body["kind"] = to_string(plan.kind);
  co_await parts_.ask_until_done(through, "POST", "/api/v1/backends", json::serialize(body),
                                 "adding a backend");
}

io::Task<void> ForeignServers::remove(const ForeignServer& server, size_t through) {
  co_await parts_.ask_until_done(through, "DELETE", "/api/v1/backends/" + server.name(), "",
                                 "removing a backend");
}

// What nobody answered may have been done late, and a node that was away has what it had.
io::Task<void> ForeignServers::settle() {
  for (const auto& server : servers_) {
    if (!listed().contains(server->name())) co_await add(*server, 0);
  }
  if (is_shared()) co_await unshare();
}

io::Task<void> ForeignServers::trouble() {
  io::TaskGroup group(parts_.world.world().executor, parts_.world.clock());
  for (const auto& server : servers_) group.spawn(suffer(*server));
  if (parts_.scenario.foreign.shared) group.spawn(share());
  co_await group.wait();
}

// The model that no node has is copied into the cluster, and deleted there, again and again: its
// servers are known then, and answers begin at them and in the cluster.
io::Task<void> ForeignServers::share() {
  const io::TimePoint end = parts_.world.clock().now() + parts_.scenario.trouble_lasts;
  while (parts_.world.clock().now() < end) {
    co_await sleep(milliseconds(random_.between(500, 6'000)));
    const json::object body{{"source", model_name(0)}, {"destination", model_name(kForeignModel)}};
    co_await parts_.ask_until_done(0, "POST", "/api/copy", json::serialize(body), "sharing");
    parts_.report.counts["backends: own model shared"]++;
    co_await sleep(milliseconds(random_.between(1'000, 15'000)));
    co_await unshare();
  }
}

io::Task<void> ForeignServers::unshare() {
  const json::object body{{"model", model_name(kForeignModel)}};
  co_await parts_.ask_until_done(0, "DELETE", "/api/delete", json::serialize(body), "deletion");
}

bool ForeignServers::is_shared() const {
  return is_catalogued(parts_.facts, model_name(kForeignModel));
}

io::Task<void> ForeignServers::suffer(ForeignServer& server) {
  SimClock& clock = parts_.world.clock();
  const io::TimePoint begin = clock.now();
  for (const ForeignFault& fault : server.plan().faults) {
    const io::TimePoint due = begin + fault.at;
    if (due > clock.now()) co_await sleep(due - clock.now());
    log_info("fault", field("kind", fault.kind), field("backend", server.name()),
             field("lasts", fault.lasts));
    parts_.report.counts[fmt::format("backends: {}", to_string(fault.kind))]++;
    co_await suffer_one(server, fault);
    log_info("fault is over", field("kind", fault.kind), field("backend", server.name()));
  }
}

io::Task<void> ForeignServers::suffer_one(ForeignServer& server, ForeignFault fault) {
  switch (fault.kind) {
    case ForeignTrouble::kill:
      server.kill();
      co_await sleep(fault.lasts);
      co_return server.start();
    case ForeignTrouble::freeze:
      server.freeze();
      co_await sleep(fault.lasts);
      co_return server.thaw();
    case ForeignTrouble::cut_silently:
    case ForeignTrouble::cut_with_word:
      co_return co_await cut_off(server, fault);
    case ForeignTrouble::slow:
      parts_.world.network().slow[server.name()] = milliseconds(random_.between(20, 400));
      server.token_factor = kTokenSlowdown;
      co_await sleep(fault.lasts);
      server.token_factor = 1;
      parts_.world.network().slow.erase(server.name());
      co_return;
    case ForeignTrouble::be_removed:
      co_return co_await take_out(server, fault.lasts);
    default:
      server.conduct = fault.kind;
      co_await sleep(fault.lasts);
      server.conduct.reset();
  }
}

io::Task<void> ForeignServers::cut_off(const ForeignServer& server, ForeignFault fault) {
  SimNetwork& network = parts_.world.network();
  const Word word = fault.kind == ForeignTrouble::cut_with_word ? Word::reset : Word::none;
  const double from_each = random_.chance(0.5) ? 1 : 0.6;
  std::vector<std::string> others;
  for (const auto& node : parts_.nodes) {
    if (!random_.chance(from_each)) continue;
    others.push_back(node->name());
    network.cut(server.name(), node->name(), word);
    network.cut(node->name(), server.name(), word);
  }
  co_await sleep(fault.lasts);
  for (const std::string& other : others) {
    network.heal(server.name(), other);
    network.heal(other, server.name());
  }
}

io::Task<void> ForeignServers::take_out(const ForeignServer& server, io::Duration lasts) {
  co_await remove(server, 0);
  removals_.push_back({server.name(), parts_.world.clock().now()});
  const size_t removal = removals_.size() - 1;
  co_await sleep(lasts);
  removals_[removal].until = parts_.world.clock().now();
  co_await add(server, 0);
}

io::Task<void> ForeignServers::judge_healed(SimClient& client) {
  if (servers_.empty()) co_return;
  for (const auto& node : parts_.nodes) co_await judge_lists(*node);
  co_await judge_leaving(client);
  co_await retire();
}

// The work for a client that is gone ends, however silent the server is.
io::Task<void> ForeignServers::judge_leaving(SimClient& client) {
  std::vector<ForeignServer*> holders;
  for (const auto& server : servers_) {
    if (server->plan().has(kForeignModel)) holders.push_back(server.get());
  }
  if (holders.empty()) co_return;
  for (ForeignServer* server : holders) server->conduct = ForeignTrouble::fall_silent;
  for (int i = 0; i < kLeavesMax; i++) {
    co_await client.ask(kForeignModel, any_node(), kLeavesAfter);
    if (parts_.seen.back().left) break;
  }
  if (parts_.seen.back().left) parts_.report.counts["backends: left in silence"]++;
  const auto all_ended = [&holders] {
    return std::ranges::all_of(holders, [](const auto* one) { return one->running() == 0; });
  };
  co_await parts_.wait_for(all_ended, kEndedMax, "backends end what a client left");
  for (ForeignServer* server : holders) server->conduct.reset();
}

// They are removed for good.
io::Task<void> ForeignServers::retire() {
  for (const auto& server : servers_) co_await remove(*server, any_node());
  const auto forgotten = [this] {
    return std::ranges::all_of(parts_.nodes, [](const auto& node) {
      return node->node() && node->node()->backends().empty();
    });
  };
  co_await parts_.wait_for(forgotten, kForgottenMax, "all nodes know that backends were removed");
  co_await sleep(kUnderWayMax);
  std::vector<uint64_t> before;
  for (const auto& server : servers_) before.push_back(server->requests());
  co_await sleep(kQuietTime);
  for (size_t i = 0; i < servers_.size(); i++) {
    const ForeignServer& server = *servers_[i];
    if (server.requests() != before[i]) {
      parts_.complain(server.name() + " is asked although it was removed");
    }
    for (const auto& node : parts_.nodes) {
      const int open = parts_.world.network().streams_open(node->name(), server.name());
      if (open == 0) continue;
      parts_.complain(fmt::format("{} connections of {} lead to {}, which was removed", open,
                                  node->name(), server.name()));
    }
  }
  if (is_shared()) co_return;
  const json::object body{{"model", model_name(kForeignModel)}, {"prompt", "?"}, {"raw", true}};
  const ClusterNode& node = *parts_.nodes[any_node()];
  const auto answered = co_await parts_.ask(node, "POST", "/api/generate", json::serialize(body));
  if (!answered && answered.error().what.contains("status 404")) co_return;
  parts_.complain("a model that only removed backends have: " +
                  (answered ? "it is answered" : answered.error().what));
}

void ForeignServers::stop() {
  for (const auto& server : servers_) server->stop();
}

bool ForeignServers::has_all_ended() const {
  return std::ranges::all_of(servers_, [](const auto& server) { return server->has_all_ended(); });
}

}  // namespace om::sim
