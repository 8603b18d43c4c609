#include "base/strings.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <array>
#include <cstdint>

namespace om {
namespace {

using Views = std::vector<std::string_view>;

TEST(Strings, TrimTakesBlanksFromBothEndsOnly) {
  EXPECT_EQ(trim(" \t a b \r\n"), "a b");
  EXPECT_EQ(trim(" \n "), "");
  EXPECT_EQ(trim(""), "");
}

TEST(Strings, SplitKeepsEmptyPieces) {
  EXPECT_EQ(split("a,,b,", ','), (Views{"a", "", "b", ""}));
  EXPECT_EQ(split("", ','), (Views{""}));
  EXPECT_EQ(split_words("  a  b\tc "), (Views{"a", "b", "c"}));
  EXPECT_EQ(split_words("  "), (Views{}));
}

TEST(Strings, SplitOnceStopsAtTheFirstSeparator) {
  const auto pair = split_once("a: b: c", ": ");
  ASSERT_TRUE(pair);
  EXPECT_EQ(pair->first, "a");
  EXPECT_EQ(pair->second, "b: c");
  EXPECT_FALSE(split_once("abc", ":"));
}

RC_GTEST_PROP(Strings, JoinUndoesSplit, (const std::string& text)) {
  std::vector<std::string> pieces;
  for (const auto piece : split(text, 'a')) pieces.emplace_back(piece);
  RC_ASSERT(join(pieces, "a") == text);
}

TEST(Strings, CaseIsIgnoredForAsciiOnly) {
  EXPECT_TRUE(iequals("Content-Type", "content-TYPE"));
  EXPECT_FALSE(iequals("a", "ab"));
  EXPECT_TRUE(istarts_with("Bearer x", "bearer "));
  EXPECT_FALSE(istarts_with("Bear", "bearer "));
  EXPECT_EQ(to_lower("\xC3\x84Z"), "\xC3\x84z");
}

TEST(Strings, HexDigitsOfBothCasesHaveAValue) {
  for (const char c : std::string_view("09afAF")) {
    EXPECT_EQ(hex_value(c), std::stoi(std::string(1, c), nullptr, 16)) << c;
  }
  for (const char c : std::string_view("/:`g@G\xC3")) EXPECT_EQ(hex_value(c), -1) << c;
}

TEST(Strings, ReplaceAllDoesNotLookAtWhatItWrote) {
  EXPECT_EQ(replace_all("aXaX", "X", "XX"), "aXXaXX");
  EXPECT_EQ(replace_all("abc", "", "x"), "abc");
}

TEST(Strings, NumbersMustBeTheWholeText) {
  EXPECT_EQ(parse_number<int>("-12"), -12);
  EXPECT_EQ(parse_number<double>("0.5"), 0.5);
  for (const auto* text : {"", " 1", "1 ", "1x", "+1"})
    EXPECT_FALSE(parse_number<int>(text)) << text;
  EXPECT_FALSE(parse_number<uint8_t>("256"));
  EXPECT_FALSE(parse_number<unsigned>("-1"));
}

TEST(Strings, EditDistanceCountsChangesUpToTheLimit) {
  EXPECT_EQ(edit_distance("kitten", "sitting", 5), 3u);
  EXPECT_EQ(edit_distance("kitten", "sitting", 2), 3u);
  EXPECT_EQ(edit_distance("kitten", "sitting", 1), 2u);
  EXPECT_EQ(edit_distance("", "abc", 9), 3u);
}

RC_GTEST_PROP(Strings, EditDistanceIsAMetric, ()) {
  const auto word = rc::gen::container<std::string>(rc::gen::element('a', 'b', 'c'));
  const auto a = *word, b = *word, c = *word;
  RC_ASSERT((edit_distance(a, b, 200) == 0) == (a == b));
  RC_ASSERT(edit_distance(a, b, 200) == edit_distance(b, a, 200));
  RC_ASSERT(edit_distance(a, c, 200) <= edit_distance(a, b, 200) + edit_distance(b, c, 200));
}

TEST(Strings, NearestWordFindsASlipOfTheHandAndNothingFarAway) {
  constexpr std::array<std::string_view, 4> kWords = {"temperature", "top_k", "top_p", "num_ctx"};
  EXPECT_EQ(nearest_word("temprature", kWords), "temperature");
  EXPECT_EQ(nearest_word("TOP_P", kWords), "top_p");
  EXPECT_EQ(nearest_word("banana", kWords), "");
  EXPECT_EQ(nearest_word("", kWords), "");
}

}  // namespace
}  // namespace om
