#include "engine/external/backend_speed.h"

#include <gtest/gtest.h>

namespace om::engine {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(BackendSpeed, IsUnknownBeforeTheFirstAnswer) {
  BackendSpeed speed;
  EXPECT_FALSE(speed.measured());
  EXPECT_EQ(speed.prefill_ms(10'000), 0);
  EXPECT_EQ(speed.output_rate(), 0);
  speed.add_first_token(10, 0, milliseconds(50));
  EXPECT_FALSE(speed.measured());
  speed.add_output(100, 0, seconds(2));
  EXPECT_TRUE(speed.measured());
  EXPECT_DOUBLE_EQ(speed.output_rate(), 50);
}

TEST(BackendSpeed, OfALongPromptGrowsWithItAndOfAShortOneDoesNot) {
  BackendSpeed speed;
  speed.add_first_token(10'000, 0, seconds(1));
  EXPECT_DOUBLE_EQ(speed.prefill_ms(20'000), 2000);
  EXPECT_DOUBLE_EQ(speed.prefill_ms(10), 51.2) << "as the shortest that tells";
  speed.add_first_token(10, 0, milliseconds(200));
  EXPECT_DOUBLE_EQ(speed.prefill_ms(10), 200);
  EXPECT_DOUBLE_EQ(speed.prefill_ms(500), 200);
  EXPECT_DOUBLE_EQ(speed.prefill_ms(20'000), 2000);
}

TEST(BackendSpeed, IsToldAsOfARequestThatIsAlone) {
  BackendSpeed speed;
  speed.add_first_token(10, 3, milliseconds(400));
  EXPECT_DOUBLE_EQ(speed.prefill_ms(0), 100);
  speed.add_output(100, 4, seconds(10));
  EXPECT_DOUBLE_EQ(speed.output_rate(), 20);
}

TEST(BackendSpeed, FollowsWhatChanges) {
  BackendSpeed speed;
  speed.add_first_token(10, 0, seconds(30));  // It loaded the model.
  for (int i = 0; i < 20; i++) speed.add_first_token(10, 0, milliseconds(100));
  EXPECT_LT(speed.prefill_ms(0), 500);
  speed.add_output(3, 0, seconds(30));
  EXPECT_EQ(speed.output_rate(), 0) << "of so few tokens nothing is learned";
}

}  // namespace
}  // namespace om::engine
