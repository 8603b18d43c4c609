#include "generation/record_store.h"

#include <gmock/gmock.h>

#include "sim/world.h"

namespace om::generation {
namespace {

class RecordStoreTest : public ::testing::Test {
 protected:
  sim::World world_{1};
  RecordStore store_{world_.world().clock};
};

TEST_F(RecordStoreTest, GivesBackWhatWasAdded) {
  ASSERT_TRUE(store_.put("a", "f", 5, "one\n"));
  ASSERT_TRUE(store_.add("a", 5, 4, "two\n"));
  auto taken = store_.take("a", "f");
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->lines, "one\ntwo\n");
  EXPECT_GT(taken->owner, 5);
  EXPECT_EQ(store_.bytes(), 8);
}

TEST_F(RecordStoreTest, TakesNothingFromWhoLostIt) {
  ASSERT_TRUE(store_.put("a", "f", 5, "one\n"));
  const io::CancelToken superseded = store_.superseded("a", 5);
  EXPECT_FALSE(superseded.cancelled());
  ASSERT_TRUE(store_.take("a", "f"));
  EXPECT_TRUE(superseded.cancelled());
  EXPECT_EQ(store_.add("a", 5, 4, "two\n").error().code, Errc::already_exists);
  EXPECT_EQ(store_.put("a", "f", 5, "other\n").error().code, Errc::already_exists);
  EXPECT_EQ(store_.lines("a", 5), nullptr);
}

TEST_F(RecordStoreTest, AsksForTheWholeWhenSomethingIsMissing) {
  EXPECT_EQ(store_.add("a", 5, 0, "one\n").error().code, Errc::not_found);
  ASSERT_TRUE(store_.put("a", "f", 5, "one\n"));
  EXPECT_EQ(store_.add("a", 5, 8, "three\n").error().code, Errc::not_found);
  EXPECT_EQ(store_.add("a", 6, 4, "two\n").error().code, Errc::not_found);
  EXPECT_EQ(*store_.lines("a", 5), "one\n");
}

TEST_F(RecordStoreTest, RefusesAnotherRequestUnderTheSameKey) {
  ASSERT_TRUE(store_.put("a", "f", 5, "one\n"));
  EXPECT_EQ(store_.take("a", "g").error().code, Errc::invalid_argument);
  EXPECT_FALSE(store_.superseded("a", 5).cancelled());
}

TEST_F(RecordStoreTest, IsBounded) {
  const std::string large(kRecordBytesMax, 'x');
  for (int i = 0; i < 40; i++) ASSERT_TRUE(store_.put(std::to_string(i), "f", 1, large));
  EXPECT_LE(store_.bytes(), kRecordsBytesMax);
  EXPECT_EQ(store_.put("b", "f", 1, large + "x").error().code, Errc::overloaded);
  EXPECT_EQ(store_.add("39", 1, large.size(), "x").error().code, Errc::overloaded);
  EXPECT_EQ(store_.take("39", "f").error().code, Errc::not_found);
}

io::Task<void> wait(io::Clock& clock, io::Duration time) {
  const auto slept = co_await clock.sleep_for(time);
  EXPECT_TRUE(slept);
}

TEST_F(RecordStoreTest, ForgetsWhatNobodyAskedForInTime) {
  ASSERT_TRUE(store_.put("old", "f", 1, "one\n"));
  world_.run(wait(world_.world().clock, kRecordAgeMax + std::chrono::seconds(1)));
  ASSERT_TRUE(store_.put("new", "f", 1, "two\n"));
  EXPECT_EQ(store_.take("old", "f").error().code, Errc::not_found);
  EXPECT_EQ(store_.size(), 1);
}

TEST_F(RecordStoreTest, ForgetsItAlsoWhereALookWasDueJustBefore) {
  ASSERT_TRUE(store_.put("old", "f", 1, "one\n"));
  world_.run(wait(world_.world().clock, kRecordAgeMax - std::chrono::milliseconds(100)));
  ASSERT_TRUE(store_.put("new", "f", 1, "two\n"));
  world_.run(wait(world_.world().clock, std::chrono::milliseconds(1200)));
  ASSERT_TRUE(store_.add("new", 1, 4, "three\n"));
  EXPECT_EQ(store_.size(), 1);
}

}  // namespace
}  // namespace om::generation
