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
          "temperature":0.5,"presence_penalty":0.25,"reasoning":{"effort":"low"},
          "truncation":"disabled","stream":true})"));
  ASSERT_TRUE(call.has_value()) << call.error().what;
  const model::ChatRequest& request = call->request;
  ASSERT_EQ(request.messages.size(), 2u);
  EXPECT_EQ(request.messages[0].role, "system");
  EXPECT_EQ(request.messages[1].content, "hi");
  EXPECT_EQ(model::write_json(request.common.options),
            R"({"temperature":0.5,"presence_penalty":0.25,"num_predict":9})");
  EXPECT_EQ(request.common.think.level, "low");
  EXPECT_FALSE(request.common.truncate);
  EXPECT_TRUE(request.common.stream);
  EXPECT_EQ(call->echo.at("instructions").as_string(), "be short");
  EXPECT_TRUE(call->echo.at("tools").as_array().empty());
}

TEST(ResponsesRequest, DropsOldMessagesOnlyForThoseWhoAsk) {
  const auto truncates = [](std::string_view members) {
    auto call = parse_responses(body_of(fmt::format(R"({{"model":"m","input":"hi"{}}})", members)));
    EXPECT_EQ(call->request.common.truncate, call->echo.at("truncation") == "auto");
    return call->request.common.truncate;
  };
  EXPECT_FALSE(truncates(""));
  EXPECT_FALSE(truncates(R"(,"truncation":"disabled")"));
  EXPECT_TRUE(truncates(R"(,"truncation":"auto")"));
}

TEST(ResponsesRequest, TellsWhatOnlyOpenAisServiceMakesAsFarAsItCan) {
  auto messages = parse_input_items(json::parse(R"([
    {"type":"compaction","encrypted_content":"x"},
    {"type":"web_search_call","id":"w"},{"type":"mcp_list_tools","id":"l","tools":[]},
    {"type":"mcp_approval_request","id":"a"},{"type":"tool_search_output","tools":[]},
    {"type":"local_shell_call","call_id":"s","action":{"type":"exec","command":["ls"]}},
    {"type":"local_shell_call_output","id":"s","output":"a.txt"},
    {"type":"shell_call","call_id":"t","action":{"commands":["pwd"]}},
    {"type":"shell_call_output","call_id":"t","output":[{"stdout":"/"}]},
    {"type":"mcp_call","id":"m","name":"f","arguments":"{\"a\":1}","output":"nine"},
    {"type":"code_interpreter_call","id":"c","code":"1+1","outputs":[{"logs":"2"}]},
    {"type":"image_generation_call","id":"i","result":"AAEC"}
  ])")
                                        .as_array());
  ASSERT_TRUE(messages.has_value()) << messages.error().what;
  std::string told;
  for (const model::Message& message : *messages) {
    told += message.role + ":" + message.content;
    for (const model::ToolCall& call : message.tool_calls) told += call.name + call.arguments;
    told += "\n";
  }
  EXPECT_EQ(told,
            "user:[an earlier part of the conversation, which only its maker can read]\n"
            "assistant:local_shell{\"type\":\"exec\",\"command\":[\"ls\"]}\n"
            "tool:a.txt\n"
            "assistant:shell{\"commands\":[\"pwd\"]}\n"
            "tool:[{\"stdout\":\"/\"}]\n"
            "assistant:f{\"a\":1}\n"
            "tool:nine\n"
            "assistant:code_interpreter{\"code\":\"1+1\"}\n"
            "tool:[{\"logs\":\"2\"}]\n"
            "assistant:[an image was made, which this model cannot see]\n");
  EXPECT_EQ((*messages)[2].tool_name, "local_shell");
}

