#include "api/responses_request.h"

#include <gtest/gtest.h>

#include "model/json_text.h"

namespace om::api {
namespace {

namespace json = boost::json;

json::object body_of(std::string_view text) { return json::parse(text).as_object(); }

TEST(ResponsesRequest, TakesATextWithInstructions) {
  auto call = parse_responses(body_of(
      R"({"model":"m","input":"hi","instructions":"be short","max_output_tokens":9,
          "temperature":0.5,"reasoning":{"effort":"low"},"truncation":"disabled","stream":true})"));
  ASSERT_TRUE(call.has_value()) << call.error().what;
  const model::ChatRequest& request = call->request;
  ASSERT_EQ(request.messages.size(), 2u);
  EXPECT_EQ(request.messages[0].role, "system");
  EXPECT_EQ(request.messages[1].content, "hi");
  EXPECT_EQ(model::write_json(request.common.options), R"({"temperature":0.5,"num_predict":9})");
  EXPECT_EQ(request.common.think.level, "low");
  EXPECT_FALSE(request.common.truncate);
  EXPECT_TRUE(request.common.stream);
  EXPECT_EQ(call->echo.at("instructions").as_string(), "be short");
  EXPECT_TRUE(call->echo.at("tools").as_array().empty());
}

TEST(ResponsesRequest, JoinsTheItemsOfOneTurn) {
  auto messages = parse_input_items(json::parse(R"([
    {"role":"user","content":"weather?"},
    {"type":"reasoning","summary":[{"type":"summary_text","text":"look it up"}]},
    {"type":"message","role":"assistant","content":[{"type":"output_text","text":"wait"}]},
    {"type":"function_call","call_id":"c1","name":"f","arguments":"{\"a\":1}"},
    {"type":"function_call","call_id":"c2","name":"g","arguments":""},
    {"type":"function_call_output","call_id":"c1","output":"sunny"},
    {"type":"function_call_output","call_id":"c2","output":[{"type":"input_text","text":"warm"}]},
    {"type":"message","role":"assistant","content":"It is sunny."},
    {"type":"message","role":"developer","content":[{"type":"input_text","text":"be kind"}]}
  ])")
                                        .as_array());
  ASSERT_TRUE(messages.has_value()) << messages.error().what;
  ASSERT_EQ(messages->size(), 6u);
  const model::Message& turn = (*messages)[1];
  EXPECT_EQ(turn.thinking, "look it up");
  EXPECT_EQ(turn.content, "wait");
  ASSERT_EQ(turn.tool_calls.size(), 2u);
  EXPECT_EQ(turn.tool_calls[1].arguments, "{}");
  EXPECT_EQ((*messages)[2].tool_name, "f");
  EXPECT_EQ((*messages)[3].content, "warm");
  EXPECT_EQ((*messages)[4].content, "It is sunny.");
  EXPECT_EQ((*messages)[5].role, "system");
}

TEST(ResponsesRequest, WrapsToolsAndRepeatsThem) {
  auto call = parse_responses(body_of(
      R"({"model":"m","input":"hi","tools":[{"type":"web_search"},
          {"type":"function","name":"f","parameters":{"type":"object"}}],
          "tool_choice":{"type":"function","name":"f"},"parallel_tool_calls":false,
          "text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object"}}}})"));
  ASSERT_TRUE(call.has_value()) << call.error().what;
  ASSERT_EQ(call->request.tools.size(), 1u);
  EXPECT_EQ(call->request.tools[0].at("function").at("name").as_string(), "f");
  EXPECT_EQ(call->request.tool_choice, "f");
  EXPECT_FALSE(call->request.parallel_tool_calls);
  EXPECT_EQ(call->request.common.format.schema, R"({"type":"object"})");
  EXPECT_EQ(call->echo.at("tools").as_array().size(), 1u);
}

TEST(ResponsesRequest, SaysWhatIsWrong) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {R"({"input":"x"})", "model is required"},
      {R"({"model":"m"})", "'input' is required"},
      {R"({"model":"m","input":3})", "'input' must be a list, not a number"},
      {R"({"model":"m","input":[]})", "[] is too short - 'input'"},
      {R"({"model":"m","input":[{"type":"x"}]})", "input[0].type: unknown input item type: \"x\""},
      {R"({"model":"m","input":[{"role":"user","content":[{"type":"input_file"}]}]})",
       "'input[0].content[0].type' is of type \"input_file\", which is not supported"},
      {R"({"model":"m","input":[{"type":"function_call","name":"f"}]})",
       "'input[0].call_id' is required"},
      {R"({"model":"m","input":"x","previous_response_id":"r"})",
       "'previous_response_id' is not supported"},
      {R"({"model":"m","input":"x","background":true})", "'background' is not supported"},
      {R"({"model":"m","input":"x","tools":[{"type":"file_search"}]})",
       "'tools[0].type' is \"file_search\", which is not supported"},
      {R"({"model":"m","input":"x","max_output_tokens":-2})",
       "'max_output_tokens' must be at least 1"},
      {R"({"model":"m","input":"x","text":{"format":{"type":"grammar"}}})",
       "'text.format.type' must be"},
  };
  for (auto [body, text] : cases) {
    auto call = parse_responses(body_of(body));
    ASSERT_FALSE(call.has_value()) << body;
    EXPECT_EQ(call.error().code, Errc::invalid_argument);
    EXPECT_EQ(call.error().what.substr(0, text.size()), text);
  }
}

}  // namespace
}  // namespace om::api
