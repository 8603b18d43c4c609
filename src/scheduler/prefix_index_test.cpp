#include "scheduler/prefix_index.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace om::scheduler {
namespace {

using std::chrono::seconds;

constexpr io::TimePoint kNow{std::chrono::hours(1)};
const Digest kWeights = Digest::of("weights");
constexpr size_t kBlock = 256;

PromptOutline prompt(std::string_view parts, const Digest& weights = kWeights) {
  // Each letter stands for four blocks of text.
  OutlineBuilder builder(weights);
  std::string text;
  for (char part : parts) text += std::string(4 * kBlock, part);
  builder.add(text);
  return builder.finish();
}

void assume(PrefixIndex& index, NodeNumber node, std::string_view parts, io::TimePoint now = kNow) {
  index.assume(node, prompt(parts), now + seconds(5), now);
}

TEST(PrefixIndex, KnowsHowFarEachNodeIsWarm) {
  PrefixIndex index;
  assume(index, 1, "ab");
  assume(index, 2, "abc");
  assume(index, 3, "xyz");
  const auto found = index.match(prompt("abcd"), 10);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].node, 2u);
  EXPECT_EQ(found[0].blocks, 12u);
  EXPECT_EQ(found[1].node, 1u);
  EXPECT_EQ(found[1].blocks, 8u);
  EXPECT_EQ(index.warmth(1, prompt("abcd")).blocks, 8u);
  EXPECT_EQ(index.warmth(3, prompt("abcd")).blocks, 0u);
  EXPECT_TRUE(index.match(prompt("q"), 10).empty());
  index.check_invariant();
}

TEST(PrefixIndex, ListsNoMoreNodesThanAsked) {
  PrefixIndex index;
  for (NodeNumber node = 0; node < 500; node++) assume(index, node, "a");
  assume(index, 7, "ab");
  const auto found = index.match(prompt("ab"), 8);
  ASSERT_EQ(found.size(), 8u);
  EXPECT_EQ(found[0].node, 7u);
}

TEST(PrefixIndex, KeepsModelsApart) {
  PrefixIndex index;
  assume(index, 1, "ab");
  EXPECT_TRUE(index.match(prompt("ab", Digest::of("other")), 4).empty());
}

TEST(PrefixIndex, TrustsWhatWasAnsweredMoreThanWhatIsOnItsWay) {
  PrefixIndex index;
  assume(index, 1, "ab");
  Warmth warm = index.warmth(1, prompt("abc"));
  EXPECT_EQ(warm.settled, 0u);
  warm.set_wait(seconds(0), kNow);
  const double at_once = index.expected_share(1, prompt("abc"), warm);
  warm.set_wait(seconds(6), kNow);
  const double later = index.expected_share(1, prompt("abc"), warm);
  EXPECT_LT(at_once, later);
  index.correct(1, prompt("ab"), {}, 0, 500, kNow);
  warm = index.warmth(1, prompt("abc"));
  EXPECT_EQ(warm.settled, 8u);
  EXPECT_NEAR(index.expected_share(1, prompt("abc"), warm), 2.0 / 3, 0.01);
}

