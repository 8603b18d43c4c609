// Where a model goes that no node can hold alone: as the reports of real PeerServers tell.
#include "peer/nodes_for_test.h"
#include "scheduler/split_planner.h"

namespace om::peer {
namespace {

using std::chrono::minutes;
using ::testing::HasSubstr;
using testing::kMemory;
using testing::Nodes;
using testing::PeerNode;
using testing::Script;

constexpr uint64_t kBlockBytes = 2ULL << 30;
constexpr uint64_t kBlocks = 6;
static_assert(kBlocks * kBlockBytes > kMemory);

scheduler::Target large(Nodes& nodes) {
  auto gguf = std::make_shared<model::GgufSummary>();
  gguf->architecture = "llama";
  gguf->block_count = kBlocks;
  gguf->embedding_length = 512;
  gguf->vocabulary_size = 1000;
  gguf->feed_forward_length = 2048;
  gguf->head_count = 8;
  gguf->query_width = 512;
  gguf->input_bytes = gguf->output_bytes = 8 << 20;
  gguf->block_bytes_max = kBlockBytes;
  gguf->tensor_bytes = kBlocks * kBlockBytes;
  gguf->cache_layers.assign(kBlocks, {.key_width = 512, .value_width = 512});
  scheduler::Target target = nodes.target();
  target.header = std::move(gguf);
  return target;
}

scheduler::SplitPlanner planner_of(Nodes& nodes) {
  return {nodes.world(), nodes.client(), nodes.reports(), "gate", {}, [](const scheduler::Target&) {
            return 1024;
          }};
}

// What the main node is asked for, and answers.
struct Plans {
  int asked = 0;
  std::vector<Error> failures;  // Of the first so many.
};

io::Task<Result<void>> plan(scheduler::Target& target, Plans& plans) {
  const auto index = static_cast<size_t>(plans.asked++);
  if (index < plans.failures.size()) co_return fail(plans.failures[index]);
  target.split.emplace();
  co_return Result<void>{};
}

void add(Nodes& nodes, Script& script, Plans& plans) {
  nodes.add(script).plan_split = [&plans](scheduler::Target& target, const io::Call&) {
    return plan(target, plans);
  };
}

io::Task<void> acquire(Nodes& nodes, std::string& node, std::optional<Error>& error) {
  const io::Call call = nodes.clock().call_within(minutes(1));
  const auto lease = co_await nodes.scheduler().acquire(large(nodes), {}, call);
  if (lease) {
    node = (*lease)->node();
  } else {
    error = lease.error();
  }
}

TEST(SplitRouting, TheMainNodeMakesThePlanAgainWhereOneFailed) {
  Script scripts[2];
  Plans plans{.failures = {Error{Errc::unavailable, "a part was lost"}}};
  Nodes nodes;
  for (Script& script : scripts) add(nodes, script, plans);
  scheduler::SplitPlanner planner = planner_of(nodes);
  nodes.scheduler().split_with(planner);
  std::string node;
  std::optional<Error> error;
  nodes.run(acquire(nodes, node, error));
  EXPECT_FALSE(error) << error->what;
  EXPECT_EQ(plans.asked, 2);
  ASSERT_TRUE(node == "n0" || node == "n1") << node;
  const std::vector<scheduler::Target>& given = scripts[node == "n0" ? 0 : 1].targets;
  ASSERT_EQ(given.size(), 1u);
  EXPECT_TRUE(given[0].split);
  EXPECT_TRUE(scripts[node == "n0" ? 1 : 0].targets.empty());
}

TEST(SplitRouting, SaysWhyTheMainNodeCannotHaveIt) {
  Script scripts[2];
  Plans plans{.failures = {2, Error{Errc::invalid_argument, "no such layers"}}};
  Nodes nodes;
  for (Script& script : scripts) add(nodes, script, plans);
  scheduler::SplitPlanner planner = planner_of(nodes);
  nodes.scheduler().split_with(planner);
  std::string node;
  std::optional<Error> error;
  nodes.run(acquire(nodes, node, error));
  ASSERT_TRUE(error) << node;
  EXPECT_EQ(error->code, Errc::invalid_argument);
  EXPECT_THAT(error->what, HasSubstr("no such layers"));
  EXPECT_EQ(plans.asked, 1);
}

TEST(SplitRouting, PlansForTheNodeItselfWhereThatIsTheMainNode) {
  Script script;
  Plans plans;
  Nodes nodes;
  add(nodes, script, plans);
  nodes.gate.memory_total = kMemory;
  nodes.gate.blobs = std::exchange(nodes.nodes[0]->self.blobs, nullptr);
  scheduler::SplitPlanner planner = planner_of(nodes);
  nodes.scheduler().split_with(planner);
  std::string node;
  std::optional<Error> error;
  nodes.run(acquire(nodes, node, error));
  EXPECT_FALSE(error) << error->what;
  EXPECT_EQ(node, "gate");
  EXPECT_EQ(plans.asked, 0);
  ASSERT_EQ(nodes.gate_script.targets.size(), 1u);
  const scheduler::Target& given = nodes.gate_script.targets[0];
  EXPECT_FALSE(given.wants_split);
  ASSERT_TRUE(given.split);
  ASSERT_EQ(given.split->parts.size(), 1u);
  EXPECT_EQ(given.split->parts[0].node, "n0");
  // The output layer is one more.
  EXPECT_EQ(given.split->main_blocks + given.split->parts[0].blocks, kBlocks + 1);
}

void hold(PeerNode& node, const scheduler::Target& target, std::string part_of, uint64_t bytes) {
  cluster::RunnerInfo& runner = node.self.runners.emplace_back();
  runner.model = target.name;
  runner.key = part_of.empty() ? target.key() : Digest::of(node.self.name);
  runner.part_of = std::move(part_of);
  runner.size_bytes = bytes;
  node.self.memory_used = bytes;
}

io::Task<void> drain_the_main_node(Nodes& nodes, scheduler::SplitPlanner& planner) {
  const scheduler::Target target = large(nodes);
  hold(*nodes.nodes[0], target, "", 6 * kBlockBytes / 2);
  hold(*nodes.nodes[1], target, "n0", 6 * kBlockBytes / 2);
  nodes.nodes[0]->self.state = cluster::NodeState::draining;
  co_await nodes.sleep(std::chrono::seconds(2));
  const auto moved = planner.choose(target, false);
  CO_ASSERT(!moved);
  EXPECT_EQ(moved.error().code, Errc::unavailable) << moved.error().what;
  const auto stays = planner.choose(target);
  CO_ASSERT(stays);
  EXPECT_EQ(stays->main, "n0");
  nodes.nodes[0]->self.runners.clear();
  nodes.nodes[1]->self.runners.clear();
  co_await nodes.sleep(std::chrono::seconds(2));
  const auto free = planner.choose(target, false);
  CO_ASSERT(free);
  EXPECT_NE(free->main, "n0");
}

TEST(SplitRouting, WhatAMainNodeThatDrainsHoldsIsNoRoomForAnother) {
  Script scripts[3];
  Plans plans;
  Nodes nodes;
  for (Script& script : scripts) add(nodes, script, plans);
  scheduler::SplitPlanner planner = planner_of(nodes);
  nodes.run(drain_the_main_node(nodes, planner));
}

}  // namespace
}  // namespace om::peer
