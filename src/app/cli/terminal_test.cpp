#include "app/cli/terminal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace om::app {
namespace {

// The lines that are seen in the end.
std::string wrapped(int width, std::string_view text) {
  use_utf8();
  WordWrap wrap(width);
  std::string out = wrap.push(text);
  // Where a begun word moves: so many columns back, and the rest of the line away.
  constexpr std::string_view kBegin = "\033[", kEnd = "D\033[K";
  for (size_t at = out.find(kBegin); at != std::string::npos; at = out.find(kBegin)) {
    const size_t end = out.find(kEnd);
    const size_t columns = std::stoul(out.substr(at + kBegin.size(), end - at - kBegin.size()));
    out.erase(at - columns, end + kEnd.size() - (at - columns));
  }
  return out;
}

TEST(WordWrap, MovesAWordThatDoesNotFit) {
  EXPECT_EQ(wrapped(10, "one two three"), "one two \nthree");
  EXPECT_EQ(wrapped(6, "abcdefgh"), "abcde\nfgh") << "a word that no line can hold";
  EXPECT_EQ(wrapped(0, "one two three"), "one two three");
}

TEST(WordWrap, BreaksBetweenWideCharacters) {
  EXPECT_EQ(wrapped(10, "1. 人工智能是"), "1. 人工智\n能是");
  EXPECT_EQ(wrapped(8, "人工智能是好"), "人工智\n能是好");
}

}  // namespace
}  // namespace om::app
