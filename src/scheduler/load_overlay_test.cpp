#include "scheduler/load_overlay.h"

#include <gtest/gtest.h>

namespace om::scheduler {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr io::TimePoint kNow{std::chrono::hours(1)};
constexpr uint64_t kModel = 7;

RoutedRequest request(double tokens, uint64_t load_bytes = 0) {
  return {.node = 1,
          .model = kModel,
          .prompt_tokens = tokens,
          .load_bytes = load_bytes,
          .expected_first = seconds(2)};
}

TEST(LoadOverlay, CountsWhatNoReportCanKnowYet) {
  LoadOverlay overlay;
  overlay.add(request(100), kNow);
  overlay.add(request(50), kNow);
  const auto extra = overlay.of(1, kModel, kNow - seconds(1), kNow);
  EXPECT_EQ(extra.requests, 2);
  EXPECT_EQ(extra.prompt_tokens, 150);
  EXPECT_EQ(extra.own, 2);
  EXPECT_EQ(overlay.of(1, 8, kNow - seconds(1), kNow).requests, 0);
  EXPECT_EQ(overlay.of(2, kModel, kNow - seconds(1), kNow).requests, 0);
}

TEST(LoadOverlay, LeavesToAReportWhatItTells) {
  LoadOverlay overlay;
  overlay.add(request(100), kNow);
  const auto extra = overlay.of(1, kModel, kNow + seconds(1), kNow + seconds(1));
  EXPECT_EQ(extra.requests, 0);
  EXPECT_EQ(extra.prompt_tokens, 0);
  EXPECT_EQ(extra.own, 1);
}

TEST(LoadOverlay, TakesOffWhatEndedSinceTheReport) {
  LoadOverlay overlay;
  const auto ticket = overlay.add(request(100), kNow);
  overlay.finish(ticket, kNow + seconds(2));
  EXPECT_EQ(overlay.of(1, kModel, kNow + seconds(1), kNow + seconds(2)).requests, -1);
  EXPECT_EQ(overlay.of(1, kModel, kNow + seconds(3), kNow + seconds(3)).requests, 0);
  EXPECT_EQ(overlay.own_requests(), 0);
}

TEST(LoadOverlay, TakesAPromptThatWasAnsweredSinceTheReportForEvaluated) {
  LoadOverlay overlay;
  const auto ticket = overlay.add(request(100), kNow);
  const auto evaluated = [&](io::TimePoint reported) {
    return overlay.of(1, kModel, reported, kNow + seconds(5)).evaluated_tokens;
  };
  EXPECT_EQ(evaluated(kNow + seconds(1)), 0);
  overlay.first_token(ticket, kNow + seconds(4));
  EXPECT_EQ(evaluated(kNow), 0);  // The report did not know of it.
  EXPECT_EQ(evaluated(kNow + seconds(1)), 75);
  overlay.finish(ticket, kNow + seconds(4));
  EXPECT_EQ(evaluated(kNow + seconds(3)), 25);
  EXPECT_EQ(evaluated(kNow + seconds(4)), 0);
}

TEST(LoadOverlay, NoticesALateFirstToken) {
  LoadOverlay overlay;
  const auto ticket = overlay.add(request(100), kNow);
  EXPECT_EQ(overlay.of(1, kModel, kNow, kNow + seconds(1)).overdue, io::Duration(0));
  EXPECT_EQ(overlay.of(1, kModel, kNow, kNow + seconds(5)).overdue, seconds(3));
  overlay.first_token(ticket, kNow + seconds(5));
  const auto overdue = [&](io::TimePoint reported) {
    return overlay.of(1, kModel, reported, kNow + seconds(9)).overdue;
  };
  EXPECT_EQ(overdue(kNow + seconds(4)), seconds(3)) << "the report was made before";
  EXPECT_EQ(overdue(kNow + seconds(6)), io::Duration(0));
}

TEST(LoadOverlay, CountsOneLoadForAllWhoWaitForIt) {
  LoadOverlay overlay;
  overlay.add(request(10, 1000), kNow);
  overlay.add(request(10, 1000), kNow);
  const io::TimePoint reported = kNow - seconds(1);
  EXPECT_TRUE(overlay.of(1, kModel, reported, kNow).loading);
  EXPECT_EQ(overlay.load_bytes(1, 8, reported), 1000u);
  EXPECT_EQ(overlay.load_bytes(1, kModel, reported), 0u);
  EXPECT_EQ(overlay.load_bytes(1, 8, kNow + seconds(1)), 0u);
}

TEST(LoadOverlay, ForgetsNodesAndIsBounded) {
  LoadOverlay overlay;
  for (size_t i = 0; i < LoadOverlay::kRequestsMax + 10; i++) {
    RoutedRequest one = request(1);
    one.node = static_cast<NodeNumber>(i % 1000);
    EXPECT_EQ(overlay.add(one, kNow) == 0, i >= LoadOverlay::kRequestsMax);
  }
  EXPECT_EQ(overlay.own_requests(), static_cast<int>(LoadOverlay::kRequestsMax));
  for (NodeNumber node = 0; node < 1000; node++) overlay.forget(node);
  EXPECT_EQ(overlay.own_requests(), 0);
  EXPECT_EQ(overlay.of(1, kModel, kNow - milliseconds(1), kNow).own, 0);
}

}  // namespace
}  // namespace om::scheduler
