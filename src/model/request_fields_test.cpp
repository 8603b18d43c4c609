#include "model/request_fields.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace om::model {
namespace {

using namespace std::chrono_literals;
using boost::json::parse;

TEST(KeepAlive, TakesDurationsAndSeconds) {
  EXPECT_FALSE(parse_keep_alive(nullptr)->duration);
  EXPECT_EQ(parse_keep_alive("10m")->duration, 600s);
  EXPECT_EQ(parse_keep_alive(0)->duration, 0s);
  EXPECT_EQ(parse_keep_alive(90)->duration, 90s);
  EXPECT_EQ(parse_keep_alive(1.9)->duration, 1900ms);
  EXPECT_EQ(parse_keep_alive(0.5)->duration, 500ms);  // None of them means "unload".
  EXPECT_EQ(parse_keep_alive(-1)->duration, kForever);
  EXPECT_EQ(parse_keep_alive(-0.5)->duration, kForever);
  EXPECT_EQ(parse_keep_alive("-1s")->duration, kForever);
  EXPECT_EQ(parse_keep_alive(1e300)->duration, kForever);
  EXPECT_EQ(parse_keep_alive("300")->duration, 300s);  // Clients' settings are texts.
  EXPECT_EQ(parse_keep_alive("-1")->duration, kForever);
  EXPECT_FALSE(parse_keep_alive("")->duration);
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

RC_GTEST_PROP(KeepAliveProperty, NeverNegativeWhateverTheText, (const std::string& text)) {
  auto parsed = parse_keep_alive(boost::json::value(text));
  if (parsed)
    RC_ASSERT(parsed->duration.value_or(0s) >= 0s);  // RC_ASSERT evaluates both sides of ||.
}

}  // namespace
}  // namespace om::model
