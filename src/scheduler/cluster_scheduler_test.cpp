#include "scheduler/cluster_scheduler.h"

#include <gmock/gmock.h>

#include <boost/json.hpp>

#include "io/co_assert_for_test.h"
#include "scheduler/cluster_nodes_for_test.h"

namespace om::scheduler {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::HasSubstr;
using testing::kModelBytes;
using testing::kReportInterval;
using testing::Member;
using testing::model;
using testing::Nodes;

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

struct Asked {
  io::TimePoint begun{};
  int times = 0;
};

// Its first load ends late and badly, and for a while after that none is tried.
io::Task<Result<void>> fail_late(Nodes& nodes, Asked& asked) {
  if (asked.times++ == 0) co_await nodes.pass(milliseconds(9500));
  if (nodes.sim.clock().now() - asked.begun > seconds(13)) co_return Result<void>{};
  co_return fail(Errc::unavailable, "it was not loaded");
}

io::Task<void> tries_again(Nodes& nodes) {
  Asked asked{nodes.sim.clock().now()};
  nodes[0].before = [&nodes, &asked] { return fail_late(nodes, asked); };
  auto& client = nodes.start(0, model("a"));
  co_await nodes.pass(seconds(20));
  EXPECT_TRUE(client.lease != nullptr);
}
TEST(ClusterScheduler, TriesAgainWhatWaitedLongForALoadThatFailed) { Nodes(1).run(tries_again); }

io::Task<Result<void>> count(Asked& asked) {
  asked.times++;
  co_return Result<void>{};
}

io::Task<void> waits_for_word(Nodes& nodes) {
  Asked asked;
  for (Member& member : nodes.members) {
    member.files = {"a"};
    member.before = [&asked] { return count(asked); };
  }
  auto& client = nodes.start(0, model("a"));
  co_await nodes.pass(milliseconds(700));
  EXPECT_EQ(asked.times, 0);
  nodes[1].files.clear();  // Made there before, and told only now.
  co_await nodes.pass(seconds(5));
  CO_ASSERT(client.lease != nullptr);
  EXPECT_EQ(client.lease->node(), "n1");
}
TEST(ClusterScheduler, WaitsForWordOfWhoHasANewModelsFiles) { Nodes(3).run(waits_for_word); }

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

io::Task<void> drains_as_the_last(Nodes& nodes) {
  nodes[0].state = cluster::NodeState::draining;
  nodes[1].state = cluster::NodeState::unreachable;
  co_await nodes.pass(seconds(1));
  auto& answer = nodes.start(0, model("a"));
  auto& move = nodes.start(0, model("a"), {.resumes = true, .moves = true});
  co_await nodes.pass(seconds(4));
  CO_ASSERT(answer.lease);
  EXPECT_EQ(answer.lease->node(), "n0");
  answer.lease.reset();
  co_await nodes.pass(kResumePatience);
  CO_ASSERT(move.error);
  EXPECT_EQ(move.error->code, Errc::unavailable);
  const auto would = nodes[0].gateway->dry_run(model("a"), {});
  CO_ASSERT(would->best());
  EXPECT_TRUE(would->best()->draining);
}
TEST(ClusterScheduler, ANodeThatDrainsAnswersWhereNoOtherIsLeft) {
  Nodes(2).run(drains_as_the_last);
}

io::Task<Result<void>> is_full() { co_return fail(queue_full()); }

io::Task<void> drains_beside_busy_ones(Nodes& nodes) {
  nodes[0].state = cluster::NodeState::draining;
  nodes[1].before = is_full;
  auto& answer = nodes.start(0, model("a"));
  co_await nodes.pass(seconds(4));
  CO_ASSERT(answer.error);
  EXPECT_EQ(answer.error->code, Errc::overloaded);
}
TEST(ClusterScheduler, ANodeThatDrainsIsLeftAloneWhereOthersAreOnlyBusy) {
  Nodes(2).run(drains_beside_busy_ones);
}

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
