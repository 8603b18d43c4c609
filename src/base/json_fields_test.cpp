#include "base/json_fields.h"

#include <gtest/gtest.h>

namespace om {
namespace {

namespace json = boost::json;

TEST(JsonFields, ReadsWhatIsThere) {
  const json::value value = json::parse(
      R"({"text":"a","yes":true,"number":-3,"half":0.5,"list":["a",1,"b"],"object":{"in":1}})");
  const JsonFields fields(value.get_object());
  EXPECT_EQ(fields.text("text"), "a");
  bool yes = false;
  fields.read("yes", yes);
  EXPECT_TRUE(yes);
  int number = 0;
  fields.read("number", number);
  EXPECT_EQ(number, -3);
  double half = 0;
  fields.read("half", half);
  EXPECT_EQ(half, 0.5);
  fields.read("number", half);
  EXPECT_EQ(half, -3);
  std::optional<uint64_t> in;
  JsonFields(*fields.object("object")).read("in", in);
  EXPECT_EQ(in, 1u);
  EXPECT_EQ(fields.array("list")->size(), 3u);
  EXPECT_EQ(fields.texts("list"), (std::vector<std::string>{"a", "b"}));
}

TEST(JsonFields, LeaveTheDefaultOfWhatIsAbsentOrMistyped) {
  const json::value value =
      json::parse(R"({"text":1,"yes":"true","number":"3","nothing":null,"list":{},"object":[]})");
  const JsonFields fields(value.get_object());
  for (const char* name : {"text", "yes", "number", "nothing", "list", "object", "absent"}) {
    SCOPED_TRACE(name);
    bool yes = true;
    fields.read(name, yes);
    EXPECT_TRUE(yes);
    std::optional<bool> maybe;
    fields.read(name, maybe);
    EXPECT_FALSE(maybe);
    EXPECT_TRUE(fields.texts(name).empty());
  }
  for (const char* name : {"yes", "number", "nothing", "absent"}) {
    SCOPED_TRACE(name);
    int number = 7;
    fields.read(name, number);
    EXPECT_EQ(number, 7);
    std::optional<int64_t> maybe;
    fields.read(name, maybe);
    EXPECT_FALSE(maybe);
  }
  EXPECT_EQ(fields.text("text"), "");
  EXPECT_EQ(fields.array("list"), nullptr);
  EXPECT_EQ(fields.object("object"), nullptr);
}

// Found by fuzzing: a weight of 8e856 came out as infinite, and could not be sent on.
TEST(JsonFields, TakeNoNumberThatDoesNotFit) {
  const json::value value = json::parse(
      R"({"huge":8190001523815098E841,"minus":-1e999,"long":18446744073709551615,"part":1.5})");
  const JsonFields fields(value.get_object());
  for (const char* name : {"huge", "minus"}) {
    double number = 7;
    fields.read(name, number);
    EXPECT_EQ(number, 7) << name;
  }
  for (const char* name : {"huge", "minus", "long", "part"}) {
    int number = 7;
    fields.read(name, number);
    EXPECT_EQ(number, 7) << name;
  }
  uint64_t all = 0;
  fields.read("long", all);
  EXPECT_EQ(all, UINT64_MAX);
}

}  // namespace
}  // namespace om
