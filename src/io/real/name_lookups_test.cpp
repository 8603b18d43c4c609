// Names looked up with a system that answers, refuses or stays silent as a test wants it.
#include "io/real/name_lookups.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netdb.h>

#include <latch>

#include "io/co_assert_for_test.h"
#include "io/real.h"
#include "io/task_group.h"

namespace om::io {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;

// Names that begin with "silent" are answered only when the test is over: by then the world is
// gone, and the thread still asks.
class NameLookup : public testing::Test {
 public:
  NameLookup() : world_(std::in_place, RealOptions{.ask_name = system_that_may_be_silent()}) {}
  ~NameLookup() override {
    world_.reset();  // Would hang if it waited for the thread.
    over_->count_down();
  }

  World& world() { return world_->world(); }
  void run(Task<void> task) { world_->run_until_done(std::move(task)); }
  Task<Errc> failure_of(std::string name, Call call) {
    const auto found = co_await world_->names().lookup(Endpoint::tcp(name, 1), std::move(call));
    co_return found ? Errc::internal : found.error().code;
  }
  Task<std::vector<std::string>> addresses_of(std::string name, Call call) {
    const auto found = co_await world_->names().lookup(Endpoint::tcp(name, 80), std::move(call));
    std::vector<std::string> addresses;
    if (found) {
      for (const Endpoint& each : *found) addresses.push_back(each.str());
    }
    co_return addresses;
  }

 private:
  AskName system_that_may_be_silent() {
    return [over = over_](const std::string& name) -> NameAnswer {
      if (name.starts_with("silent")) over->wait();
      if (name == "slow") usleep(200'000);
      if (name == "again") return {EAI_AGAIN, {}};
      if (name == "fail") return {EAI_FAIL, {}};
      if (name == "memory") return {EAI_MEMORY, {}};
      if (name == "nobody") return {EAI_NONAME, {}};
      if (name == "no_data") return {EAI_NODATA, {}};
      return {0, {"192.0.2.7", "2001:db8::7"}};
    };
  }

  std::shared_ptr<std::latch> over_ = std::make_shared<std::latch>(1);
  std::optional<RealWorld> world_;
};

TEST_F(NameLookup, GivesEveryAddressWithThePort) {
  run([](NameLookup& test) -> Task<void> {
    const auto found = co_await test.addresses_of("somebody", {});
    EXPECT_THAT(found, ElementsAre("192.0.2.7:80", "[2001:db8::7]:80"));
  }(*this));
}

TEST_F(NameLookup, TellsAMissingHostFromANameServerThatCannotSay) {
  run([](NameLookup& test) -> Task<void> {
    EXPECT_EQ(co_await test.failure_of("nobody", {}), Errc::not_found);
    EXPECT_EQ(co_await test.failure_of("no_data", {}), Errc::not_found);
    EXPECT_EQ(co_await test.failure_of("again", {}), Errc::unavailable);
    EXPECT_EQ(co_await test.failure_of("fail", {}), Errc::unavailable);
    EXPECT_EQ(co_await test.failure_of("memory", {}), Errc::unavailable);
  }(*this));
}

TEST_F(NameLookup, EndsWithItsCallAndHoldsUpNobodyElse) {
  run([](NameLookup& test) -> Task<void> {
    Clock& clock = test.world().clock;
    const TimePoint before = clock.now();
    EXPECT_EQ(co_await test.failure_of("silent", clock.call_within(milliseconds(50))),
              Errc::deadline_exceeded);
    CancelSource cancel;
    clock.start_timer(clock.now() + milliseconds(50), [&cancel] { cancel.cancel(); });
    EXPECT_EQ(co_await test.failure_of("silent", {kNever, cancel.token()}), Errc::cancelled);
    const auto found = co_await test.addresses_of("somebody", clock.call_within(seconds(5)));
    EXPECT_EQ(found.size(), 2u);
    const auto connected = co_await test.world().network.connect(
        Endpoint::tcp("silent", 1), nullptr, clock.call_within(milliseconds(50)));
    EXPECT_EQ(connected.error().code, Errc::deadline_exceeded);
    EXPECT_LT(clock.now() - before, seconds(3));
  }(*this));
}

Task<void> keep_code(Task<Errc> from, std::vector<Errc>& codes) {
  const Errc code = co_await std::move(from);
  codes.push_back(code);
}

TEST_F(NameLookup, ThatIsGivenUpTakesNobodyAlong) {
  run([](NameLookup& test) -> Task<void> {
    CancelSource cancel;
    std::vector<Errc> codes;
    TaskGroup group(test.world().executor, test.world().clock);
    group.spawn(keep_code(test.failure_of("slow", {kNever, cancel.token()}), codes));
    group.spawn(keep_code(test.failure_of("slow", {kNever, cancel.token()}), codes));
    test.world().clock.start_timer(test.world().clock.now() + milliseconds(20),
                                   [&cancel] { cancel.cancel(); });
    const auto same = co_await test.addresses_of("slow", {});
    const auto other = co_await test.addresses_of("somebody", {});
    co_await group.wait();
    EXPECT_EQ(same.size(), 2u);
    EXPECT_EQ(other.size(), 2u);
    EXPECT_THAT(codes, ElementsAre(Errc::cancelled, Errc::cancelled));
  }(*this));
}

TEST_F(NameLookup, OfManyNamesIsBounded) {
  run([](NameLookup& test) -> Task<void> {
    Clock& clock = test.world().clock;
    std::vector<Errc> codes;
    TaskGroup group(test.world().executor, clock);
    for (int i = 0; i < 300; i++) {
      auto code = test.failure_of(fmt::format("silent{}", i), clock.call_within(milliseconds(200)));
      group.spawn(keep_code(std::move(code), codes));
    }
    co_await group.wait();
    EXPECT_EQ(std::ranges::count(codes, Errc::overloaded), 44);
    EXPECT_EQ(std::ranges::count(codes, Errc::deadline_exceeded), 256);
    codes.clear();
    EXPECT_EQ(co_await test.failure_of("somebody", clock.call_within(milliseconds(50))),
              Errc::deadline_exceeded)
        << "every thread waits for an answer";
  }(*this));
}

}  // namespace
}  // namespace om::io
