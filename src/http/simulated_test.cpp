// Server and client against each other over a bad simulated network, and their time limits to the
// tick, in virtual time. A failing seed fails again.
#include <gtest/gtest.h>

#include "http/loopback_for_test.h"

namespace om::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kTick{250};      // How often the server looks at its limits.
constexpr milliseconds kTransport{50};  // More than the simulated network ever takes.

io::Task<void> one_conversation(Loopback& loopback, sim::SimRandom& random) {
  std::string body(random.below(3) == 0 ? random.below(50'000) : random.below(200), 'b');
  for (char& c : body) c = static_cast<char>('a' + random.below(26));
  const bool streamed = random.below(3) == 0;
  const int chunks = static_cast<int>(random.below(50));
  auto request = streamed ? loopback.request("GET", fmt::format("/stream?n={}", chunks))
                          : loopback.request("POST", "/echo", body);
  if (streamed) {
    body.clear();
    for (int i = 0; i < chunks; i++) body += fmt::format("chunk {}\n", i);
  }
  auto response = co_await loopback.client.send(std::move(request),
                                                loopback.world().clock.call_within(seconds(600)));
  EXPECT_TRUE(response.has_value()) << response.error().what;
  if (!response) co_return;
  if (random.below(5) == 0) co_return;  // Leaves without reading.
  const auto got = co_await (*response)->read_all(1 << 20);
  EXPECT_TRUE(got.has_value());
  if (got) {
    EXPECT_EQ(*got, body);
  }
}

io::Task<void> conversations(Loopback& loopback, sim::SimRandom& random) {
  for (int i = 0; i < 8; i++) co_await one_conversation(loopback, random);
}

io::Task<void> many_clients(Loopback& loopback) {
  io::TaskGroup group(loopback.world().executor, loopback.world().clock);
  for (int i = 0; i < 4; i++) {
    group.spawn(conversations(loopback, loopback.simulated().random()));
  }
  co_await group.wait();
}

TEST(Simulated, MessagesArriveWholeHoweverTheNetworkCutsThem) {
  for (uint64_t seed = 1; seed <= 12; seed++) {
    SCOPED_TRACE(seed);
    Loopback loopback(limits_for_test(), Where::simulated, seed);
    loopback.simulated().network().faults.slice_max = seed % 3 == 0 ? 7 : 5000;
    loopback.run(many_clients(loopback));
  }
}

io::Task<void> one_attempt(Loopback& loopback) {
  for (int i = 0; i < 20; i++) {
    auto request = loopback.request("POST", "/echo", std::string(500, 'x'));
    auto response = co_await loopback.client.send(std::move(request), loopback.soon());
    if (!response) continue;
    const auto got = co_await (*response)->read_all(1 << 20);
    // Broken is fine; wrong is not.
    if (got) {
      EXPECT_EQ(*got, std::string(500, 'x'));
    }
  }
}

TEST(Simulated, ABreakingNetworkGivesErrorsAndNeverWrongBytes) {
  for (uint64_t seed = 1; seed <= 30; seed++) {
    SCOPED_TRACE(seed);
    Loopback loopback(limits_for_test(), Where::simulated, seed);
    loopback.simulated().network().faults.slice_max = 100;
    loopback.simulated().network().faults.reset_chance = 0.2;
    loopback.run(one_attempt(loopback));
    EXPECT_EQ(loopback.server.connections(), 0u);
  }
}

io::Task<void> leave_at(Loopback& loopback, std::string path, io::Duration after) {
  auto stream = co_await loopback.raw();
  EXPECT_TRUE(stream.has_value());
  if (!stream) co_return;
  const auto written = co_await (*stream)->write("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_TRUE(written.has_value());
  const auto slept = co_await loopback.world().clock.sleep_for(after);
  EXPECT_TRUE(slept.has_value());
  EXPECT_EQ(loopback.seen.requests, 1);
  stream->reset();
  const io::TimePoint left = loopback.world().clock.now();
  co_await loopback.wait_for_cancels(1);
  EXPECT_EQ(loopback.seen.cancels, 1);
  EXPECT_LE(loopback.world().clock.now() - left, kTransport);
}

TEST(Simulated, AClientThatLeavesIsNoticedAtOnce) {
  for (uint64_t seed = 1; seed <= 30; seed++) {
    SCOPED_TRACE(seed);
    Loopback loopback(limits_for_test(), Where::simulated, seed);
    loopback.run(leave_at(loopback, seed % 2 ? "/hang" : "/silent", milliseconds(seed * 10)));
  }
}

// Sends `bytes`, then nothing; how long until the server closes.
io::Task<void> time_until_closed(Loopback& loopback, std::string bytes, io::Duration* taken) {
  auto stream = co_await loopback.raw();
  EXPECT_TRUE(stream.has_value());
  if (!stream) co_return;
  const auto written = co_await (*stream)->write(bytes);
  EXPECT_TRUE(written.has_value());
  const io::TimePoint before = loopback.world().clock.now();
  co_await read_until(**stream, "\xff never");
  *taken = loopback.world().clock.now() - before;
}

void expect_closed_after(std::string bytes, io::Duration limit) {
  Loopback loopback(limits_for_test(), Where::simulated);
  io::Duration taken{};
  loopback.run(time_until_closed(loopback, std::move(bytes), &taken));
  EXPECT_GE(taken, limit - kTransport);
  EXPECT_LE(taken, limit + 2 * kTick + kTransport);
}

TEST(Simulated, TimeLimitsHoldToTheTick) {
  const ServerLimits limits;
  expect_closed_after("", limits.keep_alive_idle);
  expect_closed_after("GET / HT", limits.header_time_max);
  expect_closed_after("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab",
                      limits.body_idle_max);
  expect_closed_after("GET /unread HTTP/1.1\r\nHost: a\r\n\r\n", limits.keep_alive_idle);
}

// One byte a second keeps a head alive no longer than header_time_max.
io::Task<void> slowloris(Loopback& loopback, io::Duration* taken) {
  auto stream = co_await loopback.raw();
  EXPECT_TRUE(stream.has_value());
  if (!stream) co_return;
  const io::TimePoint before = loopback.world().clock.now();
  std::string_view head = "GET /unread HTTP/1.1\r\nHost: a\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy";
  for (; !head.empty(); head.remove_prefix(1)) {
    const auto written = co_await (*stream)->write(head.substr(0, 1));
    if (!written) break;
    const auto slept = co_await loopback.world().clock.sleep_for(seconds(1));
    EXPECT_TRUE(slept.has_value());
  }
  *taken = loopback.world().clock.now() - before;
}

TEST(Simulated, AClientThatDripsItsHeadIsCutOff) {
  Loopback loopback(limits_for_test(), Where::simulated);
  io::Duration taken{};
  loopback.run(slowloris(loopback, &taken));
  EXPECT_LE(taken, ServerLimits().header_time_max + seconds(2));
  EXPECT_EQ(loopback.seen.requests, 0);
}

}  // namespace
}  // namespace om::http