TEST(PrefixIndex, CountsTheCopiesThatNoRequestIsAtWorkOn) {
  PrefixIndex index;
  const auto send = [&](std::string_view parts) {
    return index.assume(1, prompt(parts), kNow + seconds(5), kNow);
  };
  const auto end = [&](std::string_view parts, uint32_t borrowed, int64_t cached) {
    index.give_back(1, prompt(parts), borrowed);
    index.correct(1, prompt(parts), {.blocks = borrowed, .settled = borrowed}, cached, 1000, kNow);
  };
  const auto free = [&](std::string_view parts) { return index.warmth(1, prompt(parts)).settled; };
  end("ab", send("ab"), 0);
  EXPECT_EQ(free("ac"), 4u);
  const uint32_t first = send("ac");
  EXPECT_EQ(first, 4u);
  EXPECT_EQ(free("ad"), 0u) << "its only copy is in use";
  EXPECT_EQ(index.warmth(1, prompt("ad")).blocks, 4u) << "and will be there again";
  const uint32_t second = send("ad");
  EXPECT_EQ(second, 0u);
  end("ad", second, 0);
  EXPECT_EQ(free("ae"), 4u) << "the second request made another one";
  end("ac", first, 500);
  const uint32_t third = send("ae");
  EXPECT_EQ(free("af"), 4u) << "there are two now";
  const uint32_t fourth = send("af");
  EXPECT_EQ(free("ag"), 0u);
  end("ae", third, 0);
  EXPECT_EQ(free("ag"), 4u) << "one was not there, but is now";
  index.give_back(1, prompt("af"), fourth);
  EXPECT_EQ(free("ag"), 4u);
  index.check_invariant();
}

TEST(PrefixIndex, LearnsFromRepliesThatACacheIsSmallerThanItThought) {
  PrefixIndex index;
  for (char c = 'a'; c <= 'z'; c++) {
    index.correct(1, prompt(std::string(8, c)), {}, 0, 1000, kNow);
  }
  const size_t before = index.size();
  const PromptOutline asked = prompt(std::string(8, 'z'));
  for (int i = 0; i < 10; i++) {
    index.correct(1, asked, index.warmth(1, asked), 0, 1000, kNow);
  }
  EXPECT_LT(index.size(), before / 4);
  EXPECT_LT(index.expected_share(1, asked, index.warmth(1, asked)), 0.5);
  for (int i = 0; i < 30; i++) {
    index.correct(1, asked, index.warmth(1, asked), 1000, 1000, kNow);
  }
  EXPECT_GT(index.expected_share(1, asked, index.warmth(1, asked)), 0.9);
  index.check_invariant();
}

TEST(PrefixIndex, ForgetsRunnersAndNodes) {
  PrefixIndex index;
  assume(index, 1, "ab");
  assume(index, 2, "ab");
  index.forget(1, model_key(kWeights));
  EXPECT_EQ(index.warmth(1, prompt("ab")).blocks, 0u);
  EXPECT_EQ(index.warmth(2, prompt("ab")).blocks, 8u);
  index.forget(2);
  EXPECT_EQ(index.size(), 0u);
  index.check_invariant();
}

TEST(PrefixIndex, ForgetsWithTime) {
  PrefixIndex index({.ttl = seconds(60)});
  assume(index, 1, "ab");
  assume(index, 2, "cd", kNow + seconds(61));
  EXPECT_EQ(index.warmth(1, prompt("ab")).blocks, 0u);
  EXPECT_EQ(index.warmth(2, prompt("cd")).blocks, 8u);
}

TEST(PrefixIndex, CountsNothingBehindAGap) {
  PrefixIndex index({.ttl = seconds(60)});
  assume(index, 1, "a");
  assume(index, 1, "abcd", kNow + seconds(3));  // Used again too soon for "a" to move up.
  OutlineBuilder builder(kWeights);
  builder.add(std::string(kBlock, 'a'));
  index.correct(1, builder.finish(), {}, 0, 60, kNow + seconds(10));
  assume(index, 2, "x", kNow + seconds(62));  // The rest of "a" is forgotten by now.
  const Warmth warm = index.warmth(1, prompt("abcd"));
  EXPECT_EQ(warm.settled, 1u);
  EXPECT_EQ(warm.blocks, 1u);
  index.check_invariant();
}

TEST(PrefixIndex, ForgetsTheEndsOfOldPromptsFirst) {
  PrefixIndex index({.blocks_max = 256});
  assume(index, 1, "abcdefgh");  // 32 blocks.
  for (NodeNumber node = 2; node < 9; node++) assume(index, node, "12345678", kNow);
  assume(index, 9, "9", kNow);  // 4 more than there is room for.
  EXPECT_EQ(index.size(), 256u);
  EXPECT_EQ(index.warmth(1, prompt("abcdefgh")).blocks, 28u);
  index.check_invariant();
}

