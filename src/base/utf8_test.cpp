#include "base/utf8.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <string>

namespace om {
namespace {

TEST(Utf8, AcceptsEveryLengthAndTheEdges) {
  for (const char32_t code :
       {0x1, 0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x10FFFF}) {
    std::string text;
    utf8_append(text, code);
    EXPECT_TRUE(utf8_valid(text)) << static_cast<uint32_t>(code);
    EXPECT_EQ(utf8_front(text).code, code);
    EXPECT_EQ(utf8_front(text).length, text.size());
  }
}

TEST(Utf8, RefusesOverlongFormsSurrogatesAndStrayBytes) {
  for (const std::string text :
       {"\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\x80", "a\xFF", "\xE2\x82"}) {
    EXPECT_FALSE(utf8_valid(text));
  }
}

TEST(Utf8, TailIsIncompleteOnlyIfMoreBytesCouldMendIt) {
  EXPECT_EQ(utf8_incomplete_tail("abc"), 0u);
  EXPECT_EQ(utf8_incomplete_tail("a\xC3"), 1u);
  EXPECT_EQ(utf8_incomplete_tail("a\xE2\x82"), 2u);
  EXPECT_EQ(utf8_incomplete_tail("a\xF0\x9F\x98"), 3u);
  EXPECT_EQ(utf8_incomplete_tail("a\xF0\x9F\x98\x80"), 0u);
  EXPECT_EQ(utf8_incomplete_tail("a\xED\xA0"), 0u);  // The start of a surrogate.
  EXPECT_EQ(utf8_incomplete_tail("\x80\x80\x80"), 0u);
  EXPECT_EQ(utf8_incomplete_tail(""), 0u);
}

TEST(Utf8, RepairReplacesEachBrokenPieceOnce) {
  EXPECT_EQ(utf8_repaired("a\xE2\x82z\xFF\xFE"), "a\xEF\xBF\xBDz\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(utf8_repaired("gr\xC3\xBC\xC3\x9F"), "gr\xC3\xBC\xC3\x9F");
}

RC_GTEST_PROP(Utf8, RepairedTextIsValidAndKeepsValidText, (const std::string& bytes)) {
  const auto repaired = utf8_repaired(bytes);
  RC_ASSERT(utf8_valid(repaired));
  if (utf8_valid(bytes)) RC_ASSERT(repaired == bytes);
}

RC_GTEST_PROP(Utf8, CuttingValidTextAnywhereLeavesExactlyAnIncompleteTail, ()) {
  const auto codes = *rc::gen::container<std::u32string>(
      rc::gen::map(rc::gen::inRange<uint32_t>(0, 0x110000),
                   [](uint32_t code) { return static_cast<char32_t>(code); }));
  std::string text;
  for (const char32_t code : codes) utf8_append(text, code);
  RC_ASSERT(utf8_valid(text));
  const auto cut = *rc::gen::inRange<size_t>(0, text.size() + 1);
  const auto prefix = utf8_prefix(text, cut);
  RC_ASSERT(utf8_valid(prefix));
  RC_ASSERT(prefix.size() <= cut);
  RC_ASSERT(cut - prefix.size() < 4u);
  RC_ASSERT(prefix.size() + utf8_incomplete_tail(std::string_view(text).substr(0, cut)) == cut);
}

}  // namespace
}  // namespace om
