#include "base/duration.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace om {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

TEST(Duration, ReadsWhatGoReads) {
  EXPECT_EQ(*parse_duration("5m"), 5min);
  EXPECT_EQ(*parse_duration("1h30m"), 90min);
  EXPECT_EQ(*parse_duration("-1.5s"), -1500ms);
  EXPECT_EQ(*parse_duration("+.5ms"), 500us);
  EXPECT_EQ(*parse_duration("1\xC2\xB5s1us1\xCE\xBCs1ns"), 3001ns);
  EXPECT_EQ(*parse_duration("0"), 0s);
  EXPECT_EQ(*parse_duration("-9223372036854775808ns"), nanoseconds::min());
  EXPECT_EQ(*parse_duration("0.100000000000000000000h"), 6min);
}

TEST(Duration, RefusesWithGosWords) {
  const auto error = [](std::string_view text) { return parse_duration(text).error().what; };
  EXPECT_EQ(error("bogus"), "time: invalid duration \"bogus\"");
  EXPECT_EQ(error(""), "time: invalid duration \"\"");
  EXPECT_EQ(error("-1"), "time: missing unit in duration \"-1\"");
  EXPECT_EQ(error("3 days"), "time: unknown unit \" days\" in duration \"3 days\"");
  EXPECT_EQ(error("1\"\xC3\xA9"),
            "time: unknown unit \"\\\"\\xc3\\xa9\" in duration \"1\\\"\\xc3\\xa9\"");
  EXPECT_EQ(error("9223372036854775808ns"), "time: invalid duration \"9223372036854775808ns\"");
  EXPECT_EQ(error("."), "time: invalid duration \".\"");
}

TEST(Duration, BareNumbersAreSecondsWhereAllowed) {
  EXPECT_EQ(*parse_duration_or_seconds("-1"), -1s);
  EXPECT_EQ(*parse_duration_or_seconds("300"), 5min);
  EXPECT_EQ(*parse_duration_or_seconds("1h"), 1h);
  EXPECT_EQ(*parse_duration_or_seconds("9223372036854775807"), nanoseconds::max());
  EXPECT_EQ(parse_duration_or_seconds("x").error().code, Errc::invalid_argument);
}

TEST(Duration, PrintsAsGoPrints) {
  EXPECT_EQ(format_duration(90min), "1h30m0s");
  EXPECT_EQ(format_duration(1500ms), "1.5s");
  EXPECT_EQ(format_duration(12ms), "12ms");
  EXPECT_EQ(format_duration(1500ns), "1.5\xC2\xB5s");
  EXPECT_EQ(format_duration(0s), "0s");
  EXPECT_EQ(format_duration(-61s), "-1m1s");
  EXPECT_EQ(format_duration(nanoseconds::min()), "-2562047h47m16.854775808s");
}

RC_GTEST_PROP(Duration, PrintedDurationsAreReadBackExactly, (int64_t count)) {
  const nanoseconds duration{count};
  RC_ASSERT(*parse_duration(format_duration(duration)) == duration);
}

TEST(Size, PrintsAsOllamaDoes) {
  EXPECT_EQ(format_size(0), "0 B");
  EXPECT_EQ(format_size(999), "999 B");
  EXPECT_EQ(format_size(1000), "1 KB");
  EXPECT_EQ(format_size(1300000000), "1.3 GB");
  EXPECT_EQ(format_size(253000000), "253 MB");
  EXPECT_EQ(format_size(9'990'000), "10.0 MB");
  EXPECT_EQ(format_size(12'990'000), "12 MB");
  EXPECT_EQ(format_count(134515008), "134.52M");
  EXPECT_EQ(format_count(8'030'261'312), "8.0B");
  EXPECT_EQ(format_count(8'000'000'000), "8B");
  EXPECT_EQ(format_count(12'345), "12K");
  EXPECT_EQ(format_count(7), "7");
}

}  // namespace
}  // namespace om
