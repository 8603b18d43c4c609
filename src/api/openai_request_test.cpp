#include "api/openai_request.h"

#include <gtest/gtest.h>

#include "model/json_text.h"

namespace om::api {
namespace {

namespace json = boost::json;

json::object body_of(std::string_view text) { return json::parse(text).as_object(); }

// A chat body with one user message and these further members.
json::object chat_with(std::string_view members) {
  return body_of(fmt::format(R"({{"model":"m","messages":[{{"role":"user","content":"hi"}}]{}{}}})",
                             members.empty() ? "" : ",", members));
}

std::string options_of(const model::RequestCommon& common) {
  return model::write_json(common.options);
}

struct OptionCase {
  std::string_view members, options;
};

TEST(ChatCompletionRequest, TurnsMembersIntoOptionsAndLeavesAbsentOnesToTheModel) {
  const OptionCase cases[] = {
      {"", "{}"},
      {R"("temperature":null,"top_p":null,"seed":null,"stop":null)", "{}"},
      {R"("temperature":0)", R"({"temperature":0})"},
      {R"("temperature":0.5,"top_p":0.25)", R"({"temperature":0.5,"top_p":0.25})"},
      {R"("frequency_penalty":1,"presence_penalty":-1)",
       R"({"frequency_penalty":1,"presence_penalty":-1})"},
      {R"("seed":7)", R"({"seed":7})"},
      {R"("seed":7.0)", R"({"seed":7})"},
      {R"("max_tokens":5)", R"({"num_predict":5})"},
      {R"("max_tokens":-1)", R"({"num_predict":-1})"},
      {R"("max_completion_tokens":6,"max_tokens":5)", R"({"num_predict":6})"},
      {R"("max_completion_tokens":9999999999)", R"({"num_predict":2147483647})"},
      {R"("stop":"END")", R"({"stop":["END"]})"},
      {R"("stop":["a","b"])", R"({"stop":["a","b"]})"},
      {R"("user":"someone","logit_bias":{},"unheard_of":1)", "{}"},
  };
  for (const OptionCase& test : cases) {
    auto chat = parse_chat_completion(chat_with(test.members));
    ASSERT_TRUE(chat.has_value()) << test.members << ": " << chat.error().what;
    EXPECT_EQ(options_of(chat->request.common), test.options) << test.members;
  }
}

TEST(ChatCompletionRequest, KeepsThePartsOfOneMessageTogether) {
  auto chat = parse_chat_completion(body_of(R"({"model":"m","messages":[
    {"role":"developer","content":"be short"},
    {"role":"user","content":[{"type":"text","text":"what"},
      {"type":"image_url","image_url":{"url":"data:image/png;base64,AAEC"}},
      {"type":"text","text":"is this"}]}]})"));
  ASSERT_TRUE(chat.has_value()) << chat.error().what;
  ASSERT_EQ(chat->request.messages.size(), 2u);
  EXPECT_EQ(chat->request.messages[0].role, "system");
  EXPECT_EQ(chat->request.messages[1].content, "what\nis this");
  ASSERT_EQ(chat->request.messages[1].images.size(), 1u);
  EXPECT_EQ(chat->request.messages[1].images[0], std::string("\0\1\2", 3));
  EXPECT_EQ(chat->request.messages[1].image_places, std::vector<size_t>{4});
}

TEST(ChatCompletionRequest, TakesPartsOfTurnsThatAnotherServerAnswered) {
  auto chat = parse_chat_completion(body_of(R"({"model":"m","messages":[
    {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},
      {"type":"reasoning","text":", so"},{"type":"thinking","thinking":[{"type":"text"}]},
      {"type":"text","text":"Yes."}]},
    {"role":"user","content":[{"type":"text","text":"and this?"},
      {"type":"file","file":{"file_data":"x"}},
      {"type":"image_url","image_url":{"url":"data:image/gif;base64,AAEC"}}]}]})"));
  ASSERT_TRUE(chat.has_value()) << chat.error().what;
  EXPECT_EQ(chat->request.messages[0].thinking, "hm, so");
  EXPECT_EQ(chat->request.messages[0].content, "Yes.");
  EXPECT_EQ(chat->request.messages[1].content, "and this?\n[a file that this model cannot read]");
  EXPECT_EQ(chat->request.messages[1].images.size(), 1u);
}

