#include "prompt/stop_matcher.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace om::prompt {
namespace {

struct Outcome {
  std::string text;
  std::string stop;
  bool operator==(const Outcome&) const = default;
};

Outcome run(const std::vector<std::string>& stops, std::string_view text, size_t slice) {
  StopMatcher matcher(stops);
  Outcome outcome;
  for (size_t at = 0; at < text.size(); at += slice) {
    auto output = matcher.feed(text.substr(at, slice));
    outcome.text += output.text;
    if (output.stop) {
      outcome.stop = *output.stop;
      return outcome;
    }
  }
  outcome.text += matcher.finish();
  return outcome;
}

TEST(StopMatcher, FindsAStopStringOverASeam) {
  StopMatcher matcher({"END"});
  EXPECT_EQ(matcher.feed("abcE").text, "abc");
  EXPECT_EQ(matcher.held_bytes(), 1u);
  EXPECT_EQ(matcher.feed("N").text, "");
  auto last = matcher.feed("D tail");
  EXPECT_EQ(last.text, "");
  EXPECT_EQ(last.stop, "END");
  EXPECT_EQ(matcher.feed("more").text, "");
}

TEST(StopMatcher, GivesBackWhatNeverBecameAStopString) {
  StopMatcher matcher({"\n\nUser:"});
  EXPECT_EQ(matcher.feed("a\n\nUs").text, "a");
  EXPECT_EQ(matcher.feed("age").text, "\n\nUsage");
  EXPECT_EQ(matcher.feed("\n").text, "");
  EXPECT_EQ(matcher.finish(), "\n");
}

TEST(StopMatcher, TheStopStringThatIsCompleteFirstWins) {
  EXPECT_EQ(run({"abcd", "bc"}, "xabcd", 5), (Outcome{"xa", "bc"}));
  EXPECT_EQ(run({"c", "abc"}, "xabc", 1), (Outcome{"x", "abc"}));
}

TEST(StopMatcher, HoldsBackHalfACharacter) {
  StopMatcher matcher;
  EXPECT_EQ(matcher.feed("\xE2\x82").text, "");
  EXPECT_EQ(matcher.feed("\xAC!").text, "\xE2\x82\xAC!");
  EXPECT_EQ(matcher.feed("\xF0\x9F").text, "");
  EXPECT_EQ(matcher.finish(), "\uFFFD");
}

TEST(StopMatcher, IgnoresStopStringsThatCannotBeMeant) {
  EXPECT_EQ(run({"", std::string(2000, 'x')}, "plain", 2), (Outcome{"plain", ""}));
}

RC_GTEST_PROP(StopMatcher, DoesNotDependOnHowTheTextIsSliced, ()) {
  auto letter = rc::gen::elementOf(std::string("ab\n"));
  auto text = *rc::gen::container<std::string>(letter);
  auto stops = *rc::gen::container<std::vector<std::string>>(
      rc::gen::nonEmpty(rc::gen::container<std::string>(letter)));
  auto whole = run(stops, text, text.size() + 1);
  for (size_t slice = 1; slice <= 7; ++slice) RC_ASSERT(run(stops, text, slice) == whole);
  if (!whole.stop.empty()) RC_ASSERT(text.starts_with(whole.text + whole.stop));
}

}  // namespace
}  // namespace om::prompt
