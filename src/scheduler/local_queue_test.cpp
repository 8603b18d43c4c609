// Who is served next at a busy node, who is refused, and what the node tells of itself meanwhile.
#include <gmock/gmock.h>

#include "scheduler/local_node_for_test.h"
#include "scheduler/local_scheduler.h"
#include "scheduler/metrics.h"

namespace om::scheduler {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Client;
using ::testing::HasSubstr;
using testing::Node;
using testing::target;

AcquireOptions of_key(std::string key, double weight = 1) {
  AcquireOptions options;
  options.client = std::move(key);
  options.weight = weight;
  return options;
}

LocalSchedulerOptions queue_of(size_t places) {
  LocalSchedulerOptions options;
  options.queue_max = places;
  return options;
}

LocalSchedulerOptions memory_of(uint64_t bytes) {
  LocalSchedulerOptions options;
  options.memory_total = bytes;
  return options;
}

// Lets whoever holds a slot end, again and again; the order in which clients were served.
io::Task<std::vector<size_t>> serve_all(Node& node, std::unique_ptr<Lease>& first) {
  std::vector<size_t> order;
  first.reset();
  for (size_t served = 0; served < node.clients.size(); served++) {
    co_await node.pass(milliseconds(10));
    for (size_t i = 0; i < node.clients.size(); i++) {
      if (!node.clients[i].lease) continue;
      order.push_back(i);
      node.clients[i].lease.reset();
    }
  }
  co_return order;
}

io::Task<void> takes_turns(Node& node) {
  auto busy = co_await node.acquire(target("a"));
  CO_ASSERT(busy);
  for (int i = 0; i < 4; i++) node.start(target("a"), of_key("greedy"));
  node.start(target("a"), of_key("modest"));
  co_await node.pass(milliseconds(10));
  const auto order = co_await serve_all(node, *busy);
  EXPECT_EQ(order, (std::vector<size_t>{0, 4, 1, 2, 3}));
}
TEST(LocalQueue, TakesTurnsBetweenKeys) { Node().run(takes_turns); }

io::Task<void> heeds_weights(Node& node) {
  auto busy = co_await node.acquire(target("a"));
  CO_ASSERT(busy);
  for (int i = 0; i < 4; i++) node.start(target("a"), of_key("light"));
  for (int i = 0; i < 4; i++) node.start(target("a"), of_key("heavy", 3));
  co_await node.pass(milliseconds(10));
  const auto order = co_await serve_all(node, *busy);
  CO_ASSERT(order.size() == 8);
  size_t heavy = 0;
  for (size_t i = 0; i < 5; i++) heavy += order[i] >= 4 ? 1 : 0;
  EXPECT_GE(heavy, 3u);
}
TEST(LocalQueue, ServesHeavyKeysMoreOften) { Node().run(heeds_weights); }

// In which order a batch request, and an interactive one that comes so much later, are served.
io::Task<void> serves_after(Node& node, io::Duration later, std::vector<size_t> expected) {
  auto busy = co_await node.acquire(target("a"));
  CO_ASSERT(busy);
  AcquireOptions batch;
  batch.priority = Priority::batch;
  node.start(target("a"), batch);
  co_await node.pass(later);
  node.start(target("a"));
  co_await node.pass(seconds(1));
  const auto order = co_await serve_all(node, *busy);
  EXPECT_EQ(order, expected);
}

io::Task<void> lets_batch_wait(Node& node) { return serves_after(node, seconds(20), {1, 0}); }
TEST(LocalQueue, LetsInteractiveRequestsPassBatchOnes) { Node().run(lets_batch_wait); }

io::Task<void> lets_batch_age(Node& node) { return serves_after(node, seconds(46), {0, 1}); }
TEST(LocalQueue, DoesNotLetThemPassForEver) { Node().run(lets_batch_age); }

io::Task<void> makes_place(Node& node) {
  const uint64_t full = queue_refused.with({"full"}).value();
  const uint64_t displaced = queue_refused.with({"displaced"}).value();
  auto busy = co_await node.acquire(target("a"));
  auto other = co_await node.acquire(target("b"));
  CO_ASSERT(busy && other);
  Client& first = node.start(target("a"), of_key("greedy"));
  Client& second = node.start(target("b"), of_key("greedy"));
  co_await node.pass(milliseconds(10));
  Client& third = node.start(target("a"), of_key("greedy"));
  co_await node.pass(milliseconds(10));
  CO_ASSERT(third.error);
  EXPECT_EQ(third.error->what, "server busy, please try again.  maximum pending requests exceeded");
  Client& modest = node.start(target("a"), of_key("modest"));
  co_await node.pass(milliseconds(10));
  CO_ASSERT(second.error);  // It had the second place of its key, though for another model.
  EXPECT_EQ(second.error->code, Errc::overloaded);
  EXPECT_EQ(queue_refused.with({"full"}).value(), full + 1);
  EXPECT_EQ(queue_refused.with({"displaced"}).value(), displaced + 1);
  EXPECT_FALSE(modest.done);
  EXPECT_FALSE(first.done);
  EXPECT_EQ(node.scheduler.waiting(), 2u);
  busy->reset();
  co_await node.pass(milliseconds(10));
  EXPECT_TRUE(first.lease);
}
TEST(LocalQueue, TakesAPlaceFromTheGreedyWhenItIsFull) { Node(queue_of(2)).run(makes_place); }

io::Task<void> loses_patience(Node& node) {
  const uint64_t before = queue_refused.with({"patience"}).value();
  auto busy = co_await node.acquire(target("a"));
  CO_ASSERT(busy);
  AcquireOptions hurried;
  hurried.patience = seconds(3);
  Client& client = node.start(target("a"), hurried);
  co_await node.pass(milliseconds(2900));
  EXPECT_FALSE(client.done);
  co_await node.pass(milliseconds(200));
  CO_ASSERT(client.error);
  EXPECT_EQ(client.error->code, Errc::overloaded);
  EXPECT_THAT(client.error->what, HasSubstr("server busy"));
  EXPECT_EQ(queue_refused.with({"patience"}).value(), before + 1);
  EXPECT_EQ(node.scheduler.waiting(), 0u);
}
TEST(LocalQueue, RefusesWhoseTurnDoesNotComeInTime) { Node().run(loses_patience); }

io::Task<void> leaves(Node& node) {
  auto busy = co_await node.acquire(target("a"));
  CO_ASSERT(busy);
  io::CancelSource cancel;
  Client& gone = node.start(target("a"), {}, io::Call{io::kNever, cancel.token()});
  Client& next = node.start(target("a"));
  co_await node.pass(milliseconds(10));
  EXPECT_EQ(node.scheduler.waiting(), 2u);
  cancel.cancel();
  co_await node.pass(milliseconds(1));
  EXPECT_EQ(node.scheduler.waiting(), 1u);
  CO_ASSERT(gone.error);
  busy->reset();
  co_await node.pass(milliseconds(1));
  EXPECT_TRUE(next.lease);
}
TEST(LocalQueue, LosesWhoGivesUpAtOnce) { Node().run(leaves); }

// --- what it tells of itself ---

io::Task<void> counts_pending(Node& node) {
  AcquireOptions options;
  options.prompt_tokens = 1000;
  auto busy = co_await node.acquire(target("a"), options);
  CO_ASSERT(busy);
  node.start(target("a"), options);
  co_await node.pass(milliseconds(10));
  const auto pending = [&] {
    return node.scheduler.node_info("n").runners.at(0).pending_prompt_tokens;
  };
  EXPECT_EQ(pending(), 2000);
  (*busy)->note_prompt_progress({.evaluated = 700, .left = 300});
  EXPECT_EQ(pending(), 1300);
  (*busy)->note_first_token();
  EXPECT_EQ(pending(), 1000);
  busy->reset();
  co_await node.pass(milliseconds(10));
  EXPECT_EQ(pending(), 1000) << "now the second one is evaluated";
}
TEST(LocalQueue, TellsHowManyPromptTokensAreLeft) { Node().run(counts_pending); }

io::Task<void> measures(Node& node) {
  auto lease = co_await node.acquire(target("a"));
  CO_ASSERT(lease);
  EXPECT_EQ(node.scheduler.node_info("n").runners.at(0).prompt_rate, 0);
  (*lease)->note_end({.prompt_tokens = 1100,
                      .cached_tokens = 100,
                      .output_tokens = 50,
                      .prompt_time = seconds(2),
                      .output_time = seconds(5)});
  // A few tokens tell nothing of the rate.
  (*lease)->note_end({.prompt_tokens = 101, .cached_tokens = 100, .prompt_time = seconds(1)});
  const cluster::RunnerInfo runner = node.scheduler.node_info("n").runners.at(0);
  EXPECT_NEAR(runner.prompt_rate, 500, 15);
  EXPECT_NEAR(runner.output_rate, 10, 0.3);
}
TEST(LocalQueue, MeasuresHowFastItIs) { Node().run(measures); }

io::Task<void> tells_of_old_rates(Node& node) {
  auto lease = co_await node.acquire(target("a"));
  CO_ASSERT(lease);
  const auto are_old = [&] { return node.scheduler.node_info("n").runners.at(0).rates_are_old; };
  co_await node.pass(std::chrono::minutes(11));
  EXPECT_FALSE(are_old()) << "there are none";
  const RunTimes times{.output_tokens = 50, .output_time = seconds(5)};
  (*lease)->note_end(times);
  EXPECT_FALSE(are_old());
  co_await node.pass(std::chrono::minutes(11));
  EXPECT_TRUE(are_old());
  (*lease)->note_end(times);
  EXPECT_FALSE(are_old());
}
TEST(LocalQueue, TellsThatItHasMeasuredNothingForLong) { Node().run(tells_of_old_rates); }

io::Task<void> measures_by_prompts(Node& node) {
  auto lease = co_await node.acquire(target("a"));
  CO_ASSERT(lease);
  (*lease)->note_end({.output_tokens = 50, .output_time = seconds(5)});
  co_await node.pass(std::chrono::minutes(11));
  (*lease)->note_end({.prompt_tokens = 500,
                      .output_tokens = 3,
                      .prompt_time = seconds(1),
                      .output_time = milliseconds(300)});
  EXPECT_FALSE(node.scheduler.node_info("n").runners.at(0).rates_are_old);
}
TEST(LocalQueue, MeasuresByPromptsWhereAnswersAreShort) { Node().run(measures_by_prompts); }

io::Task<void> remembers_rates(Node& node) {
  const auto load_anew = [&](uint64_t graphics_bytes) {
    node.scheduler.unload(target("a").key());
    node.script.graphics_bytes = graphics_bytes;
  };
  const auto rate = [&] { return node.scheduler.node_info("n").runners.at(0).prompt_rate; };
  auto lease = co_await node.acquire(target("a"));
  CO_ASSERT(lease);
  (*lease)->note_end({.prompt_tokens = 1000, .prompt_time = seconds(10)});
  lease->reset();
  for (const uint64_t graphics_bytes : {0, 50, 0}) {
    load_anew(graphics_bytes);
    co_await node.pass(seconds(1));
    lease = co_await node.acquire(target("a"));
    CO_ASSERT(lease);
    EXPECT_NEAR(rate(), graphics_bytes == 0 ? 100 : 0, 3);
    lease->reset();
  }
}
TEST(LocalQueue, KnowsTheRateOfEarlierRunners) { Node().run(remembers_rates); }

io::Task<void> measures_under_way(Node& node) {
  auto lease = co_await node.acquire(target("a"));
  CO_ASSERT(lease);
  const auto rate = [&] { return node.scheduler.node_info("n").runners.at(0).prompt_rate; };
  (*lease)->note_prompt_progress({.evaluated = 0, .left = 600, .time = milliseconds(0)});
  EXPECT_EQ(rate(), 0);
  (*lease)->note_prompt_progress({.evaluated = 512, .left = 88, .time = seconds(8)});
  EXPECT_NEAR(rate(), 64, 2);
  // Only what came since counts: 8 tokens after another second are too few.
  (*lease)->note_prompt_progress({.evaluated = 520, .left = 80, .time = seconds(9)});
  EXPECT_NEAR(rate(), 64, 2);
  (*lease)->note_end({.prompt_tokens = 700, .cached_tokens = 100, .prompt_time = seconds(19)});
  EXPECT_NEAR(rate(), (0.8 * 512 + 88) / (0.8 * 8 + 11), 1);
}
TEST(LocalQueue, MeasuresAPromptUnderWay) { Node().run(measures_under_way); }

// Two prompts at once, and an answer beside a prompt.
io::Task<void> measures_what_it_would_be_alone(Node& node) {
  const auto told = [&] { return node.scheduler.node_info("n").runners.at(0); };
  auto one = co_await node.acquire(target("a"));
  auto two = co_await node.acquire(target("a"));
  CO_ASSERT(one && two);
  co_await node.pass(seconds(4));
  (*one)->note_prompt_progress({.evaluated = 200, .time = seconds(4)});
  (*two)->note_prompt_progress({.evaluated = 200, .time = seconds(4)});
  EXPECT_NEAR(told().prompt_rate, 100, 3) << "400 tokens in 4 s";
  (*one)->note_first_token();
  co_await node.pass(seconds(2));
  (*two)->note_prompt_progress({.evaluated = 400, .time = seconds(6)});
  EXPECT_NEAR(told().prompt_rate, 100, 3) << "it had them for itself";
  (*two)->note_first_token();
  co_await node.pass(seconds(1));
  two->reset();
  // 14 tokens, of 3 s: with the second prompt beside it for 2, when it had a fifth of them.
  (*one)->note_end({.output_tokens = 14, .output_time = seconds(3)});
  EXPECT_NEAR(told().output_rate, 10, 0.3);
}
TEST(LocalQueue, MeasuresAPromptAsIfItWereAlone) {
  Node({}, {4}).run(measures_what_it_would_be_alone);
}

io::Task<void> starts_anew(Node& node) {
  auto lease = co_await node.acquire(target("a"));
  CO_ASSERT(lease);
  (*lease)->note_prompt_progress({.evaluated = 500, .time = seconds(5)});
  (*lease)->note_prompt_progress({.evaluated = 400, .time = seconds(4)});
  EXPECT_NEAR(node.scheduler.node_info("n").runners.at(0).prompt_rate, 100, 3);
}
TEST(LocalQueue, MeasuresASecondPromptOfOneLease) { Node().run(starts_anew); }

io::Task<void> measures_batches(Node& node) {
  auto one = co_await node.acquire(target("a"));
  auto two = co_await node.acquire(target("a"));
  CO_ASSERT(one && two);
  (*one)->note_end({.output_tokens = 80, .output_time = seconds(10)});
  EXPECT_NEAR(node.scheduler.node_info("n").runners.at(0).output_rate, 10, 0.3);
}
TEST(LocalQueue, TellsTheRateOfOneStreamAlone) { Node({}, {2, 1}).run(measures_batches); }

io::Task<void> values(Node& node) {
  auto value = [&] { return node.scheduler.node_info("n").runners.at(0).value; };
  for (int i = 0; i < 3; i++) CO_ASSERT(co_await node.acquire(target("a")));
  const double few = value();
  for (int i = 0; i < 30; i++) CO_ASSERT(co_await node.acquire(target("a")));
  EXPECT_GT(value(), 2 * few);
  const double often = value();
  EXPECT_LE(often, 2.1) << "no more than the load took";
  co_await node.pass(std::chrono::minutes(4));
  EXPECT_LT(value(), often);
}
TEST(LocalQueue, ValuesAModelByLoadAndUse) { Node().run(values); }

// Who wanted its memory has left: it serves on, and is not loaded again.
io::Task<void> serves_on(Node& node) {
  auto running = co_await node.acquire(target("a"));
  CO_ASSERT(running);
  io::CancelSource source;
  Client& other = node.start(target("b"), {}, {io::kNever, source.token()});
  co_await node.pass(kDrainAfter + seconds(1));
  Client& next = node.start(target("a"));
  co_await node.pass(seconds(1));
  EXPECT_FALSE(next.done) << "it runs empty";
  EXPECT_TRUE(node.scheduler.loaded().at(0).stopping);
  source.cancel();
  co_await node.pass(seconds(1));
  EXPECT_TRUE(other.error);
  EXPECT_TRUE(next.lease);
  EXPECT_FALSE(node.scheduler.loaded().at(0).stopping);
  running->reset();
  next.lease.reset();
  co_await node.pass(seconds(1));
  EXPECT_EQ(node.script.loads.size(), 1u);
}
TEST(LocalQueue, ServesOnWhenNobodyWaitsForItsMemoryAnyMore) {
  Node(memory_of(200), {2}).run(serves_on);
}

// --- models that want each other's memory ---

// It needs what two others have, and both are wanted again.
io::Task<void> loads_the_large_one(Node& node) {
  auto one = co_await node.acquire(target("a"));
  auto two = co_await node.acquire(target("b"));
  CO_ASSERT(one && two);
  Client& large = node.start(target("c", 16000));
  co_await node.pass(seconds(3));
  Client& again = node.start(target("a"));
  node.start(target("b"));
  co_await node.pass(seconds(1));
  one->reset();
  co_await node.pass(seconds(3));
  two->reset();
  co_await node.pass(seconds(5));
  EXPECT_TRUE(large.lease);
  const std::vector<std::string> expected{"a@4096", "b@4096", "c@16000"};
  EXPECT_EQ(node.script.loads, expected);
  large.lease.reset();
  co_await node.pass(seconds(5));
  EXPECT_TRUE(again.lease);
}
TEST(LocalQueue, KeepsWhatComesFreeForWhoWaitsLongest) {
  Node(memory_of(300)).run(loads_the_large_one);
}

// Nothing is busy: one leaves, and is wanted again before the other has left.
io::Task<void> waits_for_idle_ones(Node& node) {
  for (const char* name : {"a", "b"}) CO_ASSERT(co_await node.acquire(target(name)));
  node.scheduler.unload(target("a").key());
  Client& large = node.start(target("c", 16000));
  node.start(target("a"));
  co_await node.pass(seconds(4));
  EXPECT_TRUE(large.lease);
  EXPECT_EQ(node.script.loads.size(), 3u);
}
TEST(LocalQueue, KeepsWhatIdleModelsLeaveForWhoWaitsLongest) {
  Node(memory_of(300)).run(waits_for_idle_ones);
}

io::Task<void> refuses_who_may_not_evict(Node& node) {
  auto one = co_await node.acquire(target("a"));
  auto two = co_await node.acquire(target("b"));
  CO_ASSERT(one && two);
  Client& large = node.start(target("c", 16000));
  co_await node.pass(seconds(3));
  one->reset();
  co_await node.pass(seconds(1));
  AcquireOptions no_evict;
  no_evict.may_evict = false;
  Client& other = node.start(target("a"), no_evict);
  co_await node.pass(seconds(1));
  EXPECT_TRUE(other.error);
  two->reset();
  co_await node.pass(seconds(4));
  EXPECT_TRUE(large.lease);
}
TEST(LocalQueue, RefusesWhoMayNotEvictWhereRoomIsKept) {
  Node(memory_of(300)).run(refuses_who_may_not_evict);
}

// 170 of 470 bytes are left beside the large one.
io::Task<void> loads_small_ones(Node& node) {
  auto busy = co_await node.acquire(target("a", 14000));
  CO_ASSERT(busy);
  Client& large = node.start(target("c", 20000));
  co_await node.pass(seconds(3));
  EXPECT_TRUE(node.scheduler.loaded().at(0).stopping);
  Client& small = node.start(target("b", 1000));
  co_await node.pass(milliseconds(1));
  Client& another = node.start(target("d", 1000));
  co_await node.pass(seconds(3));
  EXPECT_TRUE(small.lease);
  EXPECT_FALSE(another.lease) << "it would take what is kept";
  busy->reset();
  co_await node.pass(seconds(4));
  EXPECT_TRUE(large.lease);
  EXPECT_TRUE(small.lease);
}
TEST(LocalQueue, LoadsWhatFitsBesideWhoWaitsLongest) { Node(memory_of(470)).run(loads_small_ones); }

// The one that wants its memory came after those that wait for it.
io::Task<void> serves_those_before(Node& node) {
  auto running = co_await node.acquire(target("a"));
  CO_ASSERT(running);
  Client& second = node.start(target("a"));
  Client& third = node.start(target("a"));
  co_await node.pass(seconds(1));
  Client& other = node.start(target("b"));
  co_await node.pass(kDrainAfter + seconds(1));
  EXPECT_FALSE(node.scheduler.loaded().at(0).stopping);
  Client& last = node.start(target("a"));
  running->reset();
  co_await node.pass(seconds(1));
  CO_ASSERT(second.lease);
  second.lease.reset();
  co_await node.pass(seconds(1));
  CO_ASSERT(third.lease);
  EXPECT_TRUE(node.scheduler.loaded().at(0).stopping) << "now the other one came first";
  third.lease.reset();
  co_await node.pass(seconds(4));
  EXPECT_TRUE(other.lease);
  EXPECT_FALSE(last.lease);
  EXPECT_EQ(node.script.loads.size(), 2u);
}
TEST(LocalQueue, LeavesABusyModelToThoseThatCameBefore) {
  Node(memory_of(200)).run(serves_those_before);
}

}  // namespace
}  // namespace om::scheduler
