// The scheduler with real children: the stand-in for llama-server, and llama-server itself.
#include <gmock/gmock.h>

#include "base/log.h"
#include "engine/local/stand_in_for_test.h"
#include "model/gguf_builder.h"
#include "scheduler/gguf_plans.h"
#include "scheduler/local_scheduler.h"
#include "scheduler/node_resources.h"

namespace om::scheduler {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

LocalSchedulerOptions real_options() {
  LocalSchedulerOptions options;
  options.launch.program = engine::testing::real_llama_server();
  options.launch.runtime_directory = engine::testing::temporary_directory() + "/run";
  options.num_parallel = 2;
  return options;
}

Target smollm(int num_ctx) {
  Target target;
  target.name = "smollm2";
  target.weights = Digest::of("smollm2");
  target.weights_path = engine::testing::real_model();
  target.trained_context = 8192;
  target.runner.num_ctx = num_ctx;
  return target;
}

io::Task<void> serves(io::World& world, LocalScheduler& scheduler) {
  const io::Call call = world.clock.call_within(seconds(120));
  Target wanted = smollm(1024);
  auto lease = co_await scheduler.acquire(wanted, {}, call);
  CO_ASSERT(lease, lease.error().what);
  EXPECT_GT((*lease)->load_time(), milliseconds(1));
  EXPECT_EQ((*lease)->engine().properties().context_length, 1024);
  EXPECT_EQ((*lease)->engine().properties().slots, 2);
  const auto loaded = scheduler.loaded();
  CO_ASSERT(loaded.size() == 1);
  EXPECT_GT(loaded[0].size_bytes, 90u << 20);
  EXPECT_EQ(loaded[0].running, 1);
  engine::CompletionRequest request;
  request.prompt = "Once upon a time";
  request.sampling.num_predict = 4;
  auto completion = co_await (*lease)->engine().complete(std::move(request), call);
  CO_ASSERT(completion, completion.error().what);
  engine::Piece last;
  while (!last.done) {
    auto piece = co_await (*completion)->next();
    CO_ASSERT(piece, piece.error().what);
    last = std::move(*piece);
  }
  EXPECT_EQ(last.output_tokens, 4);
}

io::Task<void> refuses_large(io::World& world, LocalScheduler& scheduler) {
  Target wanted = smollm(8192);
  auto lease = co_await scheduler.acquire(wanted, {}, world.clock.call_within(seconds(120)));
  CO_ASSERT(!lease);
  EXPECT_THAT(lease.error().what, ::testing::HasSubstr("model 'smollm2' with a context of 8192"));
}

using Body = io::Task<void> (*)(io::World&, LocalScheduler&);
io::Task<void> with_scheduler(io::World& world, LocalSchedulerOptions options, Body body) {
  const NodeResources node = read_node_resources(world.files);
  if (options.memory_total == 0) options.memory_total = node.memory_for_models();
  options.launch.threads = node.cores;
  options.processors = node.processors;
  GgufPlanOptions plan_options{options.launch, options.num_parallel, options.memory_total};
  auto plans = std::make_unique<GgufPlans>(world, std::move(plan_options));
  LocalScheduler scheduler(world, std::move(options), engine::local_engines(world),
                           std::move(plans));
  co_await body(world, scheduler);
  co_await scheduler.stop();
}
void run_with(const LocalSchedulerOptions& options, Body body) {
  if (engine::testing::real_llama_server().empty() || engine::testing::real_model().empty()) {
    FAIL() << "llama-server or SmolLM2 is missing: ./run build and ./run models fetch them";
  }
  set_log_level(LogLevel::off);
  engine::testing::run([&](io::World& world) { return with_scheduler(world, options, body); });
}

TEST(LocalSchedulerWithLlamaServer, ServesARealModel) { run_with(real_options(), serves); }

TEST(LocalSchedulerWithLlamaServer, RefusesByTheModelsOwnHeader) {
  LocalSchedulerOptions options = real_options();
  options.memory_total = 200 << 20;
  run_with(options, refuses_large);
}

io::Task<void> plans_batches(io::World& world) {
  GgufPlans plans(world, {});
  Target wanted = smollm(8192);
  auto made = co_await plans.plans(wanted, 8192);
  CO_ASSERT(made, made.error().what);
  EXPECT_EQ(made->front().batch, 512);
  wanted.runner.num_batch = 2048;
  made = co_await plans.plans(wanted, 8192);
  CO_ASSERT(made, made.error().what);
  EXPECT_EQ(made->front().batch, 2048);
}

// Larger ones bring nothing, and each is silent for longer.
TEST(GgufPlans, TakesNoLargerBatchesForALargerContext) { engine::testing::run(plans_batches); }

constexpr uint32_t kPoolingMean = 1, kPoolingLast = 3;

// An embedding model of `architecture` that was trained with 32768 tokens, in a file.
io::Task<Target> embedder(io::World& world, std::string architecture, uint32_t pooling) {
  model::GgufBuilder gguf;
  gguf.text("general.architecture", architecture);
  const std::pair<const char*, uint32_t> kNumbers[] = {
      {"block_count", 1},          {"context_length", 32768},   {"embedding_length", 32},
      {"attention.head_count", 2}, {"feed_forward_length", 64}, {"pooling_type", pooling}};
  for (const auto& [name, number] : kNumbers) gguf.u32(architecture + "." + name, number);
  gguf.tensor("token_embd.weight", {32, 4}, 0).tensor("blk.0.attn_k.weight", {32, 32}, 2);
  Target target;
  target.name = architecture;
  target.weights_path = engine::testing::temporary_directory() + "/" + architecture + ".gguf";
  target.trained_context = 32768;
  target.embedding = true;
  const auto written = world.files.write_file(target.weights_path, gguf.bytes());
  EXPECT_TRUE(written);
  co_return target;
}

io::Task<int> batch_of(io::World& world, Target target, int context) {
  GgufPlans plans(world, {});
  const auto made = co_await plans.plans(target, context);
  EXPECT_TRUE(made) << (made ? "" : made.error().what);
  co_return made ? made->back().batch : 0;
}

io::Task<void> plans_embedding_batches(io::World& world) {
  Target whole = co_await embedder(world, "bert", kPoolingMean);
  EXPECT_EQ(co_await batch_of(world, whole, 8192), 8192);
  EXPECT_EQ(co_await batch_of(world, whole, 512), 512);
  whole.runner.num_batch = 1024;
  EXPECT_EQ(co_await batch_of(world, whole, 8192), 8192);
  GgufPlans plans(world, {});
  const auto small = co_await plans.plans(whole, 2048);
  const auto large = co_await plans.plans(whole, 8192);
  CO_ASSERT(small && large);
  EXPECT_GT(large->back().bytes, small->back().bytes);
}

TEST(GgufPlans, GivesATextToEmbedABatchOfTheWholeContext) {
  engine::testing::run(plans_embedding_batches);
}

io::Task<void> plans_parted_embeddings(io::World& world) {
  Target parted = co_await embedder(world, "qwen3", kPoolingLast);
  EXPECT_EQ(co_await batch_of(world, parted, 32768), 2048);
  EXPECT_EQ(co_await batch_of(world, parted, 512), 512);
  parted.runner.num_batch = 8192;
  EXPECT_EQ(co_await batch_of(world, parted, 32768), 8192);
  const Target mean = co_await embedder(world, "llama", kPoolingMean);
  EXPECT_EQ(co_await batch_of(world, mean, 8192), 8192);
}

TEST(GgufPlans, PartsATextWhoseVectorIsThatOfItsLastToken) {
  engine::testing::run(plans_parted_embeddings);
}

// The stand-in reads no model, so the header of the real one serves for the estimate.
io::Task<void> survives_death(io::World& world, LocalScheduler& scheduler) {
  AcquireOptions options;
  options.fingerprint = "poison";
  const io::Call call = world.clock.call_within(seconds(60));
  for (int i = 0; i < 2; i++) {
    Target wanted = smollm(1024);
    auto lease = co_await scheduler.acquire(wanted, options, call);
    CO_ASSERT(lease, lease.error().what);
    engine::CompletionRequest request;
    request.prompt = "this is poison";
    auto completion = co_await (*lease)->engine().complete(std::move(request), call);
    CO_ASSERT(!completion);
    EXPECT_EQ(completion.error().code, Errc::unavailable);
    (*lease)->report_failure(completion.error());
  }
  Target wanted = smollm(1024);
  auto refused = co_await scheduler.acquire(wanted, options, call);
  CO_ASSERT(!refused);
  EXPECT_EQ(refused.error().code, Errc::invalid_argument);
  auto healthy = co_await scheduler.acquire(wanted, {}, call);
  EXPECT_TRUE(healthy.has_value());
}

TEST(LocalSchedulerWithLlamaServer, RestartsADeadChildAndQuarantinesItsKiller) {
  LocalSchedulerOptions options = real_options();
  options.launch.program = "tools/fake_llama.py";
  options.launch.environment = {{"FAKE_LLAMA_CRASH_ON", "poison"}};
  options.backoff_first = milliseconds(50);
  run_with(options, survives_death);
}

}  // namespace
}  // namespace om::scheduler
