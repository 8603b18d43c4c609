#include "transfer/replicas/core.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace om::transfer {
namespace {

using cluster::NodeInfo;
using cluster::NodeState;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;
using Kind = ReplicaAction::Kind;

constexpr uint64_t kGiga = uint64_t{1} << 30;
const Digest kWeights = Digest::of("weights");

NodeInfo node_named(std::string name, bool has_copy, NodeState state = NodeState::ready) {
  NodeInfo node;
  node.name = std::move(name);
  node.state = state;
  node.disk_free = 100 * kGiga;
  auto blobs = std::make_shared<std::vector<Digest>>();
  if (has_copy) blobs->push_back(kWeights);
  node.blobs = std::move(blobs);
  return node;
}

ReplicaInput input_of(std::vector<NodeInfo> nodes, Policy policy = {}) {
  ReplicaInput input;
  input.now = io::TimePoint(std::chrono::hours(1));
  for (NodeInfo& node : nodes) {
    if (node.reported == io::TimePoint{}) node.reported = input.now;
  }
  input.view = cluster::View::of(std::move(nodes)).value();
  input.models = {{"m", kWeights, {{kWeights, 4 * kGiga}}, std::move(policy), 0}};
  return input;
}

std::vector<std::string> nodes_of(const ReplicaPlan& plan, Kind kind) {
  std::vector<std::string> nodes;
  for (const auto& action : plan.actions) {
    if (action.kind == kind) nodes.push_back(action.node);
  }
  return nodes;
}

TEST(PlaceScore, IsTheSameInEveryVersion) { EXPECT_EQ(place_score("a", "m"), 0x5b7ba9e93e7e406d); }

TEST(ReplicaPlan, MakesTheSecondCopyWhereTheHashSays) {
  const auto plan = plan_replicas(input_of({node_named("a", true), node_named("b", false),
                                            node_named("c", false), node_named("d", false)}));
  std::string best = "b";
  for (const std::string other : {"c", "d"}) {
    if (place_score(other, "m") > place_score(best, "m")) best = other;
  }
  EXPECT_THAT(nodes_of(plan, Kind::fetch), ElementsAre(best));
  EXPECT_EQ(plan.actions[0].bytes, 4 * kGiga);
  EXPECT_TRUE(plan.health[0].is_under());
  EXPECT_FALSE(plan.health[0].is_in_danger());
}

TEST(ReplicaPlan, DoesNotMissAModelThatIsTooNewToHaveBeenReported) {
  auto input = input_of({node_named("a", false), node_named("b", false)});
  input.models[0].is_new = true;
  const auto plan = plan_replicas(input);
  EXPECT_THAT(plan.actions, IsEmpty());
  EXPECT_FALSE(plan.health[0].is_lost() || plan.health[0].is_in_danger());
  input.models[0].is_new = false;
  EXPECT_THAT(nodes_of(plan_replicas(input), Kind::fetch), UnorderedElementsAre("a", "b"));
}

TEST(ReplicaPlan, CopiesANewModelAsSoonAsItsFirstCopyIsKnown) {
  auto input = input_of({node_named("a", true), node_named("b", false)});
  input.models[0].is_new = true;
  EXPECT_THAT(nodes_of(plan_replicas(input), Kind::fetch), ElementsAre("b"));
}

TEST(ReplicaPlan, IsContentWithWhatThereIs) {
  const auto plan = plan_replicas(
      input_of({node_named("a", false), node_named("b", true), node_named("c", true)}));
  EXPECT_THAT(plan.actions, IsEmpty());
}

TEST(ReplicaPlan, WaitsForANodeThatIsAwayAndThenRestoresItsCopy) {
  auto gone = node_named("b", true, NodeState::unreachable);
  auto input = input_of({node_named("a", true), gone, node_named("c", false)});
  EXPECT_THAT(plan_replicas(input).actions, IsEmpty());
  input.now += input.grace + seconds(1);
  EXPECT_THAT(nodes_of(plan_replicas(input), Kind::fetch), ElementsAre("c"));
}

TEST(ReplicaPlan, RemovesTheSurplusOfANodeThatReturned) {
  const auto plan = plan_replicas(
      input_of({node_named("a", true), node_named("b", true), node_named("c", true)}));
  const auto removed = nodes_of(plan, Kind::remove);
  ASSERT_EQ(removed.size(), 1U);
  for (const std::string name : {"a", "b", "c"}) {
    EXPECT_GE(place_score(name, "m"), place_score(removed[0], "m"));
  }
}

TEST(ReplicaPlan, RemovesNothingWhileAWantedCopyDoesNotAnswer) {
  auto away = node_named("c", true, NodeState::unreachable);
  Policy policy;
  policy.factor = 2;
  policy.pinned = {"c"};
  const auto plan =
      plan_replicas(input_of({node_named("a", true), node_named("b", true), away}, policy));
  EXPECT_THAT(nodes_of(plan, Kind::remove), IsEmpty());
}

TEST(ReplicaPlan, KeepsACopyThatIsInMemory) {
  std::vector<NodeInfo> nodes = {node_named("a", true), node_named("b", true),
                                 node_named("c", true)};
  for (NodeInfo& node : nodes) {
    auto others = nodes;
    NodeInfo& used = *std::ranges::find(others, node.name, &NodeInfo::name);
    used.runners.push_back({.model = "m", .key = kWeights});
    const auto removed = nodes_of(plan_replicas(input_of(others)), Kind::remove);
    EXPECT_EQ(removed.size(), 1U);
    EXPECT_NE(removed[0], node.name);
  }
}

TEST(ReplicaPlan, PutsPinnedCopiesWhereTheyArePinned) {
  Policy policy;
  policy.factor = 1;
  policy.pinned = {"c", "d", "unknown"};
  const auto plan = plan_replicas(input_of({node_named("a", true), node_named("b", false),
                                            node_named("c", false), node_named("d", false)},
                                           policy));
  EXPECT_THAT(nodes_of(plan, Kind::fetch), UnorderedElementsAre("c", "d"));
  EXPECT_THAT(nodes_of(plan, Kind::remove), IsEmpty());  // Not before they are there.
}

TEST(ReplicaPlan, GrowsWithPopularityUpToThePolicysBound) {
  auto input = input_of({node_named("a", true), node_named("b", true), node_named("c", false),
                         node_named("d", false), node_named("e", false)});
  input.models[0].popularity = 1;
  EXPECT_EQ(plan_replicas(input).actions.size(), 1U);
  input.models[0].popularity = 100;
  EXPECT_EQ(plan_replicas(input).actions.size(), 2U);
}

TEST(ReplicaPlan, PassesOverFullDisks) {
  auto full = node_named("b", false), other = node_named("c", false);
  (place_score("b", "m") > place_score("c", "m") ? full : other).disk_free = kGiga;
  const auto plan = plan_replicas(input_of({node_named("a", true), full, other}));
  ASSERT_EQ(plan.actions.size(), 1U);
  EXPECT_GT((plan.actions[0].node == "b" ? full : other).disk_free, kGiga);
}

TEST(ReplicaPlan, MovesCopiesAwayFromADrainingNode) {
  const auto plan = plan_replicas(input_of(
      {node_named("a", true), node_named("b", true, NodeState::draining), node_named("c", false)}));
  EXPECT_THAT(nodes_of(plan, Kind::fetch), ElementsAre("c"));
}

TEST(ReplicaPlan, WaitsForANodeThatDrainsMaybeForARestart) {
  auto input = input_of({node_named("a", true), node_named("b", true, NodeState::draining),
                         node_named("c", false), node_named("d", true)});
  input.models[0].policy.factor = 3;
  input.draining_since["b"] = input.now;
  EXPECT_THAT(plan_replicas(input).actions, IsEmpty());
  input.now += input.grace + seconds(1);
  EXPECT_THAT(nodes_of(plan_replicas(input), Kind::fetch), ElementsAre("c"));
}

TEST(ReplicaPlan, TellsOutOfReachFromLost) {
  auto gone = node_named("b", true, NodeState::unreachable);
  auto input = input_of({node_named("a", false), gone});
  input.now += std::chrono::hours(1);
  auto health = plan_replicas(input).health[0];
  EXPECT_TRUE(health.is_out_of_reach());
  EXPECT_TRUE(health.is_in_danger());
  health = plan_replicas(input_of({node_named("a", false)})).health[0];
  EXPECT_TRUE(health.is_lost());
}

// Whatever the cluster looks like: a plan never takes the last copies, never asks a node that does
// not answer, and carrying it out leads to a plan with nothing left to do.
RC_GTEST_PROP(ReplicaPlan, SettlesAndNeverTakesTheLastCopies, ()) {
  const auto count = *rc::gen::inRange(1, 12);
  std::vector<NodeInfo> nodes;
  for (int i = 0; i < count; i++) {
    nodes.push_back(
        node_named(fmt::format("n{}", i), *rc::gen::arbitrary<bool>(),
                   *rc::gen::element(NodeState::ready, NodeState::ready, NodeState::draining,
                                     NodeState::unreachable, NodeState::joining)));
  }
  Policy policy;
  policy.factor = *rc::gen::inRange(1, 6);
  policy.minimum = *rc::gen::inRange(1, 4);
  if (*rc::gen::arbitrary<bool>()) policy.pinned = {"n0"};
  auto input = input_of(nodes, policy);
  if (*rc::gen::arbitrary<bool>()) input.now += std::chrono::hours(1);
  for (int round = 0; round < 2; round++) {
    const auto plan = plan_replicas(input);
    for (const auto& action : plan.actions) {
      NodeInfo& node = *std::ranges::find(nodes, action.node, &NodeInfo::name);
      RC_ASSERT(node.state == NodeState::ready);
      RC_ASSERT(node.has_blob(kWeights) == (action.kind == Kind::remove));
      node = node_named(node.name, action.kind == Kind::fetch, node.state);
    }
    const auto left = std::ranges::count_if(nodes, [](const NodeInfo& node) {
      return node.state == NodeState::ready && node.has_blob(kWeights);
    });
    if (!plan.actions.empty()) RC_ASSERT(left >= 1);
    const auto now = input.now;
    auto next = nodes;
    for (NodeInfo& node : next) node.reported = io::TimePoint(std::chrono::hours(1));
    input.view = cluster::View::of(std::move(next)).value();
    input.now = now;
  }
  RC_ASSERT(plan_replicas(input).actions.empty());
}

TEST(Policy, IsKeptAsJsonAndRefusesNonsense) {
  Policy policy;
  policy.factor = 3;
  policy.pinned = {"a", "b"};
  EXPECT_EQ(Policy::read(policy.to_json()).value(), policy);
  EXPECT_EQ(KeptPolicy::parse("{}").value().policy, Policy{});
  for (const std::string_view text :
       {"", "[]", R"({"factor":0})", R"({"factor":1.5})", R"({"minimum":-1})", R"({"pinned":"a"})",
        R"({"pinned":[1]})", R"({"copies":2})", R"({"factor":100000})"}) {
    EXPECT_FALSE(KeptPolicy::parse(text)) << text;
  }
}

}  // namespace
}  // namespace om::transfer
