#include "transfer/bandwidth.h"

#include <gtest/gtest.h>

#include "io/task_group.h"
#include "sim/world.h"

namespace om::transfer {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

io::Task<void> take(Bandwidth& bandwidth, int times) {
  for (int i = 0; i < times; i++) EXPECT_TRUE(co_await bandwidth.take(100'000, {}));
}

io::Task<void> take_together(io::World& world, Bandwidth& bandwidth, io::Duration& taken) {
  const auto before = world.clock.now();
  io::TaskGroup group(world.executor, world.clock);
  for (int i = 0; i < 5; i++) group.spawn(take(bandwidth, 20));
  co_await group.wait();
  taken = world.clock.now() - before;
}

TEST(Bandwidth, CapsAllWhoTakeTogether) {
  sim::World sim(1);
  Bandwidth bandwidth(sim.clock(), 1'000'000);
  io::Duration taken{};
  sim.run(take_together(sim.world(), bandwidth, taken));
  EXPECT_GE(taken, seconds(10) - milliseconds(150));
  EXPECT_LE(taken, seconds(10) + milliseconds(150));
}

io::Task<void> take_much(Bandwidth& bandwidth, io::Call call) {
  EXPECT_FALSE(co_await bandwidth.take(1'000'000'000, std::move(call)));
}

io::Task<void> take_after_another_gave_up(io::World& world, Bandwidth& bandwidth,
                                          io::Duration& taken) {
  const auto before = world.clock.now();
  io::CancelSource cancel;
  io::TaskGroup group(world.executor, world.clock);
  group.spawn(take_much(bandwidth, {io::kNever, cancel.token()}));
  EXPECT_TRUE(co_await world.clock.sleep_for(milliseconds(10)));
  cancel.cancel();
  co_await group.wait();
  co_await take(bandwidth, 10);
  taken = world.clock.now() - before;
}

TEST(Bandwidth, GivesBackWhatWasNotWaitedFor) {
  sim::World sim(1);
  Bandwidth bandwidth(sim.clock(), 1'000'000);
  io::Duration taken{};
  sim.run(take_after_another_gave_up(sim.world(), bandwidth, taken));
  EXPECT_LE(taken, seconds(2));
}

TEST(Bandwidth, DoesNotWaitWithoutACap) {
  sim::World sim(1);
  Bandwidth bandwidth(sim.clock(), 0);
  io::Duration taken{};
  sim.run(take_together(sim.world(), bandwidth, taken));
  EXPECT_EQ(taken, io::Duration{});
}

}  // namespace
}  // namespace om::transfer
