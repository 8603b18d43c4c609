#include "model/memory_estimate.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace om::model {
namespace {

constexpr double kMiB = 1 << 20;

// The headers of the two models the figures were taken with.
GgufSummary smollm2() {
  GgufSummary model;
  model.architecture = "llama";
  model.embedding_length = 576;
  model.head_count = 9;
  model.query_width = 576;
  model.feed_forward_length = 1536;
  model.vocabulary_size = 49152;
  model.tensor_bytes = 96'576'768;
  model.cache_layers.assign(30, {192, 192, false});
  return model;
}

GgufSummary gemma3() {
  GgufSummary model;
  model.architecture = "gemma3";
  model.embedding_length = 640;
  model.head_count = 4;
  model.query_width = 1024;
  model.feed_forward_length = 2048;
  model.vocabulary_size = 262144;
  model.tensor_bytes = 246'587'904;
  model.repack_bytes = 13'271'040;
  model.sliding_window = 512;
  for (int i = 0; i < 18; i++) model.cache_layers.push_back({256, 256, i % 6 != 5});
  return model;
}

GgufSummary minilm() {
  GgufSummary model;
  model.architecture = "bert";
  model.embedding_length = 384;
  model.head_count = 12;
  model.query_width = 384;
  model.feed_forward_length = 1536;
  model.vocabulary_size = 30522;
  model.tensor_bytes = 45'586'944;
  return model;
}

// What llama-server logged (-lv 4) and what /proc said after a request that filled its buffers.
struct Launch {
  const char* what;
  bool gemma;
  MemoryPlan plan;
  double cache_mib, output_mib, compute_mib;
  double rss_mib;         // VmRSS.
  double checkpoint_mib;  // Of this, checkpoints the request left.
};

const std::vector<Launch>& launches() {
  const auto plan = [](int context, int slots, bool unified, const char* type = "f16",
                       int ubatch = 512, bool flash = true, bool embeddings = false) {
    MemoryPlan result;
    result.context = context;
    result.slots = slots;
    result.unified = unified;
    result.key_type = result.value_type = type;
    result.ubatch = ubatch;
    result.flash_attention = flash;
    result.embeddings = embeddings;
    return result;
  };
  static const std::vector<Launch> all = {
      {"s1", false, plan(4096, 4, false), 90, 0.75, 14.51, 235.9, 0},
      {"s2", false, plan(8192, 4, true), 180, 0.75, 21.51, 326.2, 0},
      {"s3", false, plan(8192, 1, false, "q8_0"), 95.62, 0.19, 20.42, 242.0, 0},
      {"s4", false, plan(4096, 4, false, "f16", 512, false), 90, 0.75, 26.38, 242.7, 0},
      {"s5", false, plan(4096, 1, false, "f16", 1024), 90, 0.19, 35.02, 241.0, 0},
      {"s6", false, plan(4096, 8, true, "f16", 128), 90, 1.50, 4.38, 226.2, 0},
      {"s7", false, plan(2048, 1, false, "f16", 512, true, true), 45, 0.19, 100.27, 190.7, 0},
      {"g1", true, plan(4096, 4, false), 72, 4, 19.77, 423.2, 10.53},
      {"g2", true, plan(8192, 4, true), 61.5, 4, 28.27, 414.3, 10.53},
      {"g3", true, plan(32768, 1, false), 111, 1, 50.77, 460.3, 10.53},
      {"g4", true, plan(8192, 1, false, "q8_0"), 20.72, 1, 27.30, 364.1, 5.60},
      {"g5", true, plan(4096, 4, false, "f16", 512, false), 72, 4, 21.76, 426.5, 10.53},
      {"g6", true, plan(8192, 2, true, "f16", 1024), 54, 2, 55.54, 414.3, 7.51},
      {"g7", true, plan(4096, 1, false, "q4_0"), 7.60, 1, 23.30, 347.1, 2.97},
  };
  return all;
}

MemoryEstimate estimate_of(const Launch& launch) {
  auto estimate = estimate_memory(launch.gemma ? gemma3() : smollm2(), launch.plan);
  EXPECT_TRUE(estimate) << launch.what;
  return *estimate;
}

TEST(MemoryEstimate, CacheIsWhatTheChildAllocates) {
  for (const Launch& launch : launches()) {
    EXPECT_NEAR(static_cast<double>(estimate_of(launch).cache) / kMiB, launch.cache_mib, 0.02)
        << launch.what;
  }
}

TEST(MemoryEstimate, OutputAndComputeComeNearTheChilds) {
  for (const Launch& launch : launches()) {
    MemoryEstimate estimate = estimate_of(launch);
    // An embedding child logs the size it begins with, before it knows of a batch.
    if (!launch.plan.embeddings) {
      EXPECT_NEAR(static_cast<double>(estimate.output) / kMiB, launch.output_mib, 0.5)
          << launch.what;
    }
    double ratio = static_cast<double>(estimate.compute) / kMiB / launch.compute_mib;
    EXPECT_GT(ratio, 0.97) << launch.what;
    EXPECT_LT(ratio, 1.06) << launch.what;
  }
}

TEST(MemoryEstimate, TotalComesNearTheProcess) {
  for (const Launch& launch : launches()) {
    MemoryEstimate estimate = estimate_of(launch);
    // An embedding child answered no completion, so most of its compute buffer was not touched.
    if (launch.plan.embeddings) continue;
    double total = static_cast<double>(estimate.total()) / kMiB + launch.checkpoint_mib;
    EXPECT_GT(total / launch.rss_mib, 0.99) << launch.what << " " << total;
    EXPECT_LT(total / launch.rss_mib, 1.08) << launch.what << " " << total;
  }
}

struct EncoderLaunch {
  int context, slots;  // Tokens of one slot, which are one batch.
  bool flash;
  double compute_mib, idle_rss_mib, rss_mib;
};

TEST(MemoryEstimate, AnEncodersOutputHasRoomForEveryTokenOfABatch) {
  constexpr EncoderLaunch kLaunches[] = {{512, 4, true, 5.76, 66.9, 135.6},
                                         {512, 1, true, 5.76, 66.4, 134.5},
                                         {256, 4, true, 2.76, 66.9, 101.5},
                                         {512, 2, false, 17.51, 66.5, 146.7},
                                         {128, 1, true, 1.35, 66.5, 83.7}};
  for (const EncoderLaunch& launch : kLaunches) {
    MemoryPlan plan;
    plan.context = launch.context * launch.slots;
    plan.slots = launch.slots;
    plan.ubatch = launch.context;
    plan.flash_attention = launch.flash;
    plan.embeddings = true;
    auto estimate = estimate_memory(minilm(), plan);
    ASSERT_TRUE(estimate);
    EXPECT_EQ(estimate->cache, 0u);
    // The first long text made the process grow by little else than these two.
    double compute = static_cast<double>(estimate->compute) / kMiB;
    double output = static_cast<double>(estimate->output) / kMiB;
    EXPECT_NEAR(compute / launch.compute_mib, 1, 0.01) << launch.context;
    EXPECT_NEAR(output + compute, launch.rss_mib - launch.idle_rss_mib, 5) << launch.context;
    double total = static_cast<double>(estimate->total()) / kMiB;
    EXPECT_GT(total / launch.rss_mib, 1) << launch.context;
    EXPECT_LT(total / launch.rss_mib, 1.15) << launch.context;
  }
}

TEST(MemoryEstimate, CheckpointsHoldTheWindowOfSlidingLayers) {
  MemoryPlan plan;
  plan.checkpoints = 1;
  EXPECT_NEAR(static_cast<double>(estimate_memory(gemma3(), plan)->checkpoints) / kMiB, 7.506,
              0.01);
  EXPECT_EQ(estimate_memory(smollm2(), plan)->checkpoints, 0u);
}

TEST(MemoryEstimate, RefusesPlansThatCannotBe) {
  MemoryPlan plan;
  plan.key_type = "q3_k";
  EXPECT_EQ(estimate_memory(smollm2(), plan).error().what, "unknown cache type \"q3_k\"");
  plan = {};
  plan.slots = 0;
  EXPECT_FALSE(estimate_memory(smollm2(), plan));
}

RC_GTEST_PROP(MemoryEstimateProperty, MoreContextOrSlotsNeverNeedLess, ()) {
  MemoryPlan small;
  small.context = *rc::gen::inRange(1, 100'000);
  small.slots = *rc::gen::inRange(1, 16);
  small.ubatch = *rc::gen::inRange(1, 2048);
  small.flash_attention = *rc::gen::arbitrary<bool>();
  small.unified = true;
  MemoryPlan large = small;
  large.context += *rc::gen::inRange(0, 100'000);
  large.slots += *rc::gen::inRange(0, 16);
  GgufSummary model = *rc::gen::arbitrary<bool>() ? gemma3() : smollm2();
  RC_ASSERT(estimate_memory(model, small)->total() <= estimate_memory(model, large)->total());
}

RC_GTEST_PROP(MemoryEstimateProperty, ALyingHeaderNeverWrapsAround, ()) {
  GgufSummary model = smollm2();
  const auto huge = [] { return *rc::gen::element<int64_t>(0, 1, 1 << 24, int64_t{1} << 40); };
  model.embedding_length = huge();
  model.feed_forward_length = huge();
  model.vocabulary_size = huge();
  model.sliding_window = huge();
  model.head_count = huge();
  model.expert_used_count = huge();
  auto estimate = estimate_memory(model, {});
  RC_ASSERT(estimate.has_value());
  RC_ASSERT(estimate->total() >= model.tensor_bytes);
}

}  // namespace
}  // namespace om::model
