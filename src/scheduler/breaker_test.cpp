#include "scheduler/breaker.h"

#include <gtest/gtest.h>

namespace om::scheduler {
namespace {

using std::chrono::seconds;

constexpr io::TimePoint kNow{std::chrono::hours(1)};

Breaker opened() {
  Breaker breaker;
  for (int i = 0; i < Breaker::kFailuresMax; i++) breaker.failed(kNow, kNow);
  return breaker;
}

TEST(Breaker, OpensAfterFailuresInARowOnly) {
  Breaker breaker;
  for (int i = 0; i < 10; i++) {
    breaker.failed(kNow, kNow);
    breaker.failed(kNow, kNow);
    breaker.succeeded(kNow);
  }
  EXPECT_EQ(breaker.state(kNow), Breaker::State::closed);
  EXPECT_EQ(breaker.share(kNow), 1);
  EXPECT_EQ(opened().state(kNow), Breaker::State::open);
  EXPECT_EQ(opened().share(kNow), 0);
}

TEST(Breaker, LetsOneRequestTryAndThenGrowsItsShare) {
  Breaker breaker = opened();
  io::TimePoint now = kNow + Breaker::kPause;
  EXPECT_EQ(breaker.state(now), Breaker::State::half_open);
  EXPECT_GT(breaker.share(now), 0);
  breaker.sent(now);
  EXPECT_EQ(breaker.share(now), 0);
  breaker.succeeded(now);
  EXPECT_EQ(breaker.state(now), Breaker::State::closed);
  EXPECT_NEAR(breaker.share(now), Breaker::kFirstShare, 0.01);
  EXPECT_NEAR(breaker.share(now + Breaker::kRamp / 2), 0.55, 0.01);
  EXPECT_EQ(breaker.share(now + Breaker::kRamp), 1);
}

TEST(Breaker, WaitsTwiceAsLongAfterEachFailedTrialUpToABound) {
  Breaker breaker = opened();
  io::TimePoint now = kNow;
  io::Duration pause = Breaker::kPause;
  for (int i = 0; i < 10; i++) {
    EXPECT_EQ(breaker.state(now + pause - seconds(1)), Breaker::State::open);
    now += pause;
    ASSERT_EQ(breaker.state(now), Breaker::State::half_open);
    breaker.sent(now);
    breaker.failed(now, now);
    pause = std::min<io::Duration>(2 * pause, Breaker::kPauseMax);
  }
}

TEST(Breaker, IsNotClosedByAnAnswerThatBeganBefore) {
  Breaker breaker = opened();
  breaker.succeeded(kNow + Breaker::kPause);
  EXPECT_EQ(breaker.state(kNow + Breaker::kPause), Breaker::State::half_open);
}

TEST(Breaker, CountsAllThatOneDeathBrokeAsOneFailure) {
  Breaker breaker;
  io::TimePoint now = kNow;
  for (int death = 1; death <= Breaker::kFailuresMax; death++) {
    EXPECT_EQ(breaker.state(now), Breaker::State::closed) << death;
    const io::TimePoint sent = now;
    now += seconds(1);
    for (int i = 0; i < 10; i++) breaker.failed(sent, now);
  }
  EXPECT_EQ(breaker.state(now), Breaker::State::open);
}

TEST(Breaker, KeepsNobodyWaitingForTheEndOfATrialThatAnswers) {
  Breaker breaker = opened();
  io::TimePoint now = kNow + Breaker::kPause;
  breaker.answers(now);
  EXPECT_EQ(breaker.state(now), Breaker::State::half_open) << "it was sent before";
  breaker.sent(now);
  breaker.answers(now);
  EXPECT_EQ(breaker.state(now), Breaker::State::closed);
  EXPECT_GT(breaker.share(now), 0);
  // It broke off after all, as it did before.
  breaker.failed(now, now + seconds(1));
  EXPECT_EQ(breaker.state(now + seconds(1)), Breaker::State::open);
}

TEST(Breaker, TriesAgainWhenATrialWasCancelledOrNeverEnded) {
  Breaker breaker = opened();
  io::TimePoint now = kNow + Breaker::kPause;
  breaker.sent(now);
  breaker.cancelled(now);
  EXPECT_GT(breaker.share(now), 0);
  breaker.sent(now);
  EXPECT_EQ(breaker.share(now + seconds(1)), 0);
  EXPECT_GT(breaker.share(now + seconds(60)), 0);
}

TEST(Breakers, WatchNodesAndRunnersApart) {
  Breakers breakers;
  for (int i = 0; i < Breaker::kFailuresMax; i++) breakers.runner_failed(1, 7, kNow, kNow);
  EXPECT_EQ(breakers.share(1, 7, kNow), 0);
  EXPECT_EQ(breakers.share(1, 8, kNow), 1);
  EXPECT_EQ(breakers.share(2, 7, kNow), 1);
  for (int i = 0; i < Breaker::kFailuresMax; i++) breakers.node_failed(2, kNow, kNow);
  EXPECT_EQ(breakers.share(2, 7, kNow), 0);
  EXPECT_EQ(breakers.share(2, 8, kNow), 0);
  breakers.forget(2);
  EXPECT_EQ(breakers.share(2, 8, kNow), 1);
}

TEST(Breakers, RememberOnlyWhatFailedLately) {
  Breakers breakers;
  breakers.runner_failed(1, 7, kNow, kNow);
  breakers.succeeded(1, 7, kNow);
  EXPECT_TRUE(breakers.empty());
  for (NodeNumber node = 0; node < Breakers::kBreakersMax + 100; node++) {
    const io::TimePoint now = kNow + seconds(node);
    for (int i = 0; i < Breaker::kFailuresMax; i++) breakers.node_failed(node, now, now);
  }
  EXPECT_EQ(breakers.share(0, 7, kNow), 1) << "the oldest is forgotten";
  const NodeNumber last = Breakers::kBreakersMax + 99;
  EXPECT_EQ(breakers.share(last, 7, kNow + seconds(last)), 0);
}

}  // namespace
}  // namespace om::scheduler