TEST(ChatCompletionRequest, KeepsToolCallsAndNamesTheirResults) {
  auto chat = parse_chat_completion(body_of(R"({"model":"m","messages":[
    {"role":"user","content":"weather?"},
    {"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function",
      "function":{"name":"weather","arguments":"{\"z\":1,\"a\":2}"}}]},
    {"role":"tool","tool_call_id":"call_1","content":"sunny"}]})"));
  ASSERT_TRUE(chat.has_value()) << chat.error().what;
  const auto& messages = chat->request.messages;
  ASSERT_EQ(messages.size(), 3u);
  ASSERT_EQ(messages[1].tool_calls.size(), 1u);
  EXPECT_EQ(messages[1].tool_calls[0].arguments, R"({"z":1,"a":2})");
  EXPECT_EQ(messages[2].tool_name, "weather");
  EXPECT_EQ(messages[2].tool_call_id, "call_1");
}

TEST(ChatCompletionRequest, TakesTurnsThatSayNothing) {
  auto chat = parse_chat_completion(body_of(R"({"model":"m","messages":[
    {"role":"user","content":"hi"},{"role":"assistant","content":null},
    {"role":"tool","tool_call_id":"a"},{"role":"function","name":"f","content":null}]})"));
  ASSERT_TRUE(chat.has_value()) << chat.error().what;
  ASSERT_EQ(chat->request.messages.size(), 4u);
  for (size_t i = 1; i < 4; i++) EXPECT_EQ(chat->request.messages[i].content, "");
  EXPECT_EQ(chat->request.messages[3].tool_name, "f");
}

TEST(ChatCompletionRequest, TakesArgumentsOfOldCallsAsWhoeverWroteThem) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {R"("{\"a\": 1}")", R"({"a": 1})"},
      {R"({"b":2,"a":1})", R"({"b":2,"a":1})"},
      {"null", "{}"},
      {R"("")", "{}"},
      {R"(" null ")", "{}"},
      {R"("{\"a\": \"x")", R"({"arguments":"{\"a\": \"x"})"},
      {R"("[1]")", R"({"arguments":"[1]"})"},
      {"7", R"({"arguments":7})"}};
  for (auto [given, expected] : cases) {
    auto chat = parse_chat_completion(body_of(fmt::format(
        R"({{"model":"m","messages":[{{"role":"assistant","tool_calls":[
            {{"function":{{"name":"f","arguments":{}}}}}]}}]}})",
        given)));
    ASSERT_TRUE(chat.has_value()) << given << ": " << chat.error().what;
    EXPECT_EQ(chat->request.messages[0].tool_calls[0].arguments, expected) << given;
  }
}

TEST(ChatCompletionRequest, HonoursToolChoiceAndParallelCalls) {
  constexpr std::string_view kTools =
      R"("tools":[{"type":"function","function":{"name":"f","parameters":{}}}])";
  const std::pair<std::string_view, std::string_view> cases[] = {
      {R"("auto")", "auto"},
      {R"("none")", "none"},
      {R"("required")", "required"},
      {R"({"type":"function","function":{"name":"f"}})", "f"}};
  for (auto [choice, expected] : cases) {
    auto chat = parse_chat_completion(chat_with(
        fmt::format(R"({},"tool_choice":{},"parallel_tool_calls":false)", kTools, choice)));
    ASSERT_TRUE(chat.has_value()) << choice << ": " << chat.error().what;
    EXPECT_EQ(chat->request.tool_choice, expected);
    EXPECT_FALSE(chat->request.parallel_tool_calls);
    EXPECT_EQ(chat->request.tools.size(), 1u);
  }
}

TEST(ChatCompletionRequest, TellsTheModelOnlyOfAllowedTools) {
  constexpr std::string_view kTools =
      R"("tools":[{"type":"function","function":{"name":"f"}},
                  {"type":"function","function":{"name":"g"}}])";
  const auto parsed = [&](std::string_view allowed) {
    return parse_chat_completion(chat_with(fmt::format(
        R"({},"tool_choice":{{"type":"allowed_tools","allowed_tools":{}}})", kTools, allowed)));
  };
  auto chat =
      parsed(R"({"mode":"required","tools":[{"type":"function","function":{"name":"g"}}]})");
  ASSERT_TRUE(chat.has_value()) << chat.error().what;
  EXPECT_EQ(chat->request.tool_choice, "required");
  ASSERT_EQ(chat->request.tools.size(), 1u);
  EXPECT_EQ(chat->request.tools[0].at("function").at("name").as_string(), "g");
  EXPECT_TRUE(parsed(R"({"mode":"auto","tools":[]})")->request.tools.empty());
  const auto wrong = [&](std::string_view allowed) { return parsed(allowed).error().what; };
  EXPECT_EQ(wrong(R"({"mode":"required","tools":[]})"),
            "'tool_choice' is \"required\" but there are no tools");
  EXPECT_EQ(wrong(R"({"mode":"auto"})"), "'tool_choice.allowed_tools.tools' is required");
  EXPECT_EQ(wrong(R"({"mode":"none","tools":[]})"),
            "'tool_choice.allowed_tools.mode' must be \"auto\" or \"required\", not \"none\"");
  EXPECT_EQ(wrong(R"({"mode":"auto","tools":[{"type":"function","function":{"name":"h"}}]})"),
            "'tool_choice' names \"h\", which is not among the tools");
  EXPECT_EQ(wrong(R"({"mode":"auto","tools":[{"type":"mcp"}]})"),
            "'tool_choice.allowed_tools.tools[0].type' is \"mcp\", which is not supported");
}

