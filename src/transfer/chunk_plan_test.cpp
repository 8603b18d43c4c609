#include "transfer/chunk_plan.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace om::transfer {
namespace {

using Kind = ChunkPlan::Kind;

void offer_all(ChunkPlan& plan, SourceId source, size_t chunks) {
  for (size_t i = 0; i < chunks; i++) plan.offered(source, i);
}

TEST(ChunkPlan, AsksForTheRarestFirst) {
  ChunkPlan plan(3, 1);
  const auto a = plan.add_source(Kind::node), b = plan.add_source(Kind::node);
  offer_all(plan, a, 3);
  plan.offered(b, 0);
  plan.offered(b, 2);
  EXPECT_EQ(plan.next(a), 1U);
}

TEST(ChunkPlan, BeginsElsewhereOnEachReceiver) {
  constexpr size_t kChunks = 100;
  std::vector<size_t> first;
  for (uint64_t seed = 0; seed < 8; seed++) {
    ChunkPlan plan(kChunks, seed);
    const auto origin = plan.add_source(Kind::node);
    offer_all(plan, origin, kChunks);
    first.push_back(plan.next(origin).value());
  }
  std::ranges::sort(first);
  EXPECT_GE(std::ranges::distance(first.begin(), std::ranges::unique(first).begin()), 7);
}

TEST(ChunkPlan, AsksTheRegistryOnlyForWhatNoNodeHas) {
  ChunkPlan plan(3, 1);
  const auto registry = plan.add_source(Kind::registry), node = plan.add_source(Kind::node);
  plan.offered(node, 0);
  EXPECT_EQ(plan.next(registry), 1U);
  EXPECT_EQ(plan.next(registry), 2U);
  EXPECT_EQ(plan.next(registry), std::nullopt);
  plan.remove_source(node);  // It died: its chunk is wanted of the registry now.
  EXPECT_EQ(plan.next(registry), 0U);
}

SourceId node_with_chunk_0(ChunkPlan& plan) {
  const SourceId source = plan.add_source(Kind::node);
  plan.offered(source, 0);
  return source;
}

TEST(ChunkPlan, StealsFromTheSlowAndNotFromTheFast) {
  ChunkPlan plan(1, 1);
  const SourceId slow = node_with_chunk_0(plan), fast = node_with_chunk_0(plan);
  ASSERT_EQ(plan.next(slow), 0U);
  EXPECT_FALSE(plan.steal(fast, 100e6));  // Nobody knows yet how fast it goes.
  plan.progress(0, 10'000'000, 90e6);
  EXPECT_FALSE(plan.steal(fast, 100e6));
  plan.progress(0, 10'000'000, 1e6);
  const auto stolen = plan.steal(fast, 100e6);
  ASSERT_TRUE(stolen);
  EXPECT_EQ(stolen->from, slow);
  EXPECT_EQ(plan.claimed_by(0), fast);
  plan.release(slow, 0);  // The loser's end changes nothing.
  EXPECT_EQ(plan.claimed_by(0), fast);
  plan.progress(0, 10'000'000, 0);
  EXPECT_FALSE(plan.steal(slow, 1e6));  // It had its turn.
}

// What began late was taken by one that is slower.
TEST(ChunkPlan, TakesBackFromASlowOneOnce) {
  ChunkPlan plan(1, 1);
  const SourceId first = node_with_chunk_0(plan), slow = node_with_chunk_0(plan);
  ASSERT_TRUE(plan.next(first));
  plan.progress(0, 10'000'000, 0);
  ASSERT_TRUE(plan.steal(slow, 0));
  EXPECT_FALSE(plan.steal(first, 10e6));  // Just begun.
  plan.progress(0, 10'000'000, 1e5);
  ASSERT_TRUE(plan.steal(first, 10e6));
  plan.progress(0, 10'000'000, 1e5);
  ASSERT_TRUE(plan.steal(slow, 10e6));
  plan.progress(0, 10'000'000, 1e5);
  EXPECT_FALSE(plan.steal(first, 10e6));
}

TEST(ChunkPlan, StealsWhatStandsStillEvenForWhoHasShownNothingYet) {
  ChunkPlan plan(1, 1);
  const SourceId stuck = node_with_chunk_0(plan), fresh = node_with_chunk_0(plan);
  ASSERT_TRUE(plan.next(stuck));
  plan.progress(0, 1000, 0);
  EXPECT_TRUE(plan.steal(fresh, 0));
}

// Found by cluster_sim, seed 164: three sources that each need more than a second to begin.
TEST(ChunkPlan, TakesAChunkFromEachSourceOnlyOnce) {
  ChunkPlan plan(1, 1);
  std::vector<SourceId> sources;
  for (int i = 0; i < 3; i++) sources.push_back(node_with_chunk_0(plan));
  ASSERT_TRUE(plan.next(sources[0]));
  for (size_t i = 1; i < 3; i++) {
    plan.progress(0, 1000, 0);
    ASSERT_TRUE(plan.steal(sources[i], 0)) << i;
  }
  plan.progress(0, 1000, 0);
  for (const SourceId source : sources) EXPECT_FALSE(plan.steal(source, 1e9)) << source;
  plan.release(sources[2], 0);  // It failed: now anybody may bring it.
  EXPECT_EQ(plan.next(sources[0]), 0U);
}

// Sources come, learn, fail and leave in any order: no chunk is ever asked of two at once or of one
// that does not have it, and once a source that has everything stays, all chunks get done.
RC_GTEST_PROP(ChunkPlan, EndsWhateverSourcesDo, ()) {
  const auto chunks = *rc::gen::inRange<size_t>(1, 30);
  ChunkPlan plan(chunks, *rc::gen::arbitrary<uint64_t>());
  std::vector<SourceId> sources;
  std::map<size_t, SourceId> asked;
  const auto steps = *rc::gen::inRange(0, 200);
  for (int i = 0; i < steps; i++) {
    const auto act = *rc::gen::inRange(0, 7);
    if (act == 0 || sources.empty()) {
      sources.push_back(plan.add_source(*rc::gen::element(Kind::node, Kind::registry)));
      continue;
    }
    const size_t at = *rc::gen::inRange<size_t>(0, sources.size());
    const SourceId source = sources[at];
    if (act == 1) plan.offered(source, *rc::gen::inRange<size_t>(0, chunks));
    if (act == 2) {
      plan.remove_source(source);
      sources.erase(sources.begin() + static_cast<ptrdiff_t>(at));
      std::erase_if(asked, [&](const auto& entry) { return entry.second == source; });
    }
    if (act == 3 || act == 4) {
      const auto chunk = plan.next(source);
      if (!chunk) continue;
      RC_ASSERT(!asked.contains(*chunk));
      RC_ASSERT(plan.offers(source, *chunk));
      asked[*chunk] = source;
    }
    if (asked.empty()) continue;
    const auto [chunk, holder] = *asked.begin();
    if (act == 5) {
      plan.progress(chunk, 1000, 0);
      if (const auto stolen = plan.steal(source, 1e6)) {
        RC_ASSERT(asked.at(stolen->chunk) == stolen->from && stolen->from != source);
        asked[stolen->chunk] = source;
      }
    }
    if (act == 6) {
      asked.erase(chunk);
      if (*rc::gen::arbitrary<bool>()) {
        plan.done(chunk);
      } else {
        plan.release(holder, chunk);
      }
    }
  }
  for (const auto& [chunk, source] : asked) plan.release(source, chunk);
  const auto last = plan.add_source(Kind::node);
  offer_all(plan, last, chunks);
  while (const auto chunk = plan.next(last)) plan.done(*chunk);
  RC_ASSERT(plan.complete());
}

}  // namespace
}  // namespace om::transfer
