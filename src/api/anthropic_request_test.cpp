#include "api/anthropic_request.h"

#include <gtest/gtest.h>

#include "model/json_text.h"

namespace om::api {
namespace {

namespace json = boost::json;

Result<model::ChatRequest> parse(std::string_view members) {
  json::object body =
      json::parse(R"({"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]})")
          .as_object();
  for (const auto& [key, value] : json::parse(fmt::format("{{{}}}", members)).as_object()) {
    body[key] = value;
  }
  return parse_messages_request(body, MessagesUse::generate);
}

TEST(MessagesRequest, TakesSystemSamplingAndStops) {
  auto request = parse(R"("system":[{"type":"text","text":"be"},{"type":"text","text":"short"}],
      "temperature":0.5,"top_p":0.25,"top_k":3,"stop_sequences":["END"],"stream":true)");
  ASSERT_TRUE(request.has_value()) << request.error().what;
  ASSERT_EQ(request->messages.size(), 2u);
  EXPECT_EQ(request->messages[0].role, "system");
  EXPECT_EQ(request->messages[0].content, "be\nshort");
  EXPECT_EQ(model::write_json(request->common.options),
            R"({"num_predict":9,"temperature":0.5,"top_p":0.25,"top_k":3,"stop":["END"]})");
  EXPECT_TRUE(request->common.stream);
  EXPECT_FALSE(request->common.think.is_set);
}

TEST(MessagesRequest, LeavesOutTheNoteThatChangesWithEachRequestOfClaudeCode) {
  constexpr std::string_view kNote =
      "x-anthropic-billing-header: cc_version=2.1.101.e51; cc_entrypoint=cli; cch=36ee5;";
  const auto system_of = [](std::string_view system) {
    auto request = parse(fmt::format(R"("system":{})", system));
    EXPECT_TRUE(request.has_value()) << request.error().what;
    EXPECT_EQ(request->messages.front().role, "system");
    return request->messages.front().content;
  };
  const auto block = [](std::string_view text) {
    return fmt::format(R"({{"type":"text","text":"{}"}})", text);
  };
  EXPECT_EQ(system_of(fmt::format("[{},{}]", block(kNote), block("You are Claude Code."))),
            "You are Claude Code.");
  EXPECT_EQ(system_of(fmt::format("[{},{}]", block("a"), block(kNote))), "a");
  EXPECT_EQ(system_of(fmt::format(R"("{}You are x=y.")", kNote)), "You are x=y.");
  EXPECT_EQ(system_of(fmt::format(R"("{}\nx=1; is so")", kNote)), "x=1; is so");
  EXPECT_EQ(system_of(R"("x-anthropic-billing-header: cch=1\n\nBe brief.")"), "Be brief.");
  EXPECT_EQ(system_of(fmt::format(R"("Be brief. {}")", kNote)), fmt::format("Be brief. {}", kNote));

  auto turns = parse(fmt::format(
      R"("system":[{0}],"messages":[{{"role":"system","content":[{0},{1}]}},
         {{"role":"system","content":"{2}"}},{{"role":"user","content":"{2}"}}])",
      block(kNote), block("rules"), kNote));
  ASSERT_TRUE(turns.has_value()) << turns.error().what;
  ASSERT_EQ(turns->messages.size(), 2u);
  EXPECT_EQ(turns->messages[0].content, "rules");
  EXPECT_EQ(turns->messages[1].content, kNote);  // What the user says stays.
}

TEST(MessagesRequest, KeepsBlocksOfATurnTogetherAndResultsApart) {
  auto request = parse(R"("messages":[
    {"role":"user","content":[{"type":"text","text":"look"},{"type":"image","source":
      {"type":"base64","media_type":"image/png","data":"AAEC"}}]},
    {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},
      {"type":"redacted_thinking","data":"x"},{"type":"text","text":"I look"},
      {"type":"tool_use","id":"t1","name":"f","input":{"z":1,"a":2}}]},
    {"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","is_error":true,
      "content":[{"type":"text","text":"no such place"}]},{"type":"text","text":"again"}]}])");
  ASSERT_TRUE(request.has_value()) << request.error().what;
  const auto& messages = request->messages;
  ASSERT_EQ(messages.size(), 4u);
  EXPECT_EQ(messages[0].images.size(), 1u);
  EXPECT_EQ(messages[1].thinking, "hm");
  EXPECT_EQ(messages[1].content, "I look");
  EXPECT_EQ(messages[1].tool_calls[0].arguments, R"({"z":1,"a":2})");
  EXPECT_EQ(messages[2].role, "tool");
  EXPECT_EQ(messages[2].tool_name, "f");
  EXPECT_EQ(messages[2].content, "Error: no such place");
  EXPECT_EQ(messages[3].role, "user");
  EXPECT_EQ(messages[3].content, "again");
}

