#include "engine/split/split_plan.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <numeric>

namespace om::engine {
namespace {

constexpr uint64_t kMegabyte = 1 << 20;

SplitNeeds needs(size_t blocks) {
  SplitNeeds needs;
  needs.blocks.assign(blocks, 10 * kMegabyte);
  needs.block_weights.assign(blocks, 4 * kMegabyte);
  needs.output = 20 * kMegabyte;
  needs.main = 50 * kMegabyte;
  needs.part = 30 * kMegabyte;
  needs.token_bytes = 4096;
  return needs;
}

int blocks_of(const SplitPlan& plan) {
  return std::accumulate(plan.parts.begin(), plan.parts.end(), plan.main_blocks,
                         [](int sum, const PartShare& part) { return sum + part.blocks; });
}

TEST(SplitPlan, FillsTheMainNodeFirstAndGivesTheLastPartTheOutput) {
  const auto plan =
      plan_split(needs(20), 150 * kMegabyte, {{.name = "b", .memory_free = 200 * kMegabyte}});
  ASSERT_TRUE(plan.has_value());
  EXPECT_EQ(plan->main_blocks, 10);
  EXPECT_EQ(plan->main_bytes, 150 * kMegabyte);
  ASSERT_EQ(plan->parts.size(), 1u);
  EXPECT_EQ(plan->parts[0].blocks, 11);  // The output layer is one.
  EXPECT_EQ(plan->parts[0].bytes, (30 + 100 + 20) * kMegabyte);
  EXPECT_EQ(plan->parts[0].weights, (40 + 20) * kMegabyte);
}

TEST(SplitPlan, TakesNoMorePartsThanItNeeds) {
  const auto plan = plan_split(needs(20), 150 * kMegabyte,
                               {{.name = "b", .memory_free = 200 * kMegabyte},
                                {.name = "c", .memory_free = 200 * kMegabyte},
                                {.name = "d", .memory_free = 200 * kMegabyte}});
  ASSERT_TRUE(plan.has_value());
  EXPECT_EQ(plan->parts.size(), 1u);
}

TEST(SplitPlan, PrefersTheBetterLinkAmongNodesThatSuffice) {
  std::vector<SplitNode> nodes = {
      {.name = "far", .memory_free = 300 * kMegabyte, .round_trip_ms = 20},
      {.name = "near", .memory_free = 200 * kMegabyte, .round_trip_ms = 0.2},
      {.name = "small", .memory_free = 60 * kMegabyte, .round_trip_ms = 0.1}};
  const auto plan = plan_split(needs(20), 150 * kMegabyte, std::move(nodes));
  ASSERT_TRUE(plan.has_value());
  ASSERT_EQ(plan->parts.size(), 1u);
  EXPECT_EQ(plan->parts[0].node, "near");
}

TEST(SplitPlan, CountsASlowLinkByTheWeightsItHasToCarry) {
  std::vector<SplitNode> nodes = {
      {.name = "slow", .memory_free = 300 * kMegabyte, .round_trip_ms = 1, .bytes_per_second = 1e6},
      {.name = "fast",
       .memory_free = 200 * kMegabyte,
       .round_trip_ms = 1,
       .bytes_per_second = 1e9}};
  const auto plan = plan_split(needs(20), 150 * kMegabyte, std::move(nodes));
  ASSERT_TRUE(plan.has_value());
  EXPECT_EQ(plan->parts[0].node, "fast");
}

TEST(SplitPlan, SaysWhatIsMissing) {
  const auto plan =
      plan_split(needs(2000), 150 * kMegabyte, {{.name = "b", .memory_free = 200 * kMegabyte}});
  ASSERT_FALSE(plan.has_value());
  EXPECT_EQ(plan.error().code, Errc::unavailable);
  EXPECT_NE(plan.error().what.find("19.60 GiB"), std::string::npos) << plan.error().what;
}

RC_GTEST_PROP(SplitPlan, NeverPromisesMoreThanANodeHasAndPlacesEveryBlockOnce, ()) {
  SplitNeeds wanted = needs(*rc::gen::inRange<size_t>(1, 80));
  for (uint64_t& block : wanted.blocks) block = *rc::gen::inRange<uint64_t>(1, 40) * kMegabyte;
  const uint64_t main_free = *rc::gen::inRange<uint64_t>(0, 500) * kMegabyte;
  std::vector<SplitNode> nodes;
  std::map<std::string, uint64_t> free;
  const int count = *rc::gen::inRange(0, 20);
  for (int i = 0; i < count; i++) {
    SplitNode node;
    node.name = std::to_string(i);
    node.memory_free = *rc::gen::inRange<uint64_t>(0, 500) * kMegabyte;
    node.round_trip_ms = *rc::gen::inRange(0, 50);
    free[node.name] = node.memory_free;
    nodes.push_back(std::move(node));
  }
  const auto plan = plan_split(wanted, main_free, nodes);
  if (!plan) return;
  RC_ASSERT(plan->main_bytes <= main_free);
  RC_ASSERT(!plan->parts.empty());
  RC_ASSERT(plan->parts.size() <= kPartsMax);
  RC_ASSERT(static_cast<size_t>(blocks_of(*plan)) == wanted.blocks.size() + 1);
  for (const PartShare& part : plan->parts) {
    RC_ASSERT(part.bytes <= free.at(part.node));
    RC_ASSERT(part.blocks > 0);
  }
}

model::GgufSummary summary() {
  model::GgufSummary gguf;
  gguf.architecture = "llama";
  gguf.block_count = 4;
  gguf.embedding_length = 512;
  gguf.vocabulary_size = 1000;
  gguf.feed_forward_length = 2048;
  gguf.head_count = 8;
  gguf.query_width = 512;
  gguf.input_bytes = 7 * kMegabyte;
  gguf.output_bytes = 8 * kMegabyte;
  gguf.block_bytes_max = 3 * kMegabyte;
  gguf.tensor_bytes = 27 * kMegabyte;
  gguf.cache_layers.assign(4, {.key_width = 512, .value_width = 512});
  return gguf;
}

TEST(SplitPlan, KnowsWhatBlocksAndEndsOfAModelTake) {
  model::MemoryPlan plan;
  plan.context = 1024;
  const auto needs = split_needs(summary(), plan, 5 * kMegabyte);
  ASSERT_TRUE(needs.has_value());
  ASSERT_EQ(needs->blocks.size(), 4u);
  EXPECT_EQ(needs->blocks[0], (3 + 2) * kMegabyte);  // 1024 tokens x 1024 elements x 2 bytes.
  EXPECT_EQ(needs->output, 8 * kMegabyte);
  EXPECT_GT(needs->main, (7 + 5) * kMegabyte);
}

TEST(SplitPlan, CutsNoEncoder) {
  model::GgufSummary encoder = summary();
  encoder.cache_layers.clear();
  const auto needs = split_needs(encoder, {}, 0);
  ASSERT_FALSE(needs.has_value());
  EXPECT_EQ(needs.error().code, Errc::unsupported);
}

}  // namespace
}  // namespace om::engine