TEST(ChatCompletionRequest, TakesFormatsEffortsAndCounts) {
  auto chat = parse_chat_completion(chat_with(
      R"("response_format":{"type":"json_schema","json_schema":{"schema":{"type":"object"}}},
         "reasoning_effort":"xhigh","logprobs":true,"top_logprobs":2,"n":3,"stream":true,
         "stream_options":{"include_usage":true})"));
  ASSERT_TRUE(chat.has_value()) << chat.error().what;
  const model::RequestCommon& common = chat->request.common;
  EXPECT_EQ(common.format.kind, model::Format::Kind::schema);
  EXPECT_EQ(common.format.schema, R"({"type":"object"})");
  EXPECT_TRUE(common.think.enabled);
  EXPECT_EQ(common.think.level, "max");
  EXPECT_TRUE(common.logprobs.enabled);
  EXPECT_EQ(common.logprobs.top, 2);
  EXPECT_EQ(chat->choices, 3);
  EXPECT_TRUE(common.stream);
  EXPECT_TRUE(chat->include_usage);

  auto off = parse_chat_completion(chat_with(R"("reasoning":{"effort":"none"})"));
  ASSERT_TRUE(off.has_value());
  EXPECT_TRUE(off->request.common.think.is_set);
  EXPECT_FALSE(off->request.common.think.enabled);
}

TEST(ChatCompletionRequest, TakesAnEmptyEffortForNone) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {R"("reasoning_effort":"")", ""},
      {R"("reasoning":{"effort":""})", ""},
      {R"("reasoning":{"effort":""},"reasoning_effort":"low")", "low"},
      {R"("reasoning":{"effort":"high"},"reasoning_effort":"low")", "high"}};
  for (auto [members, level] : cases) {
    auto chat = parse_chat_completion(chat_with(members));
    ASSERT_TRUE(chat.has_value()) << members << ": " << chat.error().what;
    EXPECT_EQ(chat->request.common.think.is_set, !level.empty()) << members;
    EXPECT_EQ(chat->request.common.think.level, level) << members;
  }
}

TEST(ChatCompletionRequest, TakesWhatClientsOfLocalServersSendBesides) {
  auto chat = parse_chat_completion(chat_with(
      R"("keep_alive":"-1","options":{"num_ctx":8192,"seed":1,"temperature":1},"seed":2)"));
  ASSERT_TRUE(chat.has_value()) << chat.error().what;
  EXPECT_EQ(chat->request.common.keep_alive.duration, std::chrono::nanoseconds::max());
  EXPECT_EQ(options_of(chat->request.common), R"({"num_ctx":8192,"seed":2,"temperature":1})");
  auto completion = parse_completion(body_of(
      R"({"model":"m","prompt":"a","max_tokens":5,"keep_alive":0,"think":false,
          "options":{"num_predict":9}})"));
  ASSERT_TRUE(completion.has_value()) << completion.error().what;
  EXPECT_EQ(completion->request.common.keep_alive.duration, std::chrono::nanoseconds(0));
  EXPECT_EQ(options_of(completion->request.common), R"({"num_predict":5})");
  EXPECT_TRUE(completion->request.common.think.is_set);
  auto embeddings = parse_embeddings(
      body_of(R"({"model":"m","input":"a","keep_alive":"5m","options":{"num_ctx":512}})"));
  ASSERT_TRUE(embeddings.has_value()) << embeddings.error().what;
  EXPECT_EQ(embeddings->request.keep_alive.duration, std::chrono::minutes(5));
  EXPECT_EQ(model::write_json(embeddings->request.options), R"({"num_ctx":512})");
}

