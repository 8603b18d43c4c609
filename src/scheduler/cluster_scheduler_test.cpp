// Several gateways and nodes in one process and simulated time: reports every 200 ms, no network.
#include "scheduler/cluster_scheduler.h"

#include <gmock/gmock.h>

#include <boost/json.hpp>
#include <set>

#include "base/log.h"
#include "io/co_assert_for_test.h"
#include "scheduler/local_scheduler.h"
#include "scheduler/testing.h"
#include "sim/world.h"

namespace om::scheduler {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::HasSubstr;
using testing::Script;

constexpr uint64_t kModelBytes = 140;  // Of SimplePlans with one slot and the default context.
constexpr milliseconds kReportInterval{200};

Target model(const std::string& name) {
  Target target = testing::target(name);
  target.files = {{target.weights, 100}};
  target.load_bytes = kModelBytes;
  return target;
}

struct Member {
  std::string name;
  Script script;
  std::set<std::string> files;  // Models whose files it lacks.
  cluster::NodeState state = cluster::NodeState::ready;
  std::unique_ptr<LocalScheduler> local;
  std::unique_ptr<Scheduler> own;  // `local`, as the node's own gateway asks it.
  std::unique_ptr<ClusterScheduler> gateway;
  std::vector<std::pair<std::string, size_t>> staged;  // What it asked for.
  ReplicaKeeper* keeper = nullptr;                     // Instead of the gateway's.
};

// A node's own scheduler that has no way to fetch what is not on its disk.
class OnDisk final : public Scheduler {
 public:
  explicit OnDisk(Member& member) : member_(member) {}
  io::Task<Result<std::unique_ptr<Lease>>> acquire(Target target, AcquireOptions options,
                                                   io::Call call) override {
    if (member_.files.contains(target.name)) co_return fail(Errc::not_found, "no such blob");
    co_return co_await member_.local->acquire(std::move(target), std::move(options),
                                              std::move(call));
  }
  bool unload(const Digest& weights) override { return member_.local->unload(weights); }
  std::vector<LoadedModel> loaded() const override { return member_.local->loaded(); }
  io::Task<void> stop() override { co_await member_.local->stop(); }

 private:
  Member& member_;
};

class Nodes {
 public:
  explicit Nodes(size_t count, uint64_t memory = kModelBytes + 10, size_t standby = 0,
                 io::Duration keep_alive_of_nodes = seconds(-1))
      : sim(1), keep_alive(keep_alive_of_nodes) {
    replicas.standby = standby;
    set_log_level(LogLevel::off);
    for (size_t i = 0; i < count; i++) add(fmt::format("n{}", i), memory);
  }

  using Body = io::Task<void> (*)(Nodes&);
  void run(Body body) { sim.run(run_and_stop(body)); }

  Member& operator[](size_t index) { return members[index]; }
  io::Task<void> pass(io::Duration time) {
    auto slept = co_await sim.clock().sleep_for(time);
    EXPECT_TRUE(slept);
  }
  cluster::View view(const std::string& self) {
    const io::TimePoint now = sim.clock().now();
    if (now - seen_at_ >= kReportInterval || seen_at_ == io::TimePoint{}) {
      seen_.clear();
      for (Member& member : members) seen_.push_back(report(member));
      seen_at_ = now;
    }
    std::vector<cluster::NodeInfo> nodes = seen_;
    for (cluster::NodeInfo& node : nodes) {
      if (node.name == self) node.peer = {};
    }
    return *cluster::View::of(std::move(nodes));
  }
  std::unique_ptr<NodeLinks> links_of(const std::string& self);
  Member& named(const std::string& name) {
    return *std::ranges::find(members, name, &Member::name);
  }

  struct Client {
    std::unique_ptr<Lease> lease;
    std::optional<Error> error;
    bool done = false;
  };
  Client& start(size_t gateway, Target target, AcquireOptions options = {}) {
    Client& client = clients.emplace_back();
    io::spawn_detached(sim.world().executor,
                       fetch(gateway, std::move(target), std::move(options), client));
    return client;
  }
  // Nodes that have it in memory.
  std::vector<std::string> holders(const std::string& name) {
    std::vector<std::string> result;
    for (Member& member : members) {
      if (member.script.find(name) != nullptr) result.push_back(member.name);
    }
    return result;
  }

  sim::World sim;
  std::deque<Member> members;
  std::deque<Client> clients;
  std::vector<std::string> models{"a", "b", "c", "d"};
  ReplicaOptions replicas;
  const io::Duration keep_alive;

