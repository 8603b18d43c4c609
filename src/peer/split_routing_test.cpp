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

class SplitRouting : public ::testing::Test {
 protected:
  void add_nodes(size_t count) {
    for (size_t i = 0; i < count; i++) {
      nodes_.add(scripts_[i]).plan_split = [this](scheduler::Target& target, const io::Call&) {
        return plan(target, plans_);
      };
    }
  }
  // Asks the gate for the model.
  void acquire() {
    nodes_.scheduler().split_with(planner_);
    nodes_.run(ask());
  }
  io::Task<void> drain_the_main_node();

  Script scripts_[3];
  Plans plans_;
  Nodes nodes_;
  scheduler::SplitPlanner planner_{
      nodes_.world(), nodes_.client(), nodes_.reports(), "gate", {}, [](const scheduler::Target&) {
        return 1024;
      }};
  std::string node_;  // That gave a lease.
  std::optional<Error> error_;

 private:
  io::Task<void> ask() {
    const io::Call call = nodes_.clock().call_within(minutes(1));
    const auto lease = co_await nodes_.scheduler().acquire(large(nodes_), {}, call);
    if (lease) {
      node_ = (*lease)->node();
    } else {
      error_ = lease.error();
    }
  }
};

TEST_F(SplitRouting, TheMainNodeMakesThePlanAgainWhereOneFailed) {
  plans_.failures = {Error{Errc::unavailable, "a part was lost"}};
  add_nodes(2);
  acquire();
  EXPECT_FALSE(error_) << error_->what;
  EXPECT_EQ(plans_.asked, 2);
  ASSERT_TRUE(node_ == "n0" || node_ == "n1") << node_;
  const std::vector<scheduler::Target>& given = scripts_[node_ == "n0" ? 0 : 1].targets;
  ASSERT_EQ(given.size(), 1u);
  EXPECT_TRUE(given[0].split);
  EXPECT_TRUE(scripts_[node_ == "n0" ? 1 : 0].targets.empty());
}

TEST_F(SplitRouting, SaysWhyTheMainNodeCannotHaveIt) {
  plans_.failures = {2, Error{Errc::invalid_argument, "no such layers"}};
  add_nodes(2);
  acquire();
  ASSERT_TRUE(error_) << node_;
  EXPECT_EQ(error_->code, Errc::invalid_argument);
  EXPECT_THAT(error_->what, HasSubstr("no such layers"));
  EXPECT_EQ(plans_.asked, 1);
}

TEST_F(SplitRouting, PlansForTheNodeItselfWhereThatIsTheMainNode) {
  add_nodes(1);
  nodes_.gate.memory_total = kMemory;
  nodes_.gate.blobs = std::exchange(nodes_.nodes[0]->self.blobs, nullptr);
  acquire();
  EXPECT_FALSE(error_) << error_->what;
  EXPECT_EQ(node_, "gate");
  EXPECT_EQ(plans_.asked, 0);
  ASSERT_EQ(nodes_.gate_script.targets.size(), 1u);
  const scheduler::Target& given = nodes_.gate_script.targets[0];
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

io::Task<void> SplitRouting::drain_the_main_node() {
  const scheduler::Target target = large(nodes_);
  hold(*nodes_.nodes[0], target, "", 6 * kBlockBytes / 2);
  hold(*nodes_.nodes[1], target, "n0", 6 * kBlockBytes / 2);
  nodes_.nodes[0]->self.state = cluster::NodeState::draining;
  co_await nodes_.sleep(std::chrono::seconds(2));
  const auto moved = planner_.choose(target, false);
  CO_ASSERT(!moved);
  EXPECT_EQ(moved.error().code, Errc::unavailable) << moved.error().what;
  const auto stays = planner_.choose(target);
  CO_ASSERT(stays);
  EXPECT_EQ(stays->main, "n0");
  nodes_.nodes[0]->self.runners.clear();
  nodes_.nodes[1]->self.runners.clear();
  co_await nodes_.sleep(std::chrono::seconds(2));
  const auto free = planner_.choose(target, false);
  CO_ASSERT(free);
  EXPECT_NE(free->main, "n0");
}

TEST_F(SplitRouting, WhatAMainNodeThatDrainsHoldsIsNoRoomForAnother) {
  add_nodes(3);
  nodes_.run(drain_the_main_node());
}

}  // namespace
}  // namespace om::peer