TEST(ChatCompletionRequest, AsksAModelToThinkOnlyIfItCan) {
  const std::tuple<std::string_view, bool, std::string_view> cases[] = {
      {R"("think":true)", true, ""},
      {R"("think":"high")", true, "high"},
      {R"("think":false)", false, ""},
      {R"("chat_template_kwargs":{"enable_thinking":true,"other":1})", true, ""},
      {R"("chat_template_kwargs":{"enable_thinking":false})", false, ""},
      {R"("think":false,"chat_template_kwargs":{"enable_thinking":true})", false, ""},
      {R"("think":false,"reasoning_effort":"low")", true, "low"}};
  for (auto [members, enabled, level] : cases) {
    auto chat = parse_chat_completion(chat_with(members));
    ASSERT_TRUE(chat.has_value()) << members << ": " << chat.error().what;
    const model::Think& think = chat->request.common.think;
    EXPECT_TRUE(think.is_set) << members;
    EXPECT_EQ(think.enabled, enabled) << members;
    EXPECT_EQ(think.level, level) << members;
    EXPECT_TRUE(think.if_able) << members;
  }
  EXPECT_FALSE(parse_chat_completion(chat_with(R"("chat_template_kwargs":{"a":1})"))
                   ->request.common.think.is_set);
}

struct ErrorCase {
  std::string_view members, text;
};

TEST(ChatCompletionRequest, SaysWhatIsWrong) {
  const ErrorCase cases[] = {
      {R"("temperature":"hot")", "'temperature' must be a number, not a string"},
      {R"("max_tokens":0)", "'max_tokens' must be at least 1"},
      {R"("max_tokens":-2)", "'max_tokens' must be at least 1"},
      {R"("max_tokens":1.5)", "'max_tokens' must be a whole number"},
      {R"("seed":{})", "'seed' must be a whole number, not an object"},
      {R"("stop":[1])", "'stop' must be a string or a list of strings, not a list"},
      {R"("n":0)", "'n' must be between 1 and 8"},
      {R"("n":9)", "'n' must be between 1 and 8"},
      {R"("stream":"yes")", "'stream' must be a boolean, not a string"},
      {R"("logprobs":true,"top_logprobs":21)", "top_logprobs must be between 0 and 20"},
      {R"("top_logprobs":1)", "'top_logprobs' needs 'logprobs' to be true"},
      {R"("options":[])", "'options' must be an object, not a list"},
      {R"("keep_alive":"soon")", "time: invalid duration \"soon\""},
      {R"("think":"much")", "invalid think value: \"much\""},
      {R"("reasoning_effort":"huge")", "invalid reasoning value: 'huge'"},
      {R"("response_format":{"type":"xml"})", "'response_format.type' must be \"text\""},
      {R"("response_format":{"type":"json_schema"})", "'response_format.json_schema' is required"},
      {R"("response_format":{"type":"json_schema","json_schema":{"schema":3}})",
       "'response_format.json_schema.schema' must be an object, not a number"},
      {R"("tools":[{"type":"custom"}])", "'tools[0].type' is \"custom\""},
      {R"("tools":[{"type":"function","function":{}}])", "'tools[0].function.name' is required"},
      {R"("tool_choice":"required")", "'tool_choice' is \"required\" but there are no tools"},
      {R"("tool_choice":{"type":"function","function":{"name":"g"}})",
       "'tool_choice' names \"g\", which is not among the tools"},
      {R"("messages":[])", "[] is too short - 'messages'"},
      {R"("messages":[{"role":"user"}])",
       "'messages[0].content' must be a string or a list of parts, not null"},
      {R"("messages":[{"content":"x"}])", "'messages[0].role' is required"},
      {R"("messages":[{"role":"user","content":[{"type":"video_url"}]}])",
       "'messages[0].content[0].type' is of type \"video_url\", which is not supported"},
      {R"("messages":[{"role":"user","content":[{"type":"image_url","image_url":
          {"url":"https://example.com/a.png"}}]}])",
       "image URLs are not currently supported, please use base64 encoded data instead"},
      {R"("messages":[{"role":"user","content":[{"type":"image_url","image_url":
          {"url":"data:image/png;base64,?"}}]}])",
       "illegal base64 data at input byte 0"},
      {R"("model":"")", "model is required"},
      {R"("model":7)", "'model' must be a string, not a number"},
  };
  for (const ErrorCase& test : cases) {
    json::object body = chat_with("");
    for (const auto& [key, value] : body_of(fmt::format("{{{}}}", test.members))) {
      body[key] = value;
    }
    auto chat = parse_chat_completion(body);
    ASSERT_FALSE(chat.has_value()) << test.members;
    EXPECT_EQ(chat.error().code, Errc::invalid_argument);
    EXPECT_EQ(chat.error().what.substr(0, test.text.size()), test.text);
  }
}

