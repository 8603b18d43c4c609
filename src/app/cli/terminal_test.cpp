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

TEST(HumanTime, IsForeverWhereNobodyWaitsForIt) {
  const auto years_ahead = [](int years) {
    const io::WallTime now{std::chrono::seconds(1'800'000'000)};
    return human_time(now + std::chrono::hours(years * 365 * 24), now);
  };
  EXPECT_EQ(years_ahead(3), "3 years from now");
  EXPECT_EQ(years_ahead(100), "Forever");  // As `keep_alive: -1` is told.
}

}  // namespace
}  // namespace om::app