TEST(PrefixIndex, KeepsMoreOfALargerCluster) {
  PrefixIndex index({.blocks_max = 256});
  index.expect_nodes(1);
  for (NodeNumber node = 0; node < 16; node++) assume(index, node, "abcdefgh");  // 32 blocks each.
  EXPECT_EQ(index.size(), 256u);
  index.expect_nodes(4);
  index.expect_nodes(3);  // Nodes that are away for a while leave the bound as it is.
  for (NodeNumber node = 0; node < 16; node++) assume(index, node, "abcdefgh");
  EXPECT_EQ(index.size(), 512u);
  EXPECT_EQ(index.blocks_of(3, prompt("a").model), 32u);
  EXPECT_EQ(index.blocks_of(99, prompt("a").model), 0u);
  index.check_invariant();
}

TEST(PrefixIndex, AGuessOfWarmthChangesNothing) {
  PrefixIndex index;
  for (int copy = 0; copy < 2; copy++) index.correct(1, prompt("abc"), {}, 0, 60, kNow);
  assume(index, 1, "abcdefgh", kNow);
  assume(index, 2, "ab");
  const PromptOutline outline = prompt("abcdefghij");
  const auto last = static_cast<uint32_t>(outline.blocks.size());
  for (NodeNumber node : {1, 2, 3}) {
    const Warmth plain = index.warmth(node, outline);
    EXPECT_EQ(plain.blocks, node == 1 ? 32u : node == 2 ? 8u : 0u);
    EXPECT_EQ(plain.settled, node == 1 ? 12u : 0u);
    for (uint32_t blocks = 0; blocks <= last + 1; blocks++) {
      for (uint32_t settled = 0; settled <= blocks; settled++) {
        const Warmth warm = index.warmth(node, outline, {.blocks = blocks, .settled = settled});
        EXPECT_EQ(warm.blocks, plain.blocks);
        EXPECT_EQ(warm.settled, plain.settled);
        EXPECT_EQ(warm.ready, plain.ready);
      }
    }
  }
}

RC_GTEST_PROP(PrefixIndexProperty, StaysWithinItsBoundsAndConsistent, ()) {
  PrefixIndex index({.blocks_max = 300, .runner_blocks_max = 80, .ttl = seconds(100)});
  io::TimePoint now = kNow;
  const int steps = *rc::gen::inRange(0, 80);
  for (int i = 0; i < steps; i++) {
    const auto node = static_cast<NodeNumber>(*rc::gen::inRange(0, 12));
    const std::string parts = *rc::gen::container<std::string>(rc::gen::inRange('a', 'd'));
    const Digest weights = Digest::of(*rc::gen::element<std::string>("x", "y"));
    const PromptOutline outline = prompt(parts.substr(0, 12), weights);
    now += seconds(*rc::gen::inRange(0, 20));
    switch (*rc::gen::inRange(0, 5)) {
      case 0:
        index.forget(node, model_key(weights));
        break;
      case 1:
        index.correct(node, outline, index.warmth(node, outline), *rc::gen::inRange(0, 100), 100,
                      now);
        break;
      default:
        index.assume(node, outline, now + seconds(3), now);
    }
    index.check_invariant();
    const auto guess = static_cast<uint32_t>(*rc::gen::inRange(0, 50));
    const Warmth warm = index.warmth(node, outline, {.blocks = guess, .settled = guess / 2});
    RC_ASSERT(warm.settled <= warm.blocks && warm.blocks <= outline.blocks.size());
    const double share = index.expected_share(node, outline, warm);
    RC_ASSERT(share >= 0 && share <= 1);
  }
}

}  // namespace
}  // namespace om::scheduler
