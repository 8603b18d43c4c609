#include "scheduler/backend_cost.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

namespace om::scheduler {
namespace {

using ::testing::ElementsAre;

PlacementDecision empty() {
  PlacementDecision decision;
  decision.prompt_tokens = 100;
  decision.output_tokens = 100;
  return decision;
}

NodeCandidate node(std::string name, double ms, bool measured) {
  NodeCandidate candidate;
  candidate.name = std::move(name);
  candidate.loaded = true;
  candidate.measured = measured;
  candidate.cost.prefill = ms;
  return candidate;
}

PlacementDecision decided(std::vector<NodeCandidate> nodes, size_t usable) {
  PlacementDecision decision = empty();
  decision.nodes = decision.looked_at = nodes.size();
  decision.ranked = std::move(nodes);
  decision.usable = usable;
  return decision;
}

// Tokens a second at 30 % of their weight: 3 s for 100 tokens at 10/s.
BackendOffer measured(std::string name, double prefill_ms, double output_rate) {
  return {.name = std::move(name), .prefill_ms = prefill_ms, .output_rate = output_rate};
}

std::vector<std::string> names(const PlacementDecision& decision, bool usable = true) {
  std::vector<std::string> list;
  for (size_t i = 0; i < decision.ranked.size(); i++) {
    if ((i < decision.usable) == usable) list.push_back(decision.ranked[i].name);
  }
  return list;
}

std::vector<std::string> among(std::vector<BackendOffer> offers, bool own = false) {
  PlacementDecision decision = empty();
  add_backends(decision, offers, own, Priority::interactive);
  return names(decision);
}

TEST(BackendCost, WhereNothingIsMeasuredTheOneWithLeastToDoIsFirst) {
  BackendOffer a{.name = "a", .running = 2}, b{.name = "b", .running = 1}, c{.name = "c"};
  EXPECT_THAT(among({a, b}), ElementsAre("backend/b", "backend/a"));
  EXPECT_EQ(among({a, b, c})[0], "backend/c");
  a.running = 1;
  EXPECT_THAT(among({b, a}), ElementsAre("backend/a", "backend/b")) << "then by name";
}

TEST(BackendCost, TheFasterOneIsFirstUntilItHasTooMuchToDo) {
  BackendOffer slow = measured("a", 400, 10), fast = measured("b", 40, 100);
  EXPECT_EQ(among({slow, fast})[0], "backend/b");
  fast.running = 3;
  EXPECT_EQ(among({slow, fast})[0], "backend/b");
  fast.running = fast.waiting = 100;
  EXPECT_EQ(among({slow, fast})[0], "backend/a");
}

TEST(BackendCost, EqualsAreToldApartByWhatTheyHaveToDo) {
  BackendOffer a = measured("a", 100, 50), b = measured("b", 105, 50);
  EXPECT_EQ(among({a, b})[0], "backend/a");
  a.running = 1;
  EXPECT_EQ(among({a, b})[0], "backend/b");
}

TEST(BackendCost, WhatHasMeasuredNothingIsExpectedToBeAsTheOthers) {
  const BackendOffer slow = measured("slow", 1000, 5), fast = measured("fast", 10, 100);
  const BackendOffer fresh{.name = "fresh"};
  EXPECT_THAT(among({slow, fresh, fast}),
              ElementsAre("backend/fast", "backend/fresh", "backend/slow"));
}

TEST(BackendCost, TellsWhyABackendIsRefused) {
  PlacementDecision decision = empty();
  const std::vector<BackendOffer> offers{
      {.name = "a", .excluded = Exclusion::not_ready, .reason = "connection refused"},
      {.name = "b", .excluded = Exclusion::broken},
      {.name = "c"},
      {.name = "d", .excluded = Exclusion::asked_out}};
  EXPECT_FALSE(add_backends(decision, offers, false, Priority::interactive));
  EXPECT_THAT(names(decision), ElementsAre("backend/c"));
  const auto told = boost::json::parse(decision.to_json()).as_object();
  std::map<std::string, std::string> refused;
  for (const auto& item : told.at("candidates").as_array()) {
    const auto* why = item.as_object().if_contains("excluded");
    if (why) refused[item.as_object().at("node").as_string().c_str()] = why->as_string().c_str();
  }
  EXPECT_EQ(refused["backend/a"], "not ready: connection refused");
  EXPECT_EQ(refused["backend/b"], "failed lately");
  EXPECT_EQ(refused["backend/d"], "refused or failed this request");
  const auto& best = told.at("candidates").as_array().at(0).as_object();
  EXPECT_EQ(best.at("running").as_int64(), 0);
  EXPECT_FALSE(best.at("measured").as_bool());
}

TEST(BackendCost, OneThatFailsOurChecksIsAskedWhenNothingElseIsLeft) {
  const std::vector<BackendOffer> offers{
      {.name = "a", .excluded = Exclusion::not_ready, .reason = "connection refused"},
      {.name = "b", .excluded = Exclusion::broken}};
  EXPECT_THAT(among(offers), ElementsAre("backend/a"));
  EXPECT_THAT(among(offers, true), ElementsAre()) << "our nodes are left";
}

TEST(BackendCost, OurNodesAreFirstUntilBothAreMeasured) {
  for (const bool node_measured : {false, true}) {
    for (const bool backend_measured : {false, true}) {
      PlacementDecision decision = decided({node("n1", 60'000, node_measured)}, 1);
      const BackendOffer offer = backend_measured ? measured("a", 10, 100) : BackendOffer{"a"};
      const bool nodes_first = !node_measured || !backend_measured;
      EXPECT_EQ(add_backends(decision, std::span(&offer, 1), true, Priority::interactive),
                nodes_first);
      EXPECT_EQ(decision.best()->foreign, !nodes_first);
      EXPECT_EQ(decision.usable, 2u);
    }
  }
}

TEST(BackendCost, ABackendIsFirstWhereItCostsLessThanTheBestNode) {
  const std::vector<BackendOffer> offers{measured("a", 500, 100), measured("b", 5000, 100)};
  PlacementDecision decision = decided({node("n1", 2000, true), node("n2", 9000, true)}, 2);
  EXPECT_FALSE(add_backends(decision, offers, true, Priority::interactive));
  EXPECT_THAT(names(decision), ElementsAre("backend/a", "n1", "backend/b", "n2"));
  decision = decided({node("n1", 850, true), node("n2", 9000, true)}, 2);
  EXPECT_TRUE(add_backends(decision, offers, true, Priority::interactive)) << "as good as equal";
  EXPECT_THAT(names(decision), ElementsAre("n1", "n2", "backend/a", "backend/b"));
}

TEST(BackendCost, NodesThatCannotRunItAreNotAskedFirst) {
  NodeCandidate full = node("n1", 0, false);
  full.excluded = Exclusion::no_memory;
  const BackendOffer offer{"a"};
  PlacementDecision decision = decided({full}, 0);
  EXPECT_FALSE(add_backends(decision, std::span(&offer, 1), true, Priority::interactive));
  EXPECT_THAT(names(decision), ElementsAre("backend/a"));
  EXPECT_THAT(names(decision, false), ElementsAre("n1"));
  decision = decided({full}, 0);
  decision.split = R"({"node":"n1"})";
  EXPECT_TRUE(add_backends(decision, std::span(&offer, 1), true, Priority::interactive));
  EXPECT_TRUE(add_backends(decision = empty(), std::span(&offer, 1), true, Priority::interactive))
      << "they say themselves why they refuse a request";
}

TEST(BackendCost, ANodeThatDrainsComesAfterAnyBackend) {
  NodeCandidate draining = node("n1", 1, true);
  draining.draining = true;
  const BackendOffer offer{"a"};
  PlacementDecision decision = decided({draining}, 1);
  EXPECT_FALSE(add_backends(decision, std::span(&offer, 1), true, Priority::interactive));
  EXPECT_THAT(names(decision), ElementsAre("backend/a", "n1"));
  EXPECT_TRUE(add_backends(decision = decided({draining}, 1), {}, true, Priority::interactive));
}

TEST(BackendCost, NodesThatWereAskedAreToldAsSuch) {
  PlacementDecision decision = decided({node("n1", 1, true)}, 1);
  const BackendOffer offer{"a"};
  EXPECT_FALSE(add_backends(decision, std::span(&offer, 1), false, Priority::interactive));
  EXPECT_THAT(names(decision), ElementsAre("backend/a"));
  EXPECT_EQ(decision.ranked[1].excluded, Exclusion::asked_out);
}

}  // namespace
}  // namespace om::scheduler
