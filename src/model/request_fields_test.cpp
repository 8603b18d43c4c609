#include "model/request_fields.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace om::model {
namespace {

using namespace std::chrono_literals;
using boost::json::parse;

TEST(GoDuration, ReadsWhatGoReads) {
  EXPECT_EQ(parse_go_duration("5m"), 300s);
  EXPECT_EQ(parse_go_duration("1h15m30.918273645s"), 4530918273645ns);
  EXPECT_EQ(parse_go_duration("-1.5h"), -5400s);
  EXPECT_EQ(parse_go_duration("+.5s"), 500ms);
  EXPECT_EQ(parse_go_duration("1.s"), 1s);
  EXPECT_EQ(parse_go_duration("0"), 0s);
  EXPECT_EQ(parse_go_duration("0.1s"), 100ms);
  EXPECT_EQ(parse_go_duration("3\xC2\xB5s"), 3us);
  EXPECT_EQ(parse_go_duration("9223372036854775807ns"), std::chrono::nanoseconds::max());
  EXPECT_EQ(parse_go_duration("-9223372036854775808ns"), std::chrono::nanoseconds::min());
}

TEST(GoDuration, RefusesInGosWords) {
  EXPECT_EQ(parse_go_duration("bogus").error().what, "time: invalid duration \"bogus\"");
  EXPECT_EQ(parse_go_duration("").error().what, "time: invalid duration \"\"");
  EXPECT_EQ(parse_go_duration("-").error().what, "time: invalid duration \"-\"");
  EXPECT_EQ(parse_go_duration(".s").error().what, "time: invalid duration \".s\"");
  EXPECT_EQ(parse_go_duration("5").error().what, "time: missing unit in duration \"5\"");
  EXPECT_EQ(parse_go_duration("1d").error().what, "time: unknown unit \"d\" in duration \"1d\"");
  EXPECT_FALSE(parse_go_duration("9223372036854775808ns"));
  EXPECT_FALSE(parse_go_duration("2562048h"));
  EXPECT_FALSE(parse_go_duration("99999999999999999999h"));
}

TEST(KeepAlive, TakesDurationsAndSeconds) {
  EXPECT_FALSE(parse_keep_alive(nullptr)->duration);
  EXPECT_EQ(parse_keep_alive("10m")->duration, 600s);
  EXPECT_EQ(parse_keep_alive(0)->duration, 0s);
  EXPECT_EQ(parse_keep_alive(90)->duration, 90s);
  EXPECT_EQ(parse_keep_alive(1.9)->duration, 1s);
  EXPECT_EQ(parse_keep_alive(-1)->duration, kForever);
  EXPECT_EQ(parse_keep_alive("-1s")->duration, kForever);
  EXPECT_EQ(parse_keep_alive(1e300)->duration, kForever);
  EXPECT_EQ(parse_keep_alive_text("60"), 60s);
  EXPECT_EQ(parse_keep_alive_text("-1"), kForever);
  EXPECT_EQ(parse_keep_alive_text("1h"), 3600s);
}

TEST(KeepAlive, RefusesInOllamasWords) {
  EXPECT_EQ(parse_keep_alive("bogus").error().what, "time: invalid duration \"bogus\"");
  EXPECT_EQ(parse_keep_alive(true).error().what, "Unsupported type: 'bool'");
  EXPECT_EQ(parse_keep_alive(parse("{}")).error().what,
            "Unsupported type: 'map[string]interface {}'");
}

TEST(Think, TakesBooleansAndLevels) {
  EXPECT_FALSE(parse_think(nullptr)->is_set);
  EXPECT_TRUE(parse_think(true)->enabled);
  EXPECT_TRUE(parse_think(false)->is_set);
  EXPECT_FALSE(parse_think(false)->enabled);
  EXPECT_EQ(parse_think("max")->level, "max");
  EXPECT_TRUE(parse_think("low")->enabled);
  EXPECT_EQ(parse_think("x").error().what,
            "invalid think value: \"x\" (must be \"high\", \"medium\", \"low\", \"max\", true, or "
            "false)");
  EXPECT_TRUE(parse_think(1).error().what.starts_with("think must be a boolean or string ("));
}

TEST(Format, TakesJsonOrASchema) {
  EXPECT_EQ(parse_format(nullptr)->kind, Format::Kind::none);
  EXPECT_EQ(parse_format("")->kind, Format::Kind::none);
  EXPECT_EQ(parse_format("json")->kind, Format::Kind::json);
  auto schema = parse_format(parse(R"({"type":"object","a":{"b":1}})"));
  EXPECT_EQ(schema->kind, Format::Kind::schema);
  EXPECT_EQ(schema->schema, R"({"type":"object","a":{"b":1}})");
  EXPECT_EQ(parse_format("xml").error().what,
            R"(invalid format: "\"xml\""; expected "json" or a valid JSON Schema object)");
  EXPECT_FALSE(parse_format(1));
  EXPECT_FALSE(parse_format(parse("[]")));
}

RC_GTEST_PROP(GoDurationProperty, WholeNanosecondsComeBack, (int64_t number)) {
  auto parsed = parse_go_duration(fmt::format("{}ns", number));
  RC_ASSERT(parsed.has_value());
  RC_ASSERT(parsed->count() == number);
}

RC_GTEST_PROP(GoDurationProperty, AnyBytesGiveADurationOrAnError, (const std::string& text)) {
  auto parsed = parse_go_duration(text);
  RC_ASSERT(parsed.has_value() || parsed.error().what.starts_with("time: "));
}

}  // namespace
}  // namespace om::model
