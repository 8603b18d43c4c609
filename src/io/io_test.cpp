// The coroutine tools on the real clock: events, channels, groups, cancellation.
#include <gtest/gtest.h>

#include "io/event.h"
#include "io/real.h"
#include "io/task_group.h"
#include "io/wall_time.h"

namespace om::io {
namespace {

using std::chrono::milliseconds;

Task<void> wait_into(Event& event, Call call, std::vector<std::string>& log, std::string name) {
  const auto result = co_await event.wait(std::move(call));
  log.push_back(name + (result ? " woke" : " " + std::string(to_string(result.error().code))));
}

Task<void> events_wake_in_order(World& world, std::vector<std::string>& log) {
  Event event(world.clock);
  TaskGroup group(world.executor, world.clock);
  group.spawn(wait_into(event, {}, log, "a"));
  group.spawn(wait_into(event, {}, log, "b"));
  while (event.waiters() < 2) (void)co_await world.clock.sleep_for(milliseconds(1));
  event.notify_one();
  event.notify_one();
  co_await group.wait();
}

TEST(WallTime, ReadsRfc3339) {
  const auto seconds = [](std::string_view text) -> std::optional<int64_t> {
    const auto time = parse_rfc3339(text);
    if (!time) return {};
    return std::chrono::duration_cast<std::chrono::seconds>(time->time_since_epoch()).count();
  };
  EXPECT_EQ(seconds("2023-11-14T22:13:20Z"), 1'700'000'000);
  EXPECT_EQ(seconds("2023-11-14T22:13:20.987654321Z"), 1'700'000'000);
  EXPECT_EQ(seconds("2023-11-15T00:43:20+02:30"), 1'700'000'000);
  EXPECT_EQ(seconds("2023-11-14T14:13:20.5-08:00"), 1'700'000'000);
  EXPECT_LT(*parse_rfc3339("0001-01-01T00:00:00Z"), WallTime{});
  EXPECT_GT(*parse_rfc3339("9999-12-31T23:59:59Z"), WallTime{});
  for (const char* text : {"", "now", "2023-11-14", "2023-11-14T22:13:20", "2023-11-14T22:13:20+1",
                           "2023-11-14T22:13:20+99999999999:1", "2023-11-14T22:13:20Zulu"}) {
    EXPECT_EQ(parse_rfc3339(text), std::nullopt) << text;
  }
}

TEST(Event, WakesWaitersInTheOrderTheyCame) {
  RealWorld world;
  std::vector<std::string> log;
  world.run_until_done(events_wake_in_order(world.world(), log));
  EXPECT_EQ(log, (std::vector<std::string>{"a woke", "b woke"}));
}

Task<void> waits_that_end_otherwise(World& world, std::vector<std::string>& log) {
  Event event(world.clock);
  CancelSource source;
  TaskGroup group(world.executor, world.clock);
  group.spawn(wait_into(event, Call{kNever, source.token()}, log, "cancel"));
  while (event.waiters() < 1) (void)co_await world.clock.sleep_for(milliseconds(1));
  source.cancel();
  co_await group.wait();
  co_await wait_into(event, Call{kNever, source.token()}, log, "already");
  co_await wait_into(event, world.clock.call_within(milliseconds(5)), log, "deadline");
  EXPECT_EQ(event.waiters(), 0u);
}

TEST(Event, TellsCancellationFromTheDeadline) {
  RealWorld world;
  std::vector<std::string> log;
  world.run_until_done(waits_that_end_otherwise(world.world(), log));
  EXPECT_EQ(log, (std::vector<std::string>{"cancel cancelled", "already cancelled",
                                           "deadline deadline exceeded"}));
}

Task<void> produce(Channel<int>& channel, int count) {
  for (int i = 0; i < count; i++) {
    const auto put = co_await channel.put(i);
    EXPECT_TRUE(put.has_value());
    EXPECT_LE(channel.size(), 2u);
  }
  channel.close();
}

Task<void> channel_keeps_order(World& world) {
  Channel<int> channel(world.clock, 2);
  TaskGroup group(world.executor, world.clock);
  group.spawn(produce(channel, 100));
  int expected = 0;
  while (true) {
    const auto value = co_await channel.next();
    EXPECT_TRUE(value.has_value());
    if (!*value) break;
    EXPECT_EQ(**value, expected++);
  }
  EXPECT_EQ(expected, 100);
  co_await group.wait();
}

TEST(Channel, HandsOverInOrderWithinItsBound) {
  RealWorld world;
  world.run_until_done(channel_keeps_order(world.world()));
}

TEST(Task, TakesItsFrameFromTheThreadsPool) {
  RealWorld world;
  world.run_until_done(channel_keeps_order(world.world()));
  const PoolStats before = FramePool::of_this_thread().stats();
  world.run_until_done(channel_keeps_order(world.world()));
  const PoolStats after = FramePool::of_this_thread().stats();
  EXPECT_GT(after.hits, before.hits + 100);
  EXPECT_EQ(after.misses, before.misses);  // The first run's frames are all there.
  EXPECT_EQ(after.used_bytes, before.used_bytes);
}

TEST(CancelSource, RunsCallbacksOnceAndAtOnceForLatecomers) {
  CancelSource source;
  int first = 0, late = 0, gone = 0;
  OnCancel on_first(source.token(), [&] { first++; });
  {
    OnCancel on_gone(source.token(), [&] { gone++; });
  }
  source.cancel();
  source.cancel();
  OnCancel on_late(source.token(), [&] { late++; });
  EXPECT_EQ(first, 1);
  EXPECT_EQ(late, 1);
  EXPECT_EQ(gone, 0);
}

Task<void> sleep_past(World& world, TimePoint& woke) {
  const auto slept = co_await world.clock.sleep_for(milliseconds(20));
  EXPECT_TRUE(slept.has_value());
  woke = world.clock.now();
}

TEST(Clock, NeverWakesEarly) {
  RealWorld world;
  const TimePoint start = world.world().clock.now();
  TimePoint woke{};
  world.run_until_done(sleep_past(world.world(), woke));
  EXPECT_GE(woke - start, milliseconds(20));
}

TEST(Clock, BoundsACallByWhatIsLeftOfIt) {
  RealWorld world;
  const Clock& clock = world.world().clock;
  CancelSource source;
  const Call call = clock.call_within(milliseconds(500), source.token());
  EXPECT_EQ(clock.call_within(std::chrono::hours(1), call).deadline, call.deadline);
  const Call sooner = clock.call_within(milliseconds(1), call);
  EXPECT_LT(sooner.deadline, call.deadline);
  source.cancel();
  EXPECT_TRUE(sooner.cancel.cancelled());
}

// How often it asked, and what it said in the end.
Task<void> wait_for_look(World& world, int yes_at, Call call, int& looks, bool& said) {
  auto is_done = [yes_at, &looks] { return ++looks >= yes_at; };
  said = co_await wait_until(world.clock, is_done, milliseconds(1), std::move(call));
}

TEST(Clock, WaitsUntilACallerIsContentOrItsCallEnds) {
  RealWorld world;
  const Clock& clock = world.world().clock;
  int looks = 0;
  bool said = false;
  world.run_until_done(wait_for_look(world.world(), 1, {kNever, {}}, looks, said));
  EXPECT_TRUE(said);
  EXPECT_EQ(looks, 1) << "no sleep for what is so already";

  looks = 0;
  world.run_until_done(wait_for_look(world.world(), 4, {kNever, {}}, looks, said));
  EXPECT_TRUE(said);
  EXPECT_EQ(looks, 4);

  looks = 0;
  const Call over{clock.now(), {}};
  world.run_until_done(wait_for_look(world.world(), 2, over, looks, said));
  EXPECT_TRUE(said) << "it looks once more when the call is over";
  looks = 0;
  world.run_until_done(wait_for_look(world.world(), 3, over, looks, said));
  EXPECT_FALSE(said);
  EXPECT_EQ(looks, 2);
}

Task<void> work_elsewhere(World& world, int& sum) {
  for (int i = 0; i < 50; i++) {
    auto job = [i] { return i; };
    sum += co_await world.workers.run(job);
  }
}

TEST(Workers, BringResultsBackToTheIoThread) {
  RealWorld world;
  int sum = 0;
  world.run_until_done(work_elsewhere(world.world(), sum));
  EXPECT_EQ(sum, 49 * 50 / 2);
}

}  // namespace
}  // namespace om::io
