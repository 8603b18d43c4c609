// Loads that fail on one node, and what others may ask meanwhile.
#include <gmock/gmock.h>

#include "scheduler/local_node_for_test.h"

namespace om::scheduler::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

io::Task<void> tells_load_error(Node& node) {
  node.script.load_errors["a"] = {Errc::unavailable, "llama-server process has terminated: x"};
  auto first = co_await node.acquire(target("a"));
  CO_ASSERT(!first);
  EXPECT_EQ(first.error().what, "llama-server process has terminated: x");
  const io::TimePoint start = node.sim.clock().now();
  auto second = co_await node.acquire(target("a"));  // Within the pause: told at once.
  CO_ASSERT(!second);
  EXPECT_EQ(node.sim.clock().now(), start);
  EXPECT_EQ(node.script.loads.size(), 1u);
  co_await node.pass(seconds(2));
  node.script.load_errors.clear();
  EXPECT_TRUE(co_await node.acquire(target("a")));
}
TEST(LocalLoad, TellsWhyALoadFailedWithoutTryingEachTime) { Node().run(tells_load_error); }

io::Task<void> tries_other_options(Node& node) {
  node.script.load_errors["a"] = {Errc::unavailable, "out of memory"};
  Target large = target("a", 8192);
  large.runner.num_gpu = 99;
  for (int i = 0; i < 4; i++) {
    EXPECT_FALSE(co_await node.acquire(large));
    co_await node.pass(seconds(i < 3 ? 10 : 0));
  }
  const io::TimePoint start = node.sim.clock().now();
  // Its client goes on asking, and is told what it was told.
  Client& refused = node.start(large);
  Target fewer_layers = large;
  fewer_layers.runner.num_gpu = 20;
  Client& other = node.start(fewer_layers);
  Client& refused_again = node.start(large);
  co_await node.pass(milliseconds(1));
  CO_ASSERT(refused.error && refused_again.error);
  EXPECT_THAT(refused_again.error->what, HasSubstr("out of memory"));
  EXPECT_FALSE(other.done);
  co_await node.pass(seconds(4));
  CO_ASSERT(other.error);
  EXPECT_EQ(node.script.loads.size(), 5u) << "what failed for the one may do for the other";
  node.script.load_errors.clear();
  const auto lease = co_await node.acquire(target("a", 4096));
  CO_ASSERT(lease);
  EXPECT_LT(node.sim.clock().now() - start, seconds(8)) << "though it failed five times in a row";
}
TEST(LocalLoad, TriesWithOtherOptionsWhatCouldNotBeLoaded) { Node().run(tries_other_options); }

io::Task<void> keeps_who_asked_otherwise(Node& node) {
  node.script.load_errors["a"] = {Errc::unavailable, "out of memory"};
  Target large = target("a", 8192);
  large.runner.num_gpu = 99;
  Target fewer_layers = large;
  fewer_layers.runner.num_gpu = 20;
  const Client& refused = node.start(large);
  co_await node.pass(seconds(1));
  const Client& refused_too = node.start(large);
  Client& other = node.start(fewer_layers);
  co_await node.pass(milliseconds(1500));
  EXPECT_TRUE(refused.error && refused_too.error);
  EXPECT_FALSE(other.done) << "what failed is not what it asked for";
  node.script.load_errors.clear();
  co_await node.pass(seconds(4));
  EXPECT_TRUE(other.lease);
  other.lease.reset();
}
TEST(LocalLoad, RefusesNobodyWhoAskedForAnotherOneThanFailed) {
  Node().run(keeps_who_asked_otherwise);
}

io::Task<void> loads_again_at_once(Node& node) {
  node.script.load_errors["a"] = {Errc::unavailable, "out of memory"};
  for (int i = 0; i < 6; i++) {
    EXPECT_FALSE(co_await node.acquire(target("a", 8192)));
    co_await node.pass(seconds(i < 5 ? 60 : 1));
  }
  node.script.load_errors.clear();
  AcquireOptions short_lived;
  short_lived.keep_alive.duration = seconds(0);
  EXPECT_TRUE(co_await node.acquire(target("a", 4096), short_lived));
  co_await node.pass(seconds(1));
  EXPECT_TRUE(node.scheduler.loaded().empty());
  const io::TimePoint start = node.sim.clock().now();
  EXPECT_TRUE(co_await node.acquire(target("a", 4096)));
  EXPECT_LT(node.sim.clock().now() - start, seconds(3));
}
TEST(LocalLoad, LoadsAgainAtOnceWhatWasLoadedSinceAnotherOneFailed) {
  Node().run(loads_again_at_once);
}

io::Task<void> read_slowly(LocalScheduler& scheduler, bool& ended) {
  auto lease = co_await scheduler.acquire(target("a"), {}, {});
  EXPECT_FALSE(lease.has_value());
  ended = true;
}

io::Task<void> ends_under_a_reader(sim::World& sim) {
  testing::Script script;
  auto plans = std::make_unique<testing::SimplePlans>(sim.clock(), std::chrono::seconds(5));
  auto scheduler = std::make_unique<LocalScheduler>(
      sim.world(), LocalSchedulerOptions{.memory_total = 100'000},
      testing::scripted_engines(sim.clock(), script), std::move(plans));
  bool ended = false;
  io::spawn_detached(sim.world().executor, read_slowly(*scheduler, ended));
  (void)co_await sim.clock().sleep_for(std::chrono::seconds(1));
  co_await scheduler->stop();
  EXPECT_TRUE(ended) << "it would go on in a scheduler that is gone";
  scheduler.reset();
  (void)co_await sim.clock().sleep_for(std::chrono::seconds(10));
}
TEST(LocalLoad, StopWaitsForWhoReadsAHeader) {
  sim::World sim(1);
  sim.run(ends_under_a_reader(sim));
}

}  // namespace
}  // namespace om::scheduler::testing