 private:
  class Links;
  void add(std::string name, uint64_t memory);
  cluster::NodeInfo report(Member& member) {
    cluster::NodeInfo info = member.local->node_info(member.name);
    info.state = member.state;
    info.peer = io::Endpoint::tcp(member.name, 1);
    info.disk_free = 1 << 30;
    info.demand = member.keeper != nullptr ? member.keeper->demand() : member.gateway->demand();
    std::vector<Digest> blobs;
    for (const std::string& one : models) {
      if (!member.files.contains(one)) blobs.push_back(Digest::of(one));
    }
    std::ranges::sort(blobs);
    info.blobs = std::make_shared<const std::vector<Digest>>(std::move(blobs));
    return info;
  }
  io::Task<void> fetch(size_t gateway, Target target, AcquireOptions options, Client& client) {
    const io::Call call = sim.clock().call_within(minutes(10));
    auto lease =
        co_await members[gateway].gateway->acquire(std::move(target), std::move(options), call);
    client.done = true;
    if (lease) {
      client.lease = std::move(*lease);
    } else {
      client.error = lease.error();
    }
  }
  io::Task<void> run_and_stop(Body body) {
    co_await body(*this);
    clients.clear();
    for (Member& member : members) co_await member.gateway->stop();
  }

  std::vector<cluster::NodeInfo> seen_;
  io::TimePoint seen_at_{};
};

class Nodes::Links final : public NodeLinks {
 public:
  Links(Nodes& nodes, std::string self) : nodes_(nodes), self_(std::move(self)) {}
  cluster::View view() override { return nodes_.view(self_); }
  io::Task<Result<std::unique_ptr<Lease>>> acquire(const std::string& node, const Target& target,
                                                   const AcquireOptions& options,
                                                   io::Call call) override {
    Member& member = nodes_.named(node);
    if (member.state == cluster::NodeState::unreachable) {
      co_return fail(Errc::unavailable, "node {} is lost", node);
    }
    auto lease = co_await member.own->acquire(target, options, std::move(call));
    if (!lease && lease.error().code == Errc::unavailable) {
      co_return fail(Errc::internal, "{}", lease.error().what);
    }
    co_return lease;
  }
  bool unload(const std::string& node, const Digest& weights) override {
    return nodes_.named(node).local->unload(weights);
  }
  io::Task<void> stop() override { co_return; }

