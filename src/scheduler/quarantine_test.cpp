#include "scheduler/quarantine.h"

#include <gtest/gtest.h>

namespace om::scheduler {
namespace {

constexpr io::TimePoint kNow{std::chrono::hours(1)};

TEST(Quarantine, SuspectsAfterOneDeathAndRefusesAfterTwo) {
  Quarantine quarantine;
  EXPECT_FALSE(quarantine.is_suspect("a", kNow));
  quarantine.add_death("a", kNow);
  EXPECT_TRUE(quarantine.is_suspect("a", kNow));
  EXPECT_FALSE(quarantine.is_refused("a", kNow));
  quarantine.add_death("a", kNow);
  EXPECT_TRUE(quarantine.is_refused("a", kNow));
  EXPECT_FALSE(quarantine.is_suspect("b", kNow));
}

TEST(Quarantine, OnlySuspectsWhatHung) {
  Quarantine quarantine;
  for (int i = 0; i < 3; i++) quarantine.add_suspicion("a", kNow);
  EXPECT_TRUE(quarantine.is_suspect("a", kNow));
  EXPECT_FALSE(quarantine.is_refused("a", kNow));
  quarantine.add_death("a", kNow);
  EXPECT_TRUE(quarantine.is_refused("a", kNow));
}

TEST(Quarantine, ForgetsWhoWasAnswered) {
  Quarantine quarantine;
  quarantine.add_death("a", kNow);
  quarantine.acquit("a");
  EXPECT_FALSE(quarantine.is_suspect("a", kNow));
  EXPECT_EQ(quarantine.size(), 0u);
}

TEST(Quarantine, ForgetsAfterAnHour) {
  Quarantine quarantine;
  quarantine.add_death("a", kNow);
  quarantine.add_death("a", kNow + std::chrono::minutes(90));
  EXPECT_FALSE(quarantine.is_refused("a", kNow + std::chrono::minutes(90)));
}

TEST(Quarantine, RemembersNothingWithoutAFingerprint) {
  Quarantine quarantine;
  quarantine.add_death("", kNow);
  EXPECT_EQ(quarantine.size(), 0u);
}

TEST(Quarantine, IsBounded) {
  Quarantine quarantine;
  for (size_t i = 0; i < 3 * Quarantine::kEntriesMax; i++) {
    quarantine.add_death(std::to_string(i), kNow);
  }
  EXPECT_EQ(quarantine.size(), Quarantine::kEntriesMax);
  EXPECT_FALSE(quarantine.is_suspect("0", kNow));
  EXPECT_TRUE(quarantine.is_suspect(std::to_string(3 * Quarantine::kEntriesMax - 1), kNow));
}

}  // namespace
}  // namespace om::scheduler
