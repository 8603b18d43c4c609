#include "model/json_text.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <limits>

namespace om::model {
namespace {

TEST(JsonText, WritesNumbersAsGoDoes) {
  EXPECT_EQ(write_number(0.8), "0.8");
  EXPECT_EQ(write_number(1), "1");
  EXPECT_EQ(write_number(-0.5), "-0.5");
  EXPECT_EQ(write_number(1e6), "1000000");
  EXPECT_EQ(write_number(1e20), "100000000000000000000");
  EXPECT_EQ(write_number(1e21), "1e+21");
  EXPECT_EQ(write_number(1e-5), "0.00001");
  EXPECT_EQ(write_number(1.5e-7), "1.5e-7");
  EXPECT_EQ(write_number(1.5e-17), "1.5e-17");
  EXPECT_EQ(write_number(std::numeric_limits<double>::infinity()), "null");
}

TEST(JsonText, EscapesWhatGoEscapesAndMendsBrokenUtf8) {
  EXPECT_EQ(write_json("<a> & \"b\"\n\x01"), "\"\\u003ca\\u003e \\u0026 \\\"b\\\"\\n\\u0001\"");
  EXPECT_EQ(write_json("\xC3\xA9\xE2\x80\xA8\xF0\x9F\x99\x82"),
            "\"\xC3\xA9\\u2028\xF0\x9F\x99\x82\"");
  EXPECT_EQ(write_json("a\xFF\xC3"), "\"a\\ufffd\\ufffd\"");
  EXPECT_EQ(write_json("\xED\xA0\x80"), "\"\\ufffd\\ufffd\\ufffd\"");
}

TEST(JsonText, KeepsTheOrderOfKeys) {
  auto value = boost::json::parse(R"({"z":1,"a":[true,null,{}],"m":[]})");
  EXPECT_EQ(write_json(value), R"({"z":1,"a":[true,null,{}],"m":[]})");
}

RC_GTEST_PROP(JsonTextProperty, NumbersComeBackAsTheyWere, (double number)) {
  RC_ASSERT(std::stod(write_number(number)) == number);
}

RC_GTEST_PROP(JsonTextProperty, AnyBytesGiveParsableJson, (const std::string& text)) {
  std::string json;
  write_json_string(json, text);
  RC_ASSERT(boost::json::parse(json).is_string());
}

}  // namespace
}  // namespace om::model