TEST(CompletionRequest, TakesOneOrSeveralPrompts) {
  auto one = parse_completion(body_of(R"({"model":"m","prompt":"a","suffix":"z","echo":true})"));
  ASSERT_TRUE(one.has_value()) << one.error().what;
  EXPECT_EQ(one->prompts, std::vector<std::string>{"a"});
  EXPECT_EQ(one->request.suffix, "z");
  EXPECT_TRUE(one->echo);
  auto two = parse_completion(
      body_of(R"({"model":"m","prompt":["a","b"],"n":2,"best_of":2,"logprobs":3})"));
  ASSERT_TRUE(two.has_value()) << two.error().what;
  EXPECT_EQ(two->prompts.size(), 2u);
  EXPECT_EQ(two->choices, 2);
  EXPECT_TRUE(two->request.common.logprobs.enabled);
  EXPECT_EQ(two->request.common.logprobs.top, 3);
}

TEST(CompletionRequest, RefusesWhatItCannotDo) {
  const ErrorCase cases[] = {
      {R"("prompt":[1,2])", "'prompt' as token ids is not supported"},
      {R"("prompt":[])", "[] is too short - 'prompt'"},
      {R"("prompt":{})", "'prompt' must be a string or a list of strings, not an object"},
      {R"("prompt":"a","best_of":3)", "'best_of' other than 'n' is not supported"},
      {R"("prompt":"a","logprobs":99)", "'logprobs' must be between 0 and 20"},
  };
  for (const ErrorCase& test : cases) {
    auto completion = parse_completion(body_of(fmt::format(R"({{"model":"m",{}}})", test.members)));
    ASSERT_FALSE(completion.has_value()) << test.members;
    EXPECT_EQ(completion.error().what.substr(0, test.text.size()), test.text);
  }
}

TEST(EmbeddingsRequest, TakesTextsAndTheirEncoding) {
  auto one = parse_embeddings(body_of(R"({"model":"m","input":""})"));
  ASSERT_TRUE(one.has_value()) << one.error().what;
  EXPECT_EQ(one->request.input, std::vector<std::string>{""});
  auto two = parse_embeddings(
      body_of(R"({"model":"m","input":["a","b"],"encoding_format":"base64","dimensions":8})"));
  ASSERT_TRUE(two.has_value()) << two.error().what;
  EXPECT_TRUE(two->base64);
  EXPECT_EQ(two->request.dimensions, 8);
}

TEST(EmbeddingsRequest, SaysWhatIsWrong) {
  const ErrorCase cases[] = {
      {R"("x":1)", "invalid input"},
      {R"("input":[])", "invalid input"},
      {R"("input":[[1,2]])", "'input' as token ids is not supported"},
      {R"("input":3)", "'input' must be a string or a list of strings, not a number"},
      {R"("input":"a","encoding_format":"hex")", "'encoding_format' must be"},
      {R"("input":"a","dimensions":0)", "'dimensions' must be at least 1"},
  };
  for (const ErrorCase& test : cases) {
    auto embeddings = parse_embeddings(body_of(fmt::format(R"({{"model":"m",{}}})", test.members)));
    ASSERT_FALSE(embeddings.has_value()) << test.members;
    EXPECT_EQ(embeddings.error().what.substr(0, test.text.size()), test.text);
  }
}

TEST(Seeds, DifferBetweenChoicesOnlyIfGiven) {
  json::object options{{"seed", std::numeric_limits<int64_t>::max()}};
  vary_seed(options, 0);
  EXPECT_EQ(options.at("seed").as_int64(), std::numeric_limits<int64_t>::max());
  vary_seed(options, 1);
  EXPECT_EQ(options.at("seed").as_int64(), std::numeric_limits<int64_t>::min());
  json::object none;
  vary_seed(none, 1);
  EXPECT_TRUE(none.empty());
  json::object wrong{{"seed", "x"}};
  vary_seed(wrong, 1);
  EXPECT_EQ(wrong.at("seed"), "x");
}

}  // namespace
}  // namespace om::api
