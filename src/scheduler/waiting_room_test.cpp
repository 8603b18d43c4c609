#include "scheduler/waiting_room.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>

namespace om::scheduler {
namespace {

TEST(WaitingRoom, RefusesWhenFullButNobodyBecauseOfAnothersGreed) {
  WaitingRoom room(4);
  for (uint64_t id = 1; id <= 4; id++) EXPECT_TRUE(room.enter({id, "greedy"}).accepted);
  const auto again = room.enter({5, "greedy"});
  EXPECT_FALSE(again.accepted);
  EXPECT_FALSE(again.displaced);
  const auto other = room.enter({6, "modest"});
  EXPECT_TRUE(other.accepted);
  EXPECT_EQ(other.displaced, 4u);
  EXPECT_EQ(room.enter({7, "modest"}).displaced, 3u);
  EXPECT_FALSE(room.enter({8, "modest"}).accepted) << "each has half";
  room.leave(1);
  EXPECT_TRUE(room.enter({9, "modest"}).accepted);
  EXPECT_EQ(room.size(), 4u);
}

TEST(WaitingRoom, CountsPlacesByWeight) {
  WaitingRoom room(4);
  for (uint64_t id = 1; id <= 3; id++) room.enter({id, "heavy", 3});
  room.enter({4, "light", 1});
  EXPECT_FALSE(room.enter({5, "light", 1}).accepted);
  EXPECT_FALSE(room.enter({6, "third", 1}).accepted) << "nobody has more than a place of weight 1";
  EXPECT_EQ(room.enter({7, "third", 3}).displaced, 3u);
}

TEST(WaitingRoom, LetsInteractiveRequestsReplaceBatchOnesOfTheirKey) {
  WaitingRoom room(2);
  room.enter({1, "a", 1, true});
  room.enter({2, "a", 1, false});
  EXPECT_FALSE(room.enter({3, "a", 1, true}).accepted);
  EXPECT_EQ(room.enter({4, "a", 1, false}).displaced, 1u);
  EXPECT_FALSE(room.enter({5, "a", 1, false}).accepted);
}

TEST(WaitingRoom, SendsTheBatchRequestsOfAGreedyKeyAwayFirst) {
  WaitingRoom room(3);
  room.enter({1, "a", 1, true});
  room.enter({2, "a", 1, false});
  room.enter({3, "a", 1, false});
  EXPECT_EQ(room.enter({4, "b", 1, false}).displaced, 1u);
}

RC_GTEST_PROP(WaitingRoomProperty, KeepsItsBoundAndEveryKeysShare, ()) {
  const auto places = static_cast<size_t>(*rc::gen::inRange(1, 12));
  WaitingRoom room(places);
  std::map<uint64_t, std::string> inside;
  const int steps = *rc::gen::inRange(0, 150);
  for (int i = 0; i < steps; i++) {
    if (*rc::gen::inRange(0, 3) == 0) {
      const uint64_t id = *rc::gen::inRange(0, 150);
      room.leave(id);
      inside.erase(id);
      continue;
    }
    const auto key = *rc::gen::element<std::string>("a", "b", "c");
    const auto entered =
        room.enter({static_cast<uint64_t>(i), key, 1, *rc::gen::arbitrary<bool>()});
    if (entered.displaced) {
      RC_ASSERT(inside.erase(*entered.displaced) == 1);
      RC_ASSERT(entered.accepted);
    }
    if (entered.accepted) {
      inside.emplace(i, key);
    } else {
      std::map<std::string, size_t> held;
      for (const auto& [id, owner] : inside) held[owner]++;
      for (const auto& [owner, count] : held) RC_ASSERT(count <= held[key] + 1);
    }
    RC_ASSERT(room.size() == inside.size() && room.size() <= places);
  }
}

}  // namespace
}  // namespace om::scheduler
