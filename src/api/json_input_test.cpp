#include "api/json_input.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "api/json_output.h"

namespace om::api {
namespace {

TEST(ParseJson, TakesTheFirstValueAndIgnoresTheRest) {
  for (const char* text :
       {R"({"a":1})", R"( {"a":1}  )", R"({"a":1} x)", R"({"a":1}{"b":2})", R"({"a":1}])"}) {
    const auto value = parse_json(text);
    ASSERT_TRUE(value) << text << ": " << value.error().what;
    EXPECT_EQ(value->at("a"), 1) << text;
  }
  EXPECT_EQ(*parse_json("12"), 12);
}

TEST(ParseJson, SaysWhatIsWrongAsGoDoes) {
  EXPECT_EQ(parse_json("").error().what, "missing request body");
  for (const char* cut : {"{", R"({"a)", R"({"a":)", R"({"a":1,)", "[1", "tru", "\"abc"}) {
    EXPECT_EQ(parse_json(cut).error().what, "unexpected EOF") << cut;
  }
  EXPECT_TRUE(parse_json("hello").error().what.starts_with(
      "invalid character 'h' looking for beginning of value"));
  EXPECT_TRUE(parse_json(R"({"a":})").error().what.starts_with("invalid character '}'"));
}

TEST(ParseJson, ReplacesHalvesOfSurrogatePairs) {
  const auto text = [](std::string_view escaped) {
    const auto value = parse_json(fmt::format(R"({{"a":"{}"}})", escaped));
    return value ? std::string(value->at("a").as_string()) : value.error().what;
  };
  EXPECT_EQ(text(R"(\ud83d\ude00)"), "\U0001F600");
  EXPECT_EQ(text(R"(\ud83d)"), "\uFFFD");
  EXPECT_EQ(text(R"(\ude00.)"), "\uFFFD.");
  EXPECT_EQ(text(R"(a\ud83d\u0041\uD83D\uDE00\ud83d\ud83d\ude00)"),
            "a\uFFFDA\U0001F600\uFFFD\U0001F600");
  EXPECT_EQ(text(R"(\\ud83d\ude00)"), "\\ud83d\uFFFD");  // A backslash, and a half.
  EXPECT_EQ(text(R"(\ud83d\n)"), "\uFFFD\n");
  EXPECT_EQ(text(R"(\ud83d\ude0)").substr(0, 17), "invalid character");
  EXPECT_EQ(parse_json(R"(["\ud83d)").error().what, "unexpected EOF");
}

TEST(ParseJson, RepairsBytesThatAreNoUtf8WhereverTheyStand) {
  const auto value =
      parse_json("{\"a\xff\":[\"gr\xc3\xbc\xe2\x82\",{\"b\":\"\xff\\ud83d\"}]} \xff");
  ASSERT_TRUE(value) << value.error().what;
  EXPECT_EQ(boost::json::serialize(*value),
            "{\"a\uFFFD\":[\"gr\u00FC\uFFFD\",{\"b\":\"\uFFFD\uFFFD\"}]}");
  EXPECT_FALSE(parse_json("\xff\xfe"));
}

TEST(ParseJson, RefusesNumbersThatNoDoubleHolds) {
  for (const char* text : {"1e400", "-1e400", "[1e400]", R"({"a":[{"b":1e309}]})"}) {
    const auto value = parse_json(text);
    ASSERT_FALSE(value) << text;
    EXPECT_EQ(value.error().code, Errc::invalid_argument);
    EXPECT_THAT(value.error().what, ::testing::HasSubstr("too large"));
  }
  EXPECT_TRUE(parse_json("[1e308,1e-400,123456789012345678901234567890]"));
}

TEST(ParseJson, RefusesToNestTooDeep) {
  const std::string deep = std::string(65, '[') + std::string(65, ']');
  EXPECT_EQ(parse_json(deep).error().what, "exceeded max depth of 64");
  EXPECT_TRUE(parse_json(std::string(64, '[') + std::string(64, ']')));
}

TEST(ObjectReader, MatchesKeysInAnyCaseAndLeavesOutNulls) {
  const auto value = parse_json(R"({"MODEL":"a","Model":"b","top":null,"other":[]})");
  ObjectReader reader("Request", *value);
  std::string model;
  int top = 7;
  reader.read("model", model);
  reader.read("top", top);
  EXPECT_TRUE(reader.done());
  EXPECT_EQ(model, "b");
  EXPECT_EQ(top, 7);
}

TEST(ObjectReader, TellsTheFirstWrongTypeOnly) {
  const auto value = parse_json(R"({"a":1.5,"b":true})");
  ObjectReader reader("Request", *value);
  int a = 0;
  std::string b;
  reader.read("a", a);
  reader.read("b", b);
  EXPECT_EQ(reader.done().error().what,
            "json: cannot unmarshal number 1.5 into Go struct field Request.a of type int");
}

RC_GTEST_PROP(JsonWriter, WritesTextsThatParseBack, (const std::string& name, int64_t number)) {
  std::string text;
  std::string ascii = name;
  for (char& c : ascii) c = static_cast<char>(c & 0x7F);
  JsonWriter writer(text);
  writer.begin_object().member("text", std::string_view(ascii)).member("number", number);
  writer.key("list").begin_array().value(true).null().end_array().end_object();
  const auto value = parse_json(text);
  RC_ASSERT(value.has_value());
  RC_ASSERT(std::string(value->at("text").as_string()) == ascii);
  RC_ASSERT(value->at("number").to_number<int64_t>() == number);
}

TEST(FormatTime, HasAsManyDigitsAsNeeded) {
  const io::WallTime whole{std::chrono::seconds(1'700'000'000)};
  EXPECT_EQ(format_time(whole), "2023-11-14T22:13:20Z");
  EXPECT_EQ(format_time(whole + std::chrono::milliseconds(120)), "2023-11-14T22:13:20.12Z");
}

}  // namespace
}  // namespace om::api