TEST(ResponsesRequest, TakesItemsThatAreNewerThanItWhereNothingOfThemIsLost) {
  auto messages = parse_input_items(json::parse(R"([
    {"type":"compaction_trigger"},
    {"type":"context_compaction","encrypted_content":"x"},
    {"type":"agent_message","author":"/root/reviewer","recipient":"/root","content":[
      {"type":"input_text","text":"look at the tests"},
      {"type":"encrypted_content","encrypted_content":"x"}]},
    {"type":"agent_message","author":"/root","content":"thanks"},
    {"type":"something_new","id":"n","status":"completed","output":null}
  ])")
                                        .as_array());
  ASSERT_TRUE(messages.has_value()) << messages.error().what;
  ASSERT_EQ(messages->size(), 3u);
  EXPECT_EQ((*messages)[2].content, "/root: thanks");
  EXPECT_EQ((*messages)[0].content,
            "[an earlier part of the conversation, which only its maker can read]");
  EXPECT_EQ((*messages)[1].role, "user");
  EXPECT_EQ((*messages)[1].content,
            "/root/reviewer: look at the tests [a part that only its maker can read]");
}

TEST(ResponsesRequest, TakesAnEmptyEffortForNone) {
  auto call = parse_responses(
      body_of(R"({"model":"m","input":"hi","reasoning":{"effort":"","summary":"auto"}})"));
  ASSERT_TRUE(call.has_value()) << call.error().what;
  EXPECT_FALSE(call->request.common.think.is_set);
}

TEST(ResponsesRequest, JoinsTheItemsOfOneTurn) {
  auto messages = parse_input_items(json::parse(R"([
    {"role":"user","content":"weather?"},
    {"type":"reasoning","summary":[{"type":"summary_text","text":"look it up"}]},
    {"type":"message","role":"assistant","content":[{"type":"output_text","text":"wait"}]},
    {"type":"function_call","call_id":"c1","name":"f","arguments":"{\"a\":1}"},
    {"type":"function_call","call_id":"c2","name":"g","arguments":"{\"cut"},
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
  EXPECT_EQ(turn.tool_calls[1].arguments, R"({"arguments":"{\"cut"})");
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

constexpr std::string_view kManyKinds = R"([{"type":"image_generation"},{"type":"tool_search"},
    {"type":"namespace","name":"crm","description":"d","tools":[
      {"type":"function","name":"find","description":"finds","parameters":{"type":"object"}},
      {"type":"custom","name":"note"}]},
    {"type":"namespace","name":"mcp__x__","description":"d","tools":[
      {"type":"function","name":"find"}]},
    {"type":"custom","name":"patch","format":{"type":"text"}},
    {"type":"function","name":"find"}])";

TEST(ResponsesRequest, TellsTheModelOfFunctionsOnly) {
  auto call = parse_responses(body_of(fmt::format(
      R"({{"model":"m","input":"hi","tools":{},"tool_choice":{{"type":"custom","name":"patch"}}}})",
      kManyKinds)));
  ASSERT_TRUE(call.has_value()) << call.error().what;
  std::vector<std::string> names;
  for (const json::value& tool : call->request.tools) {
    names.emplace_back(tool.at("function").at("name").as_string());
  }
  EXPECT_EQ(names,
            (std::vector<std::string>{"crm__find", "crm__note", "mcp__x__find", "patch", "find"}));
  EXPECT_EQ(call->request.tools[0].at("function").at("description").as_string(), "finds");
  EXPECT_EQ(model::write_json(call->request.tools[3]),
            R"({"type":"function","function":{"name":"patch","parameters":{"type":"object",)"
            R"("properties":{"input":{"type":"string"}},"required":["input"]}}})");
  EXPECT_EQ(call->request.tool_choice, "patch");
  EXPECT_EQ(call->tools.size(), 4u);
  EXPECT_EQ(call->tools.at("mcp__x__find").name_space, "mcp__x__");
  EXPECT_TRUE(call->tools.at("crm__note").is_custom);
  EXPECT_EQ(call->echo.at("tools").as_array().size(), 4u);
  EXPECT_EQ(call->echo.at("tools").at(0).at("type").as_string(), "namespace");
}

TEST(ResponsesRequest, TellsTheModelOnlyOfAllowedTools) {
  auto call = parse_responses(body_of(fmt::format(
      R"({{"model":"m","input":"hi","tools":{},"tool_choice":{{"type":"allowed_tools",
          "mode":"auto","tools":[{{"type":"function","name":"find"}},{{"type":"image_generation"}},
          {{"type":"custom","name":"note"}}]}}}})",
      kManyKinds)));
  ASSERT_TRUE(call.has_value()) << call.error().what;
  EXPECT_EQ(call->request.tool_choice, "auto");
  ASSERT_EQ(call->request.tools.size(), 2u);
  EXPECT_EQ(call->request.tools[0].at("function").at("name").as_string(), "crm__note");
  EXPECT_EQ(call->request.tools[1].at("function").at("name").as_string(), "find");
  EXPECT_EQ(call->echo.at("tools").as_array().size(), 4u) << "the reply repeats all of them";
}