// Clients send the whole conversation again each time: one that were refused could not go on.
TEST(MessagesRequest, SaysInTheirPlaceWhichBlocksTheModelCannotRead) {
  constexpr std::string_view kPdf =
      R"({"type":"document","source":{"type":"base64","media_type":"application/pdf",
          "data":"AA"}})";
  auto request = parse(fmt::format(R"("messages":[
    {{"role":"user","content":[{0},{{"type":"video"}}]}},
    {{"role":"assistant","content":[{{"type":"mcp_tool_use","id":"m","name":"g","input":{{}},
      "server_name":"s"}},{{"type":"mcp_tool_result","tool_use_id":"m","is_error":false,
      "content":[{{"type":"text","text":"nine"}}]}},{{"type":"code_execution_tool_result",
      "tool_use_id":"c","content":{{"stdout":"1"}}}}]}},
    {{"role":"user","content":[{{"type":"tool_result","tool_use_id":"m","content":[{0},
      {{"type":"document","source":{{"type":"url","url":"x"}}}},
      {{"type":"document","source":{{"type":"content","content":[
        {{"type":"text","text":"page"}},{{"type":"image","source":{{"type":"base64",
        "data":"AAEC"}}}}]}}}},
      {{"type":"document","source":{{"type":"content","content":"sheet"}}}},
      {{"type":"search_result","source":"http://x","title":"T","content":[
        {{"type":"text","text":"found"}}]}},
      {{"type":"image","source":{{"type":"url","url":"x"}}}},
      {{"type":"tool_reference","tool_name":"f"}},{{"type":"odd"}}]}}]}}])",
                                   kPdf));
  ASSERT_TRUE(request.has_value()) << request.error().what;
  const auto& messages = request->messages;
  ASSERT_EQ(messages.size(), 5u);
  EXPECT_EQ(messages[0].content,
            "[a PDF that this model cannot read]\n"
            "[a block of type \"video\" that this model cannot read]");
  EXPECT_EQ(messages[1].tool_calls.at(0).name, "g");
  EXPECT_EQ(messages[2].role, "tool");
  EXPECT_EQ(messages[2].content, "nine");
  EXPECT_EQ(messages[3].content, R"({"stdout":"1"})");
  EXPECT_EQ(messages[4].role, "tool");
  EXPECT_EQ(messages[4].images.size(), 1u);
  EXPECT_EQ(messages[4].content,
            "[a PDF that this model cannot read]\n[a document that this model cannot read]\n"
            "page\nsheet\nT (http://x)\nfound\n[an image that this model cannot read]\n"
            "[the tool f can be called]\n[a block of type \"odd\" that this model cannot read]");
}

TEST(MessagesRequest, TakesTheClientsToolsByNameAndLeavesOutTheServices) {
  auto request = parse(R"("tools":[{"type":"web_search_20250305","name":"web_search","max_uses":5},
      {"type":"bash_20250124","name":"bash"},{"type":"code_execution_20250522","name":"c"},
      {"type":"custom","name":"f","input_schema":{"type":"object"}}])");
  ASSERT_TRUE(request.has_value()) << request.error().what;
  ASSERT_EQ(request->tools.size(), 2u);
  EXPECT_EQ(model::write_json(request->tools[0]),
            R"({"type":"function","function":{"name":"bash","parameters":{"type":"object"}}})");
  EXPECT_EQ(model::write_json(request->tools[1]),
            R"({"type":"function","function":{"name":"f","parameters":{"type":"object"}}})");
}

