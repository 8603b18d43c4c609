#include "scheduler/prompt_outline.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace om::scheduler {
namespace {

const Digest kWeights = Digest::of("weights");

PromptOutline outline_of(const std::vector<std::string>& parts, const Digest& weights = kWeights) {
  OutlineBuilder builder(weights);
  for (const std::string& part : parts) builder.add(part);
  return builder.finish();
}

size_t common_blocks(const PromptOutline& a, const PromptOutline& b) {
  size_t count = 0;
  while (count < a.blocks.size() && count < b.blocks.size() && a.blocks[count] == b.blocks[count]) {
    count++;
  }
  return count;
}

TEST(PromptOutline, SharesTheBlocksOfACommonBeginning) {
  const std::string system(3000, 's');
  const auto a = outline_of({system, "first question"}), b = outline_of({system, "second"});
  EXPECT_EQ(common_blocks(a, b), 3000u / 256);
  EXPECT_EQ(a.bytes, 3000u + 1 + 14 + 1);
}

TEST(PromptOutline, GoesOnWithTheNextTurn) {
  const std::string system(1000, 's'), question(700, 'q'), answer(900, 'a');
  OutlineBuilder builder(kWeights);
  builder.add(system);
  builder.add(question);
  const PromptOutline first = builder.finish();
  builder.add(answer);
  builder.add(question);
  EXPECT_EQ(common_blocks(first, builder.finish()), first.blocks.size());
}

TEST(PromptOutline, TellsModelsAndPartsApart) {
  const std::string text(600, 'x');
  EXPECT_EQ(common_blocks(outline_of({text}), outline_of({text}, Digest::of("other"))), 0u);
  const std::string head(200, 'x'), tail(400, 'x');
  EXPECT_EQ(common_blocks(outline_of({text}), outline_of({head, tail})), 0u);
}

TEST(PromptOutline, NamesAConversationByItsFirstQuestionOnly) {
  const auto conversation = [](std::string_view question, std::string_view second) {
    OutlineBuilder builder(kWeights);
    builder.add("You help.");
    builder.add(question);
    builder.mark_conversation();
    builder.add(second);
    return builder.finish().conversation;
  };
  EXPECT_EQ(conversation("why?", "and how?"), conversation("why?", "thanks"));
  EXPECT_NE(conversation("why?", "and how?"), conversation("why!", "and how?"));
  EXPECT_NE(conversation("why?", ""), 0u);
  EXPECT_EQ(outline_of({"why?"}).conversation, 0u);
}

TEST(PromptOutline, IsBoundedWhateverTheTextsLength) {
  const auto outline = outline_of({std::string(3 << 20, 'x')});
  EXPECT_EQ(outline.blocks.size(), PromptOutline::kBlocksMax);
  EXPECT_EQ(outline.bytes, (3u << 20) + 1);
  EXPECT_EQ(PromptOutline::bytes_of(PromptOutline::kBlocksMax), 1u << 20);
}

TEST(PromptOutline, CountsWholeBlocks) {
  for (size_t blocks = 0; blocks <= PromptOutline::kBlocksMax; blocks++) {
    const size_t bytes = PromptOutline::bytes_of(blocks);
    EXPECT_EQ(PromptOutline::blocks_in(bytes), blocks);
    if (blocks > 0) EXPECT_EQ(PromptOutline::blocks_in(bytes - 1), blocks - 1);
    EXPECT_EQ(bytes % 256, 0u);
  }
}

RC_GTEST_PROP(PromptOutline, IsTheSameHoweverThePartIsCut, (const std::string& text)) {
  // A part of text that the builder sees word by word or byte by byte has one outline.
  std::string long_text;
  while (long_text.size() < 2000) long_text += text + ".";
  const auto whole = outline_of({long_text});
  const size_t shift = *rc::gen::inRange(0, 9);
  const std::string moved = std::string(shift, '-') + long_text;
  const auto again = outline_of({std::string(moved.substr(shift))});
  RC_ASSERT(again.blocks == whole.blocks);
}

TEST(TokenRatio, LearnsFromWhatPromptsHad) {
  TokenRatio ratio;
  const double before = ratio.tokens(1, 1000);
  EXPECT_GT(before, 100);
  EXPECT_LT(before, 1000);
  for (int i = 0; i < 30; i++) ratio.observe(1, 1000, 500);
  EXPECT_NEAR(ratio.tokens(1, 1000), 500, 5);
  EXPECT_EQ(ratio.tokens(2, 1000), before);
  ratio.observe(2, 10, 10);  // Too short to say anything.
  EXPECT_EQ(ratio.tokens(2, 1000), before);
}

}  // namespace
}  // namespace om::scheduler