TEST(ResponsesRequest, ForcesAFunctionInANamespace) {
  const auto choice = [](std::string_view name) {
    auto call = parse_responses(body_of(fmt::format(
        R"({{"model":"m","input":"hi","tools":[{{"type":"namespace","name":"crm","tools":[
            {{"type":"function","name":"find"}},{{"type":"function","name":"know"}}]}},
            {{"type":"function","name":"know"}}],
            "tool_choice":{{"type":"function","name":"{}"}}}})",
        name)));
    return call ? call->request.tool_choice : call.error().what;
  };
  EXPECT_EQ(choice("find"), "crm__find");
  EXPECT_EQ(choice("know"), "know");
  EXPECT_EQ(choice("lose"), "'tool_choice' names \"lose\", which is not among the tools");
}

TEST(ResponsesRequest, TakesCallsOfEveryKindBack) {
  auto messages = parse_input_items(json::parse(R"([
    {"type":"function_call","call_id":"c1","name":"find","namespace":"crm","arguments":"{}"},
    {"type":"custom_tool_call","call_id":"c2","name":"patch","input":"a\"b"},
    {"type":"function_call_output","call_id":"c1","output":"found"},
    {"type":"custom_tool_call_output","call_id":"c2","output":"done"}])")
                                        .as_array());
  ASSERT_TRUE(messages.has_value()) << messages.error().what;
  ASSERT_EQ(messages->size(), 3u);
  EXPECT_EQ((*messages)[0].tool_calls[0].name, "crm__find");
  EXPECT_EQ((*messages)[0].tool_calls[1].arguments, R"({"input":"a\"b"})");
  EXPECT_EQ((*messages)[1].tool_name, "crm__find");
  EXPECT_EQ((*messages)[2].tool_name, "patch");
  EXPECT_EQ((*messages)[2].content, "done");
}

TEST(ResponsesRequest, SaysWhatIsWrong) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {R"({"input":"x"})", "model is required"},
      {R"({"model":"m"})", "'input' is required"},
      {R"({"model":"m","input":3})", "'input' must be a list, not a number"},
      {R"({"model":"m","input":[]})", "[] is too short - 'input'"},
      {R"({"model":"m","input":[{"type":"x","content":"hi"}]})",
       "input[0].type: unknown input item type: \"x\""},
      {R"({"model":"m","input":[{"type":"additional_tools","role":"developer","tools":[]}]})",
       "input[0].type: unknown input item type: \"additional_tools\""},
      {R"({"model":"m","input":[{"role":"user","content":[{"type":"input_video"}]}]})",
       "'input[0].content[0].type' is of type \"input_video\", which is not supported"},
      {R"({"model":"m","input":[{"type":"function_call","name":"f"}]})",
       "'input[0].call_id' is required"},
      {R"({"model":"m","input":"x","previous_response_id":"r"})",
       "'previous_response_id' is not supported"},
      {R"({"model":"m","input":"x","background":true})", "'background' is not supported"},
      {R"({"model":"m","input":"x","tools":[{"type":"file_search"}]})",
       "'tools[0].type' is \"file_search\", which is not supported"},
      {R"({"model":"m","input":"x","tools":[{"type":"namespace","name":"n","tools":[{}]}]})",
       "'tools[0].tools[0].type' is required"},
      {R"({"model":"m","input":"x","tools":[{"type":"custom"}]})", "'tools[0].name' is required"},
      {R"({"model":"m","input":"x","tools":[{"type":"custom","name":"f"},
           {"type":"function","name":"f"}]})",
       "two tools are named \"f\""},
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
