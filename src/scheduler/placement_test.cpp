#include "scheduler/placement.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace om::scheduler {
namespace {

using std::chrono::seconds;
using Phase = RunnerState::Phase;

constexpr io::TimePoint kNow{std::chrono::hours(1)};

RunnerState runner(uint64_t bytes, int running = 0, double value = 1) {
  RunnerState state;
  state.context = 4096;
  state.slots = 2;
  state.bytes = bytes;
  state.running = running;
  state.value = value;
  return state;
}

NodeState node(uint64_t total, std::vector<RunnerState> others = {}) {
  NodeState state;
  state.now = kNow;
  state.memory_total = state.memory_free = total;
  for (const RunnerState& other : others) state.memory_free -= other.bytes;
  state.others = std::move(others);
  return state;
}

Demand demand(std::vector<Plan> plans, int context = 4096) {
  Demand result;
  result.context = context;
  result.plans = std::move(plans);
  result.since = kNow;
  return result;
}

const std::vector<Plan> kPlans = {{4, 4096, 400}, {1, 4096, 100}};

TEST(Placement, LoadsWithManySlotsWhereThereIsPlenty) {
  const Action action = decide(node(1000), demand(kPlans));
  ASSERT_TRUE(std::holds_alternative<Load>(action));
  EXPECT_EQ(std::get<Load>(action).plan.slots, 4);
}

TEST(Placement, LoadsWithOneSlotWhereMemoryIsShort) {
  const Action action = decide(node(700), demand(kPlans));
  ASSERT_TRUE(std::holds_alternative<Load>(action));
  EXPECT_EQ(std::get<Load>(action).plan.slots, 1);
}

// A node with cards of so many bytes besides; who is in memory lies there first.
NodeState node_with_cards(uint64_t main, uint64_t cards, std::vector<RunnerState> others = {}) {
  NodeState state = node(main + cards, std::move(others));
  state.graphics_total = state.graphics_free = cards;
  for (RunnerState& other : state.others) {
    other.graphics = std::min(other.bytes, state.graphics_free);
    state.graphics_free -= other.graphics;
  }
  return state;
}

TEST(Placement, LoadsOnCardsAndInMemoryWhatFitsInNeitherAlone) {
  const Action action = decide(node_with_cards(60, 60), demand({{1, 4096, 100}}));
  EXPECT_TRUE(std::holds_alternative<Load>(action));
}

TEST(Placement, TakesNoSlotsThatKeepTheModelOffTheCards) {
  const Action action = decide(node_with_cards(2000, 300), demand(kPlans));
  ASSERT_TRUE(std::holds_alternative<Load>(action));
  EXPECT_EQ(std::get<Load>(action).plan.slots, 1);
}

TEST(Placement, EndsIdleModelsForOneThatThenLiesOnTheCards) {
  const auto at = [](std::vector<RunnerState> others) {
    return decide(node_with_cards(2000, 150, std::move(others)), demand({{1, 4096, 100}}));
  };
  const Action action = at({runner(40, 1), runner(60), runner(50)});
  ASSERT_TRUE(std::holds_alternative<Evict>(action));
  EXPECT_EQ(std::get<Evict>(action).others, (std::vector<size_t>{1, 2}));
  EXPECT_TRUE(std::holds_alternative<Load>(at({runner(60, 1)}))) << "busy ones are not waited for";
  EXPECT_TRUE(std::holds_alternative<Load>(at({runner(40)}))) << "there is room";
  RunnerState leaving = runner(60);
  leaving.phase = Phase::leaving;
  EXPECT_TRUE(std::holds_alternative<Wait>(at({leaving})));
  RunnerState pinned = runner(60);
  pinned.pinned = true;
  EXPECT_TRUE(std::holds_alternative<Load>(at({pinned})));
  const Action large = decide(node_with_cards(2000, 150, {runner(60)}), demand({{1, 4096, 151}}));
  EXPECT_TRUE(std::holds_alternative<Load>(large)) << "it never lies there as a whole";
}

TEST(Placement, HasNoRoomOnCardsThatOthersHold) {
  const Demand wanted = demand({{1, 4096, 100}});
  EXPECT_TRUE(has_room(node_with_cards(2000, 150), wanted));
  EXPECT_FALSE(has_room(node_with_cards(2000, 150, {runner(60)}), wanted));
}

TEST(Placement, GrantsAFreeSlot) {
  NodeState state = node(1000);
  state.own = runner(100, 1);
  EXPECT_TRUE(std::holds_alternative<Grant>(decide(state, demand(kPlans))));
  state.own->running = 2;
  EXPECT_TRUE(std::holds_alternative<Wait>(decide(state, demand(kPlans))));
}

TEST(Placement, ServesASmallerContextFromALargerRunner) {
  NodeState state = node(1000);
  state.own = runner(100);
  EXPECT_TRUE(std::holds_alternative<Grant>(decide(state, demand(kPlans, 128))));
}

TEST(Placement, ReplacesATooSmallRunnerOnceItIsIdle) {
  NodeState state = node(1000);
  state.own = runner(100, 1);
  const Demand larger = demand({{1, 8192, 200}}, 8192);
  EXPECT_TRUE(std::holds_alternative<Wait>(decide(state, larger)));
  state.own->running = 0;
  EXPECT_TRUE(std::holds_alternative<Replace>(decide(state, larger)));
}

TEST(Placement, KeepsASmallRunnerWhenTheLargeOneWouldNotFit) {
  NodeState state = node(1000);
  state.own = runner(100);
  const Action action = decide(state, demand({{1, 8192, 2000}}, 8192));
  ASSERT_TRUE(std::holds_alternative<Refuse>(action));
  EXPECT_EQ(std::get<Refuse>(action).needs, 2000u);
  EXPECT_EQ(std::get<Refuse>(action).has, 1000u);
}

TEST(Placement, EvictsTheIdleRunnerThatIsLeastWorthKeeping) {
  const NodeState state = node(300, {runner(100, 0, 5), runner(100, 0, 1), runner(100, 1, 0)});
  const Action action = decide(state, demand({{1, 4096, 100}}));
  ASSERT_TRUE(std::holds_alternative<Evict>(action));
  EXPECT_EQ(std::get<Evict>(action).others, std::vector<size_t>{1});
}

TEST(Placement, NeverEvictsARunningPinnedOrWantedOneFirst) {
  NodeState state = node(300, {runner(100, 1, 0), runner(100, 0, 0), runner(100, 0, 9)});
  state.others[1].pinned = true;
  const Action action = decide(state, demand({{1, 4096, 100}}));
  ASSERT_TRUE(std::holds_alternative<Evict>(action));
  EXPECT_EQ(std::get<Evict>(action).others, std::vector<size_t>{2});
}

TEST(Placement, DrainsABusyRunnerOnlyAfterSomePatience) {
  NodeState state = node(100, {runner(100, 1)});
  const Demand wanted = demand({{1, 4096, 100}});
  const Action first = decide(state, wanted);
  ASSERT_TRUE(std::holds_alternative<Wait>(first));
  EXPECT_EQ(std::get<Wait>(first).until, kNow + kDrainAfter);
  state.now = kNow + kDrainAfter;
  const Action later = decide(state, wanted);
  ASSERT_TRUE(std::holds_alternative<DrainOthers>(later));
  EXPECT_EQ(std::get<DrainOthers>(later).others, std::vector<size_t>{0});
  state.others[0].draining = true;
  EXPECT_TRUE(std::holds_alternative<Wait>(decide(state, wanted)));
}

TEST(Placement, DrainsNoneThatServesWhoCameBefore) {
  NodeState state = node(100, {runner(100, 1)});
  Demand wanted = demand({{1, 4096, 100}});
  wanted.rank = kNow;
  state.now = kNow + kDrainAfter;
  state.others[0].head_rank = kNow - seconds(1);
  const Action action = decide(state, wanted);
  ASSERT_TRUE(std::holds_alternative<Wait>(action));
  EXPECT_TRUE(waits_for_room(state, action));
  state.others[0].head_rank = kNow + seconds(1);
  EXPECT_TRUE(std::holds_alternative<DrainOthers>(decide(state, wanted)));
}

// It needs 260 of 300 bytes, and is given what was there when it came.
TEST(Placement, LeavesToTheOneAheadWhatComesFree) {
  NodeState state = node(300, {runner(140, 1)});
  state.ahead = Ahead{260, kNow};
  const Demand wanted = demand({{1, 4096, 140}});
  EXPECT_FALSE(has_room(state, wanted)) << "120 bytes are kept of 160";
  EXPECT_TRUE(std::holds_alternative<Wait>(decide(state, wanted)));
  EXPECT_TRUE(std::holds_alternative<Load>(decide(state, demand({{1, 4096, 40}}))));
  state.others[0].load_started = kNow + seconds(1);
  EXPECT_FALSE(has_room(state, demand({{1, 4096, 1}}))) << "it may come and go again";
  state.others[0].draining = true;
  EXPECT_TRUE(has_room(state, demand({{1, 4096, 40}})));
}

TEST(Placement, EvictsNoneInVainForWhatTheOneAheadWillHave) {
  NodeState state = node(300, {runner(140), runner(140, 1)});
  state.ahead = Ahead{260, kNow};
  EXPECT_TRUE(std::holds_alternative<Wait>(decide(state, demand({{1, 4096, 140}}))));
  EXPECT_TRUE(std::holds_alternative<Evict>(decide(state, demand({{1, 4096, 40}}))));
}

TEST(Placement, WaitsForRoomWhereOthersLeaveIt) {
  NodeState state = node(100, {runner(100, 1)});
  const Demand wanted = demand({{1, 4096, 100}});
  EXPECT_FALSE(waits_for_room(state, decide(state, wanted))) << "it has patience yet";
  state.others[0].phase = Phase::leaving;
  EXPECT_TRUE(waits_for_room(state, decide(state, wanted)));
  Demand crashed = wanted;
  crashed.not_before = kNow + seconds(4);
  EXPECT_FALSE(waits_for_room(state, decide(state, crashed)));
}

TEST(Placement, HonoursTheLimitOfLoadedModels) {
  NodeState state = node(1000, {runner(10), runner(10)});
  state.loaded_max = 2;
  const Action action = decide(state, demand(kPlans));
  ASSERT_TRUE(std::holds_alternative<Evict>(action));
  EXPECT_EQ(std::get<Evict>(action).others.size(), 1u);
}

TEST(Placement, RefusesWhereThePinnedTakeEveryPlace) {
  NodeState state = node(1000, {runner(10), runner(10)});
  state.loaded_max = 2;
  state.others[0].pinned = state.others[1].pinned = true;
  const Action action = decide(state, demand(kPlans));
  ASSERT_TRUE(std::holds_alternative<Refuse>(action));
  EXPECT_EQ(std::get<Refuse>(action).pinned, 2u);
  state.others[1].phase = Phase::leaving;  // As a part does whose lease has ended.
  EXPECT_TRUE(std::holds_alternative<Wait>(decide(state, demand(kPlans))));
  state.others[1].phase = Phase::ready;
  state.loaded_max = 3;
  EXPECT_TRUE(std::holds_alternative<Load>(decide(state, demand(kPlans))));
}

TEST(Placement, WaitsOutTheBackoffOfACrashedRunner) {
  Demand wanted = demand(kPlans);
  wanted.not_before = kNow + seconds(4);
  const Action action = decide(node(1000), wanted);
  ASSERT_TRUE(std::holds_alternative<Wait>(action));
  EXPECT_EQ(std::get<Wait>(action).until, kNow + seconds(4));
}

TEST(Placement, RunsASuspectAlone) {
  NodeState state = node(1000);
  state.own = runner(100, 1);
  Demand suspect = demand(kPlans);
  suspect.suspect = true;
  EXPECT_TRUE(std::holds_alternative<Wait>(decide(state, suspect)));
  state.own->running = 0;
  EXPECT_TRUE(std::holds_alternative<Grant>(decide(state, suspect)));
  state.own->running = 1;
  state.own->exclusive = true;
  EXPECT_TRUE(std::holds_alternative<Wait>(decide(state, demand(kPlans))));
}

TEST(Placement, GrowsSoThatCreepingSizesReloadSeldom) {
  EXPECT_EQ(grown_context(4097, 4096, 32768), 6144);
  EXPECT_EQ(grown_context(8192, 4096, 32768), 8192);
  EXPECT_EQ(grown_context(4097, 4096, 5000), 5000);
  EXPECT_EQ(grown_context(2048, 4096, 32768), 2048);
  EXPECT_EQ(grown_context(2048, 0, 32768), 2048);
}

// Any state, any demand: what must never be said.
RC_GTEST_PROP(Placement, NeverOverCommitsNorTouchesWhatItMustNot, ()) {
  NodeState state;
  state.now = kNow;
  state.memory_total = *rc::gen::inRange(0, 1000);
  state.memory_free = state.memory_total;
  state.loaded_max = *rc::gen::inRange(0, 4);
  const auto any_runner = [] {
    RunnerState r = runner(*rc::gen::inRange(1, 400), *rc::gen::inRange(0, 3));
    r.phase = *rc::gen::element(Phase::loading, Phase::ready, Phase::leaving);
    r.pinned = *rc::gen::inRange(0, 4) == 0;
    r.draining = *rc::gen::inRange(0, 4) == 0;
    r.exclusive = *rc::gen::inRange(0, 4) == 0;
    return r;
  };
  const int count = *rc::gen::inRange(0, 5);
  for (int i = 0; i < count; i++) state.others.push_back(any_runner());
  if (*rc::gen::arbitrary<bool>()) state.own = any_runner();
  for (const RunnerState& r : state.others) {
    state.memory_free -= std::min(state.memory_free, r.bytes);
  }
  if (state.own) state.memory_free -= std::min(state.memory_free, state.own->bytes);
  if (*rc::gen::arbitrary<bool>()) {
    state.ahead = Ahead{static_cast<uint64_t>(*rc::gen::inRange(1, 1000)), kNow};
  }
  Demand wanted = demand(kPlans, *rc::gen::inRange(1, 9000));
  wanted.suspect = *rc::gen::arbitrary<bool>();
  wanted.since = kNow - seconds(*rc::gen::inRange(0, 5));

  const Action action = decide(state, wanted);
  if (std::holds_alternative<Grant>(action)) {
    RC_ASSERT(state.own && state.own->phase == Phase::ready);
    RC_ASSERT(state.own->running < state.own->slots);
    RC_ASSERT(state.own->context >= wanted.context);
    RC_ASSERT(!state.own->exclusive && !state.own->draining);
  } else if (const auto* load = std::get_if<Load>(&action)) {
    RC_ASSERT(!state.own.has_value());
    uint64_t left = state.memory_free - std::min(state.memory_free, load->plan.bytes);
    RC_ASSERT(load->plan.bytes <= state.memory_free);
    for (const RunnerState& r : state.others) {
      if (!r.pinned || r.draining || r.phase == Phase::leaving) left += r.bytes;
    }
    RC_ASSERT(!state.ahead || left >= state.ahead->bytes);
    RC_ASSERT(state.loaded_max == 0 || state.others.size() < static_cast<size_t>(state.loaded_max));
  } else if (const auto* evict = std::get_if<Evict>(&action)) {
    RC_ASSERT(!evict->others.empty());
    for (size_t i : evict->others) {
      RC_ASSERT(state.others[i].running == 0 && !state.others[i].pinned);
      RC_ASSERT(state.others[i].phase == Phase::ready);
    }
  } else if (const auto* drain = std::get_if<DrainOthers>(&action)) {
    RC_ASSERT(!drain->others.empty());
    for (size_t i : drain->others) RC_ASSERT(!state.others[i].pinned);
  } else if (std::holds_alternative<Replace>(action)) {
    RC_ASSERT(state.own && state.own->running == 0 && state.own->context < wanted.context);
  }
}

}  // namespace
}  // namespace om::scheduler
