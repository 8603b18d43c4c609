#include "scheduler/node_placement.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <boost/json/parse.hpp>
#include <set>

#include "scheduler/node_cost.h"
#include "scheduler/node_placement_for_test.h"

namespace om::scheduler {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST_F(NodePlacement, TakesTheNodeWithTheShorterQueue) {
  runner("a", "x", 4, 3);
  runner("b", "x", 1);
  report();
  EXPECT_EQ(decide(request("x")).best()->name, "b");
}

TEST_F(NodePlacement, CountsQueuedPromptsByTheirTokensAndNotByTheirNumber) {
  runner("a", "x", 1).pending_prompt_tokens = 20000;
  runner("b", "x", 3).pending_prompt_tokens = 100;
  report();
  EXPECT_EQ(decide(request("x")).best()->name, "b");
}

TEST_F(NodePlacement, PrefersTheWarmNodeUntilItsQueueCostsMore) {
  runner("a", "x", 1);
  runner("b", "x", 1);
  report();
  const PlacementRequest wanted = request("x", std::string(4000, 'p'));
  SentRequest sent = send(wanted);
  const std::string warm = sent.name;
  chooser_.end(std::move(sent), {.cached_tokens = 0, .prompt_tokens = 1000}, kNow);
  report(kNow + seconds(1));
  const auto decision = decide(wanted, kNow + seconds(1));
  EXPECT_EQ(decision.best()->name, warm);
  EXPECT_GT(decision.best()->warm_tokens, 800);
  nodes_[warm].runners[0].pending_prompt_tokens = 3000;
  report(kNow + seconds(1));
  EXPECT_NE(decide(wanted, kNow + seconds(1)).best()->name, warm);
}

TEST_F(NodePlacement, ExpectsOfNodesThatHaveMeasuredNothingWhatAWarmOneMeasured) {
  // So many that few of them are looked at.
  for (int i = 0; i < 1000; i++) runner(fmt::format("n{}", i), "x").prompt_rate = 0;
  report();
  const PlacementRequest wanted = request("x", std::string(4000, 'w'));
  const auto expected = [&](io::TimePoint now) {
    const PlacementDecision decision = decide(wanted, now);
    const auto cold = std::ranges::find(decision.ranked, 0, &NodeCandidate::warm_tokens);
    CHECK(cold != decision.ranked.end());
    return wanted.prompt_tokens / cold->cost.prefill * 1000;
  };
  EXPECT_NEAR(expected(kNow), PlacementOptions().prompt_rate, 1);
  SentRequest sent = send(wanted);
  nodes_[sent.name].runners[0].prompt_rate = 4000;
  chooser_.end(std::move(sent), {.cached_tokens = 0, .prompt_tokens = 1000}, kNow);
  report(kNow + seconds(1));
  EXPECT_NEAR(expected(kNow + seconds(1)), 4000, 1);
}

TEST_F(NodePlacement, ExpectsLessOfFewerProcessorsUntilTheyAreMeasured) {
  const std::pair<const char*, double> nodes[] = {
      {"large", 8}, {"small", 0.5}, {"other", 3.5}, {"untold", 0}};
  for (const auto& [name, processors] : nodes) {
    cluster::RunnerInfo& one = runner(name, "x");
    one.prompt_rate = one.output_rate = 0;
    node(name).processors = processors;
  }
  report();
  const auto expected = [&](std::string_view name) {
    const PlacementDecision decision = decide(request("x"));
    return std::ranges::find(decision.ranked, name, &NodeCandidate::name)->cost;
  };
  const double usual = 1000 / PlacementOptions().prompt_rate * 1000;  // With four, the mean.
  EXPECT_NEAR(expected("large").prefill, usual / 2, 1);
  EXPECT_NEAR(expected("small").prefill, usual * 8, 1);
  EXPECT_NEAR(expected("untold").prefill, usual, 1);
  EXPECT_NEAR(expected("small").decode / expected("large").decode, kOutputProcessors / 0.5, 1e-6);
  nodes_["other"].runners[0].prompt_rate = 700;
  report();
  EXPECT_NEAR(expected("large").prefill, 1e6 / 1600, 1);
  nodes_["small"].runners[0].prompt_rate = 900;
  report();
  EXPECT_NEAR(expected("small").prefill, 1e6 / 900, 1) << "what it measured counts";
}

TEST_F(NodePlacement, CountsWhatItSentBeforeAnyReportTells) {
  for (const char* name : {"a", "b", "c", "d"}) runner(name, "x");
  report();
  std::map<std::string, int> sent;
  for (int i = 0; i < 16; i++) sent[send(request("x", std::to_string(i))).name]++;
  for (const auto& [name, count] : sent) EXPECT_EQ(count, 4) << name;
}

TEST_F(NodePlacement, LoadsOnFreeMemoryRatherThanEvicting) {
  runner("a", "y");
  runner("a", "z");
  node("b");
  report();
  const auto decision = decide(request("x"));
  EXPECT_EQ(decision.best()->name, "b");
  EXPECT_TRUE(decision.best()->evictions.empty());
  EXPECT_EQ(decision.ranked[1].evictions.size(), 1u);
}

TEST_F(NodePlacement, EvictsTheIdleModelThatIsWorthLeast) {
  runner("a", "y").value = 9;
  runner("a", "z").value = 1;
  report();
  EXPECT_EQ(decide(request("x")).best()->evictions, std::vector<std::string>{"z"});
  nodes_["a"].runners[1].running = 1;
  report();
  EXPECT_EQ(decide(request("x")).best()->evictions, std::vector<std::string>{"y"});
}

TEST_F(NodePlacement, SendsModelsThatComeTogetherToDifferentNodes) {
  for (const char* name : {"a", "b", "c"}) node(name).memory_total = 5 * kGigabyte;
  report();
  std::set<std::string> used;
  for (const char* model : {"x", "y", "z"}) used.insert(send(request(model)).name);
  EXPECT_EQ(used.size(), 3u);
}

TEST_F(NodePlacement, JoinsALoadThatItJustStarted) {
  for (const char* name : {"a", "b", "c"}) node(name);
  report();
  PlacementRequest wanted = request("x");
  wanted.prompt_tokens = 100;
  const std::string first = send(wanted).name;
  const auto decision = decide(wanted, kNow + seconds(1));
  EXPECT_EQ(decision.best()->name, first);
  EXPECT_TRUE(decision.best()->loaded);
}

TEST_F(NodePlacement, LoadsAnotherCopyWhenTheQueueIsLongerThanTheLoad) {
  runner("a", "x", 4, 20).pending_prompt_tokens = 20000;
  node("b");
  report();
  EXPECT_EQ(decide(request("x")).best()->name, "b");
}

TEST_F(NodePlacement, AFurtherCopyCostsLessWhereMoreMemoryIsFree) {
  runner("a", "x");
  node("b").memory_total = 5 * kGigabyte;
  node("c").memory_total = 40 * kGigabyte;
  report();
  const PlacementDecision decision = decide(request("x"));
  const double part = PlacementOptions().another_copy_part;
  const CostTerms &b = cost_of(decision, "b"), &c = cost_of(decision, "c");
  EXPECT_NEAR(b.penalty - c.penalty, part * 0.7 * b.load, 1);
}

TEST_F(NodePlacement, AFurtherCopyOnACardCostsByWhatIsFreeOfTheCard) {
  runner("a", "x");
  for (const char* name : {"b", "c"}) node(name).memory_total = 250 * kGigabyte;
  node("b").graphics_total = 6 * kGigabyte;
  report();
  const PlacementDecision decision = decide(request("x"));
  const auto taken = [&](std::string_view name) {
    const CostTerms& cost = cost_of(decision, name);
    const double rest = cost.penalty - PlacementOptions().hop_ms;
    return rest / (PlacementOptions().another_copy_part * cost.load);
  };
  const auto load_bytes = static_cast<double>(decision.load_bytes);
  EXPECT_NEAR(taken("b"), load_bytes / (6 * kGigabyte), 0.01);
  EXPECT_NEAR(taken("c"), load_bytes / (250 * kGigabyte), 0.01);
}

TEST_F(NodePlacement, NewConversationsOfALargeClusterGoWhereNoneIsKept) {
  for (int i = 0; i < 60; i++) runner(fmt::format("n{}", i), "x");
  report();
  std::set<std::string> used;
  for (int i = 0; i < 40; i++) {
    const std::string text = fmt::format("{}", i) + std::string(4000, 'a');
    SentRequest sent = send(request("x", text));
    used.insert(sent.name);
    chooser_.end(std::move(sent), {.prompt_tokens = 1000, .output_tokens = 50}, kNow);
  }
  // Of 60 each looks at 16: seldom is none of them free.
  EXPECT_GE(used.size(), 38u);
}

TEST_F(NodePlacement, NeverUsesNodesThatCannotServe) {
  runner("a", "x");
  node("b").state = cluster::NodeState::draining;
  node("c").state = cluster::NodeState::unreachable;
  node("d").memory_total = 3 * kGigabyte;
  node("e").disk_free = 0;
  node("e").blobs = std::make_shared<const std::vector<Digest>>();
  cluster::RunnerInfo& pinned = runner("f", "y");
  pinned.pinned = true;
  pinned.size_bytes = nodes_["f"].memory_used = 7 * kGigabyte;
  report();
  PlacementRequest wanted = request("x");
  auto decision = decide(wanted);
  EXPECT_EQ(decision.usable, 1u);
  EXPECT_EQ(exclusion_of(decision, "b"), Exclusion::not_ready);
  EXPECT_EQ(exclusion_of(decision, "c"), Exclusion::not_ready);
  EXPECT_EQ(exclusion_of(decision, "d"), Exclusion::no_memory);
  EXPECT_EQ(exclusion_of(decision, "e"), Exclusion::no_disk);
  EXPECT_EQ(exclusion_of(decision, "f"), Exclusion::no_memory);
  wanted.excluded = {"a"};
  decision = decide(wanted);
  EXPECT_EQ(decision.best(), nullptr);
  EXPECT_EQ(exclusion_of(decision, "a"), Exclusion::asked_out);
}

TEST_F(NodePlacement, LeavesOutWhatFailedAgainAndAgain) {
  runner("a", "x");
  runner("b", "x", 3);
  report();
  for (int i = 0; i < Breaker::kFailuresMax; i++) {
    const PlacementRequest wanted = request_without("b");
    chooser_.end(send(wanted), {.result = SentOutcome::Result::runner_failed}, kNow);
  }
  const auto decision = decide(request("x"));
  EXPECT_EQ(decision.best()->name, "b");
  EXPECT_EQ(exclusion_of(decision, "a"), Exclusion::broken);
  const PlacementRequest left = request_without("b");
  EXPECT_EQ(decide(left).best()->name, "a") << "better than nobody";
  report(kNow + Breaker::kPause);
  EXPECT_EQ(exclusion_of(decide(request("x"), kNow + Breaker::kPause), "a"), Exclusion::none);
}

TEST_F(NodePlacement, AsksANodeThatFellSilentAgainOnceItHasReported) {
  runner("a", "x");
  runner("b", "x", 3);
  report();
  const PlacementRequest wanted = request_without("b");
  const io::TimePoint lost = kNow + std::chrono::seconds(1);
  chooser_.end(send(wanted), {.result = SentOutcome::Result::node_failed}, lost);
  const auto decision = decide(request("x"), lost);
  EXPECT_EQ(exclusion_of(decision, "a"), Exclusion::broken);
  EXPECT_EQ(decision.best()->name, "b");
  const PlacementRequest left = request_without("b");
  EXPECT_EQ(decide(left, lost).best()->name, "a") << "better than nobody";
  report(lost);
  EXPECT_EQ(exclusion_of(decide(request("x"), lost), "a"), Exclusion::none);
}

TEST_F(NodePlacement, TakesARunnerThatDiedForGoneBeforeItsNodeSaysSo) {
  runner("a", "x");
  runner("b", "x", 3);
  report();
  const PlacementRequest wanted = request_without("b");
  const io::TimePoint died = kNow + std::chrono::seconds(1);
  chooser_.end(send(wanted), {.result = SentOutcome::Result::runner_failed}, died);
  EXPECT_EQ(decide(request("x"), died).best()->name, "b");
  const auto alone = decide(wanted, died);
  EXPECT_FALSE(alone.best()->loaded);
  EXPECT_GT(alone.best()->cost.load, 0);
  EXPECT_TRUE(alone.best()->evictions.empty()) << "it takes the place of the dead one";
  send(wanted);
  EXPECT_TRUE(decide(wanted, died).best()->loaded) << "joins the one that starts it again";
  report(died + std::chrono::milliseconds(200));
  EXPECT_EQ(decide(request("x"), died + std::chrono::milliseconds(200)).best()->name, "a");
}

TEST_F(NodePlacement, TakesARunnerThatIsEndingForNoneThatServes) {
  runner("a", "x").stopping = true;
  runner("b", "x", 3);
  report();
  const auto decision = decide(request("x"));
  EXPECT_EQ(decision.best()->name, "b");
  const PlacementRequest left = request_without("b");
  EXPECT_FALSE(decide(left).best()->loaded);
}

TEST_F(NodePlacement, PrefersANodeOnWhoseCardsTheModelFits) {
  node("a");
  node("b").graphics_total = 6 * kGigabyte;
  node("b").memory_total += 6 * kGigabyte;
  node("c").graphics_total = 3 * kGigabyte;
  node("c").memory_total += 3 * kGigabyte;
  report();
  EXPECT_EQ(decide(request("x")).best()->name, "b");
  node("b").graphics_used = 5 * kGigabyte;
  report();
  const auto full = decide(request("x"));
  EXPECT_LT(full.ranked[2].cost.total(), full.best()->cost.total() * 1.1)
      << "none of them is better now";
}

TEST_F(NodePlacement, EndsIdleModelsForOneThatThenLiesOnTheCards) {
  runner("a", "y").graphics_bytes = 4 * kGigabyte;
  node("a").graphics_total = node("a").graphics_used = 4 * kGigabyte;
  node("a").memory_total += 4 * kGigabyte;
  report();
  const auto alone = decide(request("x"));
  EXPECT_EQ(alone.best()->evictions, std::vector<std::string>{"y"});
  node("a").runners.front().running = 1;
  report();
  const auto beside = decide(request("x"));
  EXPECT_TRUE(beside.best()->evictions.empty()) << "main memory has room, and it is busy";
  EXPECT_GT(beside.best()->cost.prefill, alone.best()->cost.prefill);
}

TEST_F(NodePlacement, TakesWhatCardsDoForNoRateOfNodesWithoutThem) {
  cluster::RunnerInfo& on_card = runner("a", "x", 4, 20);
  on_card.on_card = true;
  on_card.prompt_rate = 8000;
  node("b");
  report();
  const PlacementRequest wanted = request_without("a");
  EXPECT_NEAR(decide(wanted).best()->cost.prefill, 1000.0, 1) << "at 1000 tokens a second";
}

TEST_F(NodePlacement, GivesANodeThatCameBackItsShareOnly) {
  runner("a", "x").running = 3;
  runner("b", "x");
  node("b").ramp = 0.25;
  report();
  int to_b = 0;
  for (int i = 0; i < 400; i++) {
    to_b += decide(request("x", std::to_string(i))).best()->name == "b" ? 1 : 0;
  }
  EXPECT_NEAR(to_b, 100, 40);
}

TEST_F(NodePlacement, ReplacesARunnerWhoseContextIsTooSmall) {
  runner("a", "x");
  report();
  PlacementRequest wanted = request("x");
  wanted.context = 32768;
  const auto decision = decide(wanted);
  ASSERT_NE(decision.best(), nullptr);
  EXPECT_FALSE(decision.best()->loaded);
  EXPECT_GT(decision.best()->cost.load, 0);
}

TEST_F(NodePlacement, ScattersEqualsButKeepsAConversationTogether) {
  for (const char* name : {"a", "b", "c", "d"}) runner(name, "x");
  report();
  std::map<std::string, int> chosen;
  for (int i = 0; i < 400; i++) {
    const PlacementRequest wanted = request("x", std::to_string(i));
    const auto decision = decide(wanted);
    EXPECT_TRUE(decision.tie);
    chosen[decision.best()->name]++;
    sim::SimRandom other_random{99};
    NodeChooser other(other_random);  // A gateway that never saw the conversation.
    for (const auto& [name, info] : nodes_) other.observe(info);
    EXPECT_EQ(other.decide(wanted, kNow).best()->name, decision.best()->name);
  }
  for (const auto& [name, count] : chosen) EXPECT_NEAR(count, 100, 50) << name;
}

// Other gateways see the same reports, and would all go where it is soonest.
TEST_F(NodePlacement, TakesMoreForEqualWhereOthersSend) {
  runner("a", "x", 1);
  runner("b", "x", 1).prompt_rate = 700;  // 400 ms, 16 % of all, later.
  report();
  const PlacementDecision among_others = decide(request("x"));
  EXPECT_TRUE(among_others.tie);
  for (const auto& candidate : among_others.ranked) chooser_.begin(request("x"), candidate, kNow);
  report(kNow + seconds(1));
  EXPECT_FALSE(decide(request("x"), kNow + seconds(1)).tie);
}

TEST_F(NodePlacement, FallsBackToBoundedHashingWhenReportsAreStale) {
  for (const char* name : {"a", "b", "c", "d"}) runner(name, "x");
  report();
  const io::TimePoint later = kNow + seconds(5);
  std::map<std::string, int> sent;
  for (int i = 0; i < 40; i++) {
    const PlacementRequest wanted = request("x", "the same conversation");
    EXPECT_TRUE(decide(wanted, later).hashed);
    sent[send(wanted, later).name]++;
  }
  ASSERT_EQ(sent.size(), 4u);
  for (const auto& [name, count] : sent) EXPECT_LE(count, 14) << name;
  EXPECT_EQ(decide(request("x"), kNow + seconds(20)).best(), nullptr) << "too old to be used";
}

TEST_F(NodePlacement, AvoidsANodeWhoseFirstTokenIsOverdue) {
  runner("a", "x");
  runner("b", "x", 1);
  report();
  const SentRequest sent = send(request("x"));
  EXPECT_EQ(sent.name, "a");
  report(kNow + seconds(30));
  EXPECT_EQ(decide(request("x", "other"), kNow + seconds(30)).best()->name, "b");
}

TEST_F(NodePlacement, ExplainsItselfAsJson) {
  runner("a", "x");
  node("b").state = cluster::NodeState::draining;
  report();
  const auto json = boost::json::parse(decide(request("x")).to_json());
  const auto& candidates = json.at("candidates").as_array();
  ASSERT_EQ(candidates.size(), 2u);
  EXPECT_EQ(candidates[0].at("node"), "a");
  double sum = 0;
  for (const auto& term : candidates[0].at("terms_ms").as_object()) {
    sum += term.value().to_number<double>();
  }
  EXPECT_NEAR(candidates[0].at("cost_ms").to_number<double>(), sum, 0.001);
  EXPECT_EQ(candidates[1].at("excluded"), "not ready");
}

TEST_F(NodePlacement, LooksAtFewNodesOfALargeClusterAndStillFindsAGoodOne) {
  for (int i = 0; i < 3000; i++) {
    const std::string name = "n" + std::to_string(i);
    if (i % 3 == 0) runner(name, "x", i % 9 == 0 ? 0 : 4, i % 9 == 0 ? 0 : 5);
    if (i % 3 == 1) node(name).memory_used = 9 * kGigabyte;
    if (i % 3 == 2) node(name);
  }
  report();
  for (int i = 0; i < 50; i++) {
    const auto decision = decide(request("x", std::to_string(i)));
    ASSERT_NE(decision.best(), nullptr);
    EXPECT_LE(decision.looked_at, 100u);
    EXPECT_LT(decision.best()->cost.queue, 1);
    const auto cold = decide(request("y", std::to_string(i)));
    ASSERT_NE(cold.best(), nullptr);
    EXPECT_TRUE(cold.best()->evictions.empty());
  }
}

TEST_F(NodePlacement, FindsTheOnesThatDrainInALargeClusterIfItMayDisturbThem) {
  for (int i = 0; i < 1000; i++) node("n" + std::to_string(i)).memory_total = 3 * kGigabyte;
  runner("last", "x");
  nodes_["last"].state = cluster::NodeState::draining;
  report();
  PlacementRequest wanted = request("x");
  EXPECT_EQ(decide(wanted).best(), nullptr);
  wanted.may_disturb = true;
  const auto decision = decide(wanted);
  ASSERT_NE(decision.best(), nullptr);
  EXPECT_EQ(decision.best()->name, "last");
}

RC_GTEST_FIXTURE_PROP(NodePlacement, RanksEveryUsableNodeOfASmallClusterByItsCost, ()) {
  const int count = *rc::gen::inRange(1, 12);
  for (int i = 0; i < count; i++) {
    const std::string name = "n" + std::to_string(i);
    node(name).state = *rc::gen::element(cluster::NodeState::ready, cluster::NodeState::ready,
                                         cluster::NodeState::draining);
    const int running = *rc::gen::inRange(-1, 6);
    if (running >= 0) runner(name, "x", running).value = *rc::gen::inRange(0, 5);
    if (*rc::gen::arbitrary<bool>()) runner(name, "y", *rc::gen::inRange(0, 3));
  }
  report();
  const auto decision = decide(request("x"));
  RC_ASSERT(decision.ranked.size() == static_cast<size_t>(count));
  for (size_t i = 0; i < decision.ranked.size(); i++) {
    const NodeCandidate& candidate = decision.ranked[i];
    RC_ASSERT((candidate.excluded == Exclusion::none) == (i < decision.usable));
    if (i >= decision.usable) continue;
    RC_ASSERT(nodes_[candidate.name].state == cluster::NodeState::ready);
    RC_ASSERT(candidate.cost.total() >= 0);
    // Nobody's first token comes much later than it could.
    if (i > 0)
      RC_ASSERT(decision.best()->cost.first_token() <= candidate.cost.first_token() * 1.61 + 51);
  }
}

}  // namespace
}  // namespace om::scheduler