TEST(MessagesRequest, TakesToolsChoicesThinkingAndFormat) {
  auto request = parse(R"("tools":[{"name":"f","description":"d","input_schema":{)"
                       R"("type":"object"}}],
      "tool_choice":{"type":"tool","name":"f","disable_parallel_tool_use":true},
      "thinking":{"type":"enabled","budget_tokens":1024},
      "output_config":{"effort":"high","format":{"type":"json_schema","schema":{"a":1}}})");
  ASSERT_TRUE(request.has_value()) << request.error().what;
  EXPECT_EQ(model::write_json(request->tools.at(0)),
            R"({"type":"function","function":{"name":"f","description":"d","parameters":{)"
            R"("type":"object"}}})");
  EXPECT_EQ(request->tool_choice, "f");
  EXPECT_FALSE(request->parallel_tool_calls);
  EXPECT_TRUE(request->common.think.enabled);
  EXPECT_EQ(request->common.think.level, "high");
  EXPECT_EQ(request->common.format.schema, R"({"a":1})");
  auto any = parse(R"("tools":[{"name":"f","input_schema":{}}],"tool_choice":{"type":"any"})");
  ASSERT_TRUE(any.has_value()) << any.error().what;
  EXPECT_EQ(any->tool_choice, "required");
  auto off = parse(R"("thinking":{"type":"disabled"})");
  ASSERT_TRUE(off.has_value());
  EXPECT_TRUE(off->common.think.is_set);
  EXPECT_FALSE(off->common.think.enabled);
  EXPECT_TRUE(parse(R"("thinking":{"type":"between_tools"})")->common.think.enabled);
  auto unknown = parse(R"("thinking":{"type":"often"})");
  ASSERT_TRUE(unknown.has_value()) << "kinds come with new models of Anthropic's";
  EXPECT_FALSE(unknown->common.think.is_set);
}

TEST(MessagesRequest, KeepsImagesWhereTheyStoodAmongTheTexts) {
  auto request = parse(R"("messages":[{"role":"user","content":[
    {"type":"tool_result","tool_use_id":"t1","is_error":true,"content":[
      {"type":"text","text":"one"},{"type":"image","source":{"type":"base64","data":"AAEC"}},
      {"type":"text","text":"two"}]}]}])");
  ASSERT_TRUE(request.has_value()) << request.error().what;
  const model::Message& result = request->messages.at(0);
  EXPECT_EQ(result.content, "Error: one\ntwo");
  EXPECT_EQ(result.image_places, std::vector<size_t>{10});
}

TEST(MessagesRequest, SaysWhatIsWrong) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {R"("model":"","max_tokens":0,"messages":[])", "model is required"},
      {R"("max_tokens":0,"messages":[])", "max_tokens is required and must be positive"},
      {R"("max_tokens":null)", "max_tokens is required and must be positive"},
      {R"("messages":[])", "messages is required"},
      {R"("messages":[{"role":"user","content":[]}])", "messages is required"},
      {R"("messages":[{"role":"robot","content":"x"}])", "'messages[0].role' must be"},
      {R"("messages":[{"role":"user"}])", "'messages[0].content' is required"},
      {R"("messages":[{"role":"user","content":[{"type":"document"}]}])",
       "'messages[0].content[0].source' is required"},
      {R"("messages":[{"role":"user","content":[{"type":"image","source":{"type":"url"}}]}])",
       "'messages[0].content[0].source.type' is \"url\""},
      {R"("messages":[{"role":"user","content":[{"type":"tool_result"}]}])",
       "'messages[0].content[0].tool_use_id' is required"},
      {R"("messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f",
          "input":3}]}])",
       "'messages[0].content[0].input' must be an object, not a number"},
      {R"("tools":[{"name":"f"}])", "'tools[0].input_schema' is required"},
      {R"("tools":[{"type":"bash_20250124"}])", "'tools[0].name' is required"},
      {R"("tool_choice":{"type":"tool","name":"g"})", "'tool_choice' names \"g\""},
      {R"("tool_choice":{"type":"some"})", "'tool_choice.type' must be"},
      {R"("thinking":{"type":3})", "'thinking.type' must be a string, not a number"},
      {R"("top_k":"many")", "'top_k' must be a whole number, not a string"},
  };
  for (auto [members, text] : cases) {
    auto request = parse(members);
    ASSERT_FALSE(request.has_value()) << members;
    EXPECT_EQ(request.error().code, Errc::invalid_argument);
    EXPECT_EQ(request.error().what.substr(0, text.size()), text);
  }
}

TEST(MessagesRequest, NeedsNoLimitToCountTokens) {
  auto body = json::parse(R"({"model":"m","messages":[{"role":"user","content":"12345678"}]})");
  auto request = parse_messages_request(body.as_object(), MessagesUse::count_tokens);
  ASSERT_TRUE(request.has_value()) << request.error().what;
  EXPECT_EQ(estimate_input_tokens(*request), 2);
}

}  // namespace
}  // namespace om::api
