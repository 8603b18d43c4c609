#include "prompt/member_budget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "prompt/llama_chat.h"
#include "prompt/schema_limits.h"
#include "prompt/template_files_for_test.h"

namespace om::prompt {
namespace {

namespace json = boost::json;
using ::testing::HasSubstr;

std::string object_of(size_t members, std::string_view value = "0") {
  std::string text = "{";
  for (size_t i = 0; i < members; ++i) {
    text += fmt::format("{}\"k{}\":{}", i == 0 ? "" : ",", i, value);
  }
  return text + "}";
}

bool takes(std::string_view text) { return MemberBudget().add_text(text).has_value(); }

TEST(MemberBudget, IsOfOneObjectOrOfSeveralTogether) {
  EXPECT_TRUE(takes(object_of(kMembersMax)));
  const auto refused = MemberBudget().add_text(object_of(kMembersMax + 1));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::invalid_argument);
  EXPECT_THAT(refused.error().what, HasSubstr("one may have 5000"));
  EXPECT_TRUE(takes(object_of(100, object_of(100))));
  EXPECT_FALSE(takes(object_of(10, object_of(2'000))));
  MemberBudget budget;
  EXPECT_TRUE(budget.add_text(object_of(4'000)));
  EXPECT_FALSE(budget.add_text(object_of(4'000)));
}

TEST(MemberBudget, CountsMembersAndNothingElse) {
  std::string list = "[0";
  for (int i = 0; i < 20'000; ++i) list += "," + object_of(50);  // As calls have.
  EXPECT_TRUE(takes(list + "]"));
  EXPECT_TRUE(takes("{\"a\":\"\\\"" + std::string(20'000, ':') + "\"}"));
  std::string same = "{\"a\":1";
  for (int i = 0; i < 6'000; ++i) same += ",\"a\":1";
  EXPECT_FALSE(takes(same + "}"));
  EXPECT_FALSE(takes(same));  // Cut off: read as far as it goes.
}

TEST(MemberBudget, IsASchemasToo) {
  const json::value wide = json::parse(object_of(kMembersMax + 1));
  const auto checked = check_schema({{"type", "object"}, {"x-unknown", wide}});
  ASSERT_FALSE(checked);
  EXPECT_THAT(checked.error().what, HasSubstr("one may have 5000"));
}

TEST(MemberBudget, HasABoundOfLevelsToo) {
  const auto nested = [](size_t levels) {
    return std::string(levels, '[') + std::string(levels, ']');
  };
  EXPECT_TRUE(takes(nested(kLevelsMax)));
  EXPECT_FALSE(takes(nested(kLevelsMax + 1)));
}

std::string error_of(const ChatInput& input) {
  const auto compiled = llama::compile(test_data("hermes_thinking.jinja"), "", "");
  EXPECT_TRUE(compiled);
  const auto applied = (*compiled)->apply(input);
  return applied ? "" : applied.error().what;
}

// Half a million members took minutes, in which the node did nothing else.
TEST(MemberBudget, KeepsToolsAndCallsFromTheLibraryThatItWouldReadForMinutes) {
  const std::clock_t start = std::clock();
  ChatInput input;
  input.messages.push_back({.role = "user", .content = "a"});
  json::object function = {{"name", "f"}, {"x", json::parse(object_of(500'000))}};
  input.tools.push_back({{"type", "function"}, {"function", std::move(function)}});
  EXPECT_THAT(error_of(input), HasSubstr("one may have 5000"));
  input.tools = {json::parse(R"({"type":"function","function":{"name":"f"}})")};
  EXPECT_EQ(error_of(input), "");
  input.messages.push_back({.role = "assistant"});
  input.messages.back().tool_calls.push_back({"1", "f", object_of(500'000)});
  input.messages.push_back({.role = "tool", .content = "b"});
  EXPECT_THAT(error_of(input), HasSubstr("one may have 5000"));
  EXPECT_LT(std::clock() - start, 30 * CLOCKS_PER_SEC);
}

// For this template the library reads results as JSON, whatever their size and depth.
TEST(MemberBudget, KeepsResultsFromTheLibraryThatItWouldReadForMinutes) {
  const auto templates = llama_templates();
  const auto text = templates.find("google-gemma-4-31B-it-interleaved.jinja");
  ASSERT_NE(text, templates.end());
  const auto compiled = llama::compile(text->second, "", "");
  ASSERT_TRUE(compiled);
  const auto told = [&](const std::string& result) {
    ChatInput input;
    input.messages.push_back({.role = "user", .content = "a"});
    input.messages.push_back({.role = "assistant"});
    input.messages.back().tool_calls.push_back({"1", "f", "{}"});
    input.messages.push_back({.role = "tool", .content = result, .tool_call_id = "1"});
    const auto applied = (*compiled)->apply(input);
    return applied ? applied->prompt : applied.error().what;
  };
  const std::clock_t start = std::clock();
  EXPECT_THAT(told(object_of(2)), HasSubstr("{k0:0,k1:0}"));
  const std::string large = object_of(500'000), deep(500'000, '[');
  EXPECT_THAT(told(large), HasSubstr("JSON: " + large));
  EXPECT_THAT(told("\n" + deep + std::string(deep.size(), ']')), HasSubstr("JSON: \n" + deep));
  EXPECT_THAT(told("a" + large), HasSubstr("a" + large));
  EXPECT_LT(std::clock() - start, 30 * CLOCKS_PER_SEC);
}

}  // namespace
}  // namespace om::prompt