 private:
  Nodes& nodes_;
  std::string self_;
};

std::unique_ptr<NodeLinks> Nodes::links_of(const std::string& self) {
  return std::make_unique<Links>(*this, self);
}

void Nodes::add(std::string name, uint64_t memory) {
  Member& member = members.emplace_back();
  member.name = name;
  LocalSchedulerOptions options;
  options.memory_total = memory;
  options.keep_alive = keep_alive;
  member.local = std::make_unique<LocalScheduler>(
      sim.world(), options, testing::scripted_engines(sim.clock(), member.script),
      std::make_unique<testing::SimplePlans>(std::vector<int>{1}));
  member.own = std::make_unique<OnDisk>(member);
  member.gateway = std::make_unique<ClusterScheduler>(
      sim.world(), std::make_unique<Links>(*this, name), *member.own, name, replicas);
  member.gateway->stage_with([&member](const Target& target, size_t copies) {
    member.staged.emplace_back(target.name, copies);
  });
  member.gateway->start();
}

io::Task<void> spreads(Nodes& nodes) {
  // All at the same moment and through different gateways: nobody sees what the others do.
  nodes.start(0, model("a"));
  nodes.start(1, model("b"));
  nodes.start(2, model("c"));
  co_await nodes.pass(seconds(10));
  for (const auto& client : nodes.clients) EXPECT_TRUE(client.lease);
  for (Member& member : nodes.members) EXPECT_EQ(member.script.loads.size(), 1u) << member.name;
}
TEST(ClusterScheduler, LoadsModelsOnDifferentNodesBeforeAnyIsSwapped) { Nodes(3).run(spreads); }

Errc read_ahead_error(const Result<void>& done) {
  return done ? Errc::internal : done.error().code;
}

io::Task<void> reads_ahead(Nodes& nodes) {
  engine::CompletionRequest prompt;
  prompt.tokens = {1, 2, 3};
  AcquireOptions options;
  options.keep_alive.duration = seconds(0);
  const auto read = [&](std::string busy) {
    const io::Call call = nodes.sim.clock().call_within(seconds(10));
    return nodes[0].gateway->read_ahead(model("a"), options, prompt, std::move(busy), call);
  };
  nodes.start(0, model("a"));
  co_await nodes.pass(seconds(5));
  CO_ASSERT(nodes.clients.back().lease);
  const std::string busy(nodes.clients.back().lease->node());
  auto done = co_await read(busy);
  EXPECT_EQ(read_ahead_error(done), Errc::not_found) << "nobody else has it yet";
  co_await nodes.pass(seconds(10));  // A standby is loaded.
  const auto holders = nodes.holders("a");
  CO_ASSERT(holders.size() == 2);
  const std::string standby = holders[0] == busy ? holders[1] : holders[0];
  done = co_await read(busy);
  EXPECT_EQ(read_ahead_error(done), Errc::unsupported) << "what a scripted engine says";
  const auto& asked = nodes.named(standby).script.asked;
  CO_ASSERT(asked.size() == 1);
  EXPECT_EQ(asked[0].tokens, prompt.tokens);
  EXPECT_TRUE(nodes.named(busy).script.asked.empty());
  co_await nodes.pass(seconds(1));
  EXPECT_EQ(nodes.holders("a").size(), 2u) << "it stays for the next one";
  nodes.start(0, model("a"));  // It has one slot, and now none to spare.
  co_await nodes.pass(seconds(1));
  done = co_await read(busy);
  EXPECT_EQ(read_ahead_error(done), Errc::not_found);
}
TEST(ClusterScheduler, HasAStandbyReadAheadWhereItHasRoom) {
  Nodes(3, kModelBytes + 10, 1, seconds(0)).run(reads_ahead);
}

io::Task<void> reads_nothing_ahead(Nodes& nodes) {
  const auto done = co_await nodes[0].gateway->read_ahead(model("a"), {}, {}, "n1", {});
  EXPECT_EQ(read_ahead_error(done), Errc::unsupported);
}
TEST(ClusterScheduler, ReadsNothingAheadWithoutStandbys) { Nodes(2).run(reads_nothing_ahead); }

io::Task<void> swaps(Nodes& nodes) {
  for (const auto* name : {"a", "b", "c", "d"}) {
    nodes.start(0, model(name));
    co_await nodes.pass(seconds(5));
    CO_ASSERT(nodes.clients.back().lease);
    nodes.clients.back().lease.reset();
    co_await nodes.pass(seconds(1));
  }
  size_t loads = 0;
  for (Member& member : nodes.members) loads += member.script.loads.size();
  EXPECT_EQ(loads, 4u) << "one of three was swapped for the fourth";
  EXPECT_EQ(nodes.holders("d").size(), 1u);
}
TEST(ClusterScheduler, SwapsOneWhenAllNodesAreFull) { Nodes(3).run(swaps); }

io::Task<void> swaps_together(Nodes& nodes) {
  // Two nodes, three models at once: two are loaded, and the third finds out and waits its turn.
  nodes.start(0, model("a"));
  nodes.start(1, model("b"));
  nodes.start(0, model("c"));
  co_await nodes.pass(seconds(10));
  int served = 0;
  for (auto& client : nodes.clients) {
    served += client.lease ? 1 : 0;
    client.lease.reset();
  }
  EXPECT_EQ(served, 2);
  co_await nodes.pass(seconds(10));
  for (const auto& client : nodes.clients) EXPECT_FALSE(client.error);
}
TEST(ClusterScheduler, LetsNobodyDownWhoFindsNoRoomAnywhere) { Nodes(2).run(swaps_together); }

io::Task<void> keep_busy(Nodes& nodes, io::Duration time) {
  for (const io::TimePoint end = nodes.sim.clock().now() + time; nodes.sim.clock().now() < end;) {
    for (size_t gateway = 0; gateway < 3; gateway++) nodes.start(gateway, model("a"));
    co_await nodes.pass(seconds(1));
    size_t ended = 0;
    for (auto& client : nodes.clients) {
      if (client.lease && ended++ < 2) client.lease.reset();
    }
  }
  for (int i = 0; i < 200; i++) {
    for (auto& client : nodes.clients) client.lease.reset();
    co_await nodes.pass(milliseconds(100));
  }
}

io::Task<void> grows(Nodes& nodes) {
  nodes.start(0, model("a"));
  co_await nodes.pass(seconds(3));
  nodes.clients.back().lease.reset();
  const auto links = nodes.links_of("n0");
  NodeChooser chooser(nodes.sim.world().random);
  ReplicaKeeper keeper(nodes.sim.world(), chooser, *links, *nodes[0].local, "n0", {});
  nodes[0].keeper = &keeper;
  keeper.start();
  EXPECT_EQ(nodes.holders("a").size(), 1u);
  for (int i = 0; i < 30; i++) {
    keeper.note_request(model("a"), kModelBytes, seconds(4), false);
    co_await nodes.pass(milliseconds(500));
  }
  EXPECT_EQ(nodes.holders("a").size(), 2u) << "its requests waited for long";
  co_await nodes.pass(minutes(30));
  EXPECT_EQ(nodes.holders("a").size(), 1u) << "nobody asks any more";
  nodes[0].keeper = nullptr;
  co_await keeper.stop();
}
TEST(ClusterScheduler, GrowsHotModelsAndShrinksThemLater) { Nodes(4).run(grows); }

io::Task<void> grows_once(Nodes& nodes) {
  // Both gateways see the pressure; one of them acts on it.
  co_await keep_busy(nodes, seconds(5));
  size_t loads = 0;
  for (Member& member : nodes.members) loads += member.script.loads.size();
  EXPECT_LE(loads, nodes.members.size());
}
TEST(ClusterScheduler, LoadsAModelOnceOnANodeHoweverManyGatewaysWantIt) {
  Nodes(4).run(grows_once);
}

io::Task<void> stages(Nodes& nodes) {
  for (size_t i = 1; i < 3; i++) nodes[i].files.insert("a");
  co_await keep_busy(nodes, seconds(30));
  EXPECT_EQ(nodes.holders("a").size(), 1u);
  std::vector<std::pair<std::string, size_t>> staged;
  for (Member& member : nodes.members) {
    staged.insert(staged.end(), member.staged.begin(), member.staged.end());
  }
  CO_ASSERT(!staged.empty());
  EXPECT_EQ(staged.front(), (std::pair<std::string, size_t>("a", 1)));
  nodes[2].files.clear();
  co_await keep_busy(nodes, seconds(40));
  EXPECT_THAT(nodes.holders("a"), ::testing::Contains("n2"));
}
TEST(ClusterScheduler, BringsTheFilesBeforeItGrows) { Nodes(3).run(stages); }

io::Task<void> breaks(Nodes& nodes) {
  nodes[1].files = {"a", "b"};  // Only n0 has them.
  nodes[0].script.load_errors.emplace("a", Error{Errc::unavailable, "cannot start"});
  for (int i = 0; i < 4; i++) {
    nodes.start(1, model("a"));
    co_await nodes.pass(milliseconds(3500));
    CO_ASSERT(nodes.clients.back().error);
  }
  const std::string why = nodes[1].gateway->dry_run(model("a"), {})->to_json();
  EXPECT_THAT(why, HasSubstr("failed lately"));
  nodes.start(1, model("b"));
  co_await nodes.pass(seconds(4));
  EXPECT_TRUE(nodes.clients.back().lease) << "the node itself is well";
  nodes.clients.back().lease.reset();
  nodes[0].script.load_errors.clear();
  co_await nodes.pass(minutes(2));
  nodes.start(1, model("a"));
  co_await nodes.pass(seconds(10));
  EXPECT_TRUE(nodes.clients.back().lease) << "the trial worked";
}
TEST(ClusterScheduler, BreaksTheCircuitOfARunnerAndNotOfItsNode) {
  Nodes(2, 2 * kModelBytes + 10).run(breaks);
}

io::Task<void> passes_rot_by(Nodes& nodes) {
  std::vector<Digest> doubted;
  for (Member& member : nodes.members) {
    if (member.name == "n1") continue;
    member.script.load_errors.emplace("a", Error{Errc::corrupt, "not a GGUF file"});
    member.local->on_doubt([&](const Target& target) { doubted.push_back(target.weights); });
  }
  for (size_t gateway = 0; gateway < 3; gateway++) {
    nodes.start(gateway, model("a"));
    co_await nodes.pass(seconds(20));
    CO_ASSERT(nodes.clients.back().lease);
    EXPECT_EQ(nodes.clients.back().lease->node(), "n1");
    nodes.clients.back().lease.reset();
  }
  EXPECT_THAT(doubted, ::testing::Each(Digest::of("a")));
  EXPECT_FALSE(doubted.empty());
}
TEST(ClusterScheduler, GoesOnWhereTheFileIsSoundAndDoubtsTheOther) { Nodes(3).run(passes_rot_by); }

io::Task<void> breaks_node(Nodes& nodes) {
  nodes[0].state = cluster::NodeState::ready;
  nodes[1].files = {"a", "b"};
  nodes.start(1, model("a"));
  co_await nodes.pass(seconds(4));
  nodes.clients.back().lease.reset();
  EXPECT_EQ(nodes.holders("a"), std::vector<std::string>{"n0"});
}
TEST(ClusterScheduler, AsksTheNodeThatHasTheFiles) { Nodes(2).run(breaks_node); }

io::Task<void> drains(Nodes& nodes) {
  nodes[0].state = cluster::NodeState::draining;
  for (int i = 0; i < 6; i++) {
    nodes.start(0, model("a"));
    co_await nodes.pass(seconds(4));
    CO_ASSERT(nodes.clients.back().lease);
    EXPECT_EQ(nodes.clients.back().lease->node(), "n1");
    nodes.clients.back().lease.reset();
  }
}
TEST(ClusterScheduler, AvoidsANodeThatDrains) { Nodes(2).run(drains); }

io::Task<void> pins(Nodes& nodes) {
  nodes[0].files.insert("a");
  nodes.start(0, model("a"));
  co_await nodes.pass(seconds(4));
  nodes.clients.back().lease.reset();
  EXPECT_TRUE(nodes[1].local->pin(Digest::of("a"), true));
  co_await nodes.pass(seconds(1));
  const auto loaded = nodes[0].gateway->loaded();
  CO_ASSERT(loaded.size() == 1);
  EXPECT_EQ(loaded[0].node, "n1");
  EXPECT_TRUE(loaded[0].pinned);
  nodes.start(0, model("b"));
  co_await nodes.pass(seconds(4));
  CO_ASSERT(nodes.clients.back().lease);
  EXPECT_EQ(nodes.clients.back().lease->node(), "n0") << "a pinned model is not evicted";
}
TEST(ClusterScheduler, TellsWhatIsPinnedAndMakesNoRoomOfIt) { Nodes(2).run(pins); }

io::Task<void> serves_short_context(Nodes& nodes) {
  Target small = model("a");  // Asks for the default.
  small.trained_context = 512;
  nodes.start(0, small);
  co_await nodes.pass(seconds(4));
  CO_ASSERT(nodes.clients.back().lease);
  nodes.clients.back().lease.reset();
  co_await nodes.pass(seconds(1));
  const std::vector<std::string> holders = nodes.holders("a");
  CO_ASSERT(holders.size() == 1);
  for (const auto& told :
       {nodes[0].gateway->dry_run(small, {}), nodes.named(holders[0]).local->dry_run(small, {})}) {
    CO_ASSERT(told->best() != nullptr);
    EXPECT_TRUE(told->best()->loaded);
  }
}
TEST(ClusterScheduler, KnowsAModelAsLoadedThatWasTrainedForLessContextThanIsAskedFor) {
  Nodes(2).run(serves_short_context);
}

io::Task<void> tells_evictions(Nodes& nodes) {
  nodes.start(0, model("a"));
  co_await nodes.pass(seconds(4));
  nodes.clients.back().lease.reset();
  co_await nodes.pass(seconds(1));
  const auto told =
      boost::json::parse(nodes[0].gateway->dry_run(model("b"), {})->to_json()).as_object();
  EXPECT_TRUE(told.at("fits").as_bool());
  EXPECT_EQ(told.at("load_bytes").to_number<uint64_t>(), kModelBytes);
  const auto& first = told.at("candidates").as_array().at(0).as_object();
  EXPECT_EQ(first.at("evictions").as_array().at(0).as_string(), "a");
  Target large = model("c");
  large.load_bytes = 10 * kModelBytes;
  const auto never =
      boost::json::parse(nodes[0].gateway->dry_run(large, {})->to_json()).as_object();
  EXPECT_FALSE(never.at("fits").as_bool());
  EXPECT_THAT(
      std::string(never.at("candidates").as_array().at(0).as_object().at("excluded").as_string()),
      HasSubstr("does not fit"));
  EXPECT_EQ(nodes.holders("a").size(), 1u) << "nothing was changed";
}
TEST(ClusterScheduler, SaysWhetherAModelWillFitAndWhatItWouldEvict) {
  Nodes(1).run(tells_evictions);
}

}  // namespace
}  // namespace om::scheduler
