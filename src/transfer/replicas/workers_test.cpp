#include "transfer/replicas/workers.h"

#include <gtest/gtest.h>

#include "sim/world.h"
#include "transfer/replicas/metrics.h"

namespace om::transfer {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

io::Task<Result<void>> take_long(io::Clock& clock, io::CancelToken token) {
  (void)co_await clock.sleep_for(minutes(60), {io::kNever, token});
  co_return Result<void>{};
}

io::Task<void> is_busy_with_long_copies(sim::World& sim) {
  ReplicaWorkers workers(sim.world(), 2, [] {});
  const auto work = [&sim](std::string key, bool urgent) {
    return ReplicaWorkers::Work{std::move(key), urgent, 1, [&sim](io::CancelToken token) {
                                  return take_long(sim.clock(), std::move(token));
                                }};
  };
  workers.set_work({work("a", false), work("b", false), work("c", false)});
  EXPECT_EQ(workers.running(), 2u);
  workers.set_work({work("c", false), work("d", true), work("e", true)});
  EXPECT_EQ(workers.running(), 3u) << "one that is urgent";
  (void)co_await sim.clock().sleep_for(seconds(1));
  co_await workers.stop();
}
TEST(ReplicaWorkers, WhatIsUrgentDoesNotWaitForWhatIsNot) {
  sim::World sim(1);
  sim.run(is_busy_with_long_copies(sim));
}

io::Task<Result<void>> fails(io::CancelToken) { co_return fail(Errc::io_failed, "no room"); }

io::Task<void> counts_failures(sim::World& sim) {
  ReplicaWorkers workers(sim.world(), 2, [] {});
  const uint64_t before = replica_failures.value();
  workers.set_work({{"a", false, 1, fails}});
  (void)co_await sim.clock().sleep_for(seconds(1));
  EXPECT_EQ(replica_failures.value(), before + 1);
  co_await workers.stop();
}
TEST(ReplicaWorkers, CountsWhatFailed) {
  sim::World sim(1);
  sim.run(counts_failures(sim));
}

}  // namespace
}  // namespace om::transfer
