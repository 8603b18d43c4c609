#include "prompt/answer_parser.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "prompt/answer_format.h"
#include "prompt/render.h"
#include "prompt/template_files_for_test.h"

namespace om::prompt {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct Answer {
  std::string content, thinking;
  std::vector<std::string> calls;  // id name arguments
  bool operator==(const Answer&) const = default;
};

void PrintTo(const Answer& answer, std::ostream* out) {
  *out << "content '" << answer.content << "' thinking '" << answer.thinking << "'";
  for (const auto& call : answer.calls) *out << " [" << call << "]";
}

void add(Answer& answer, const Result<AnswerDelta>& delta) {
  ASSERT_TRUE(delta) << delta.error().what;
  answer.content += delta->content;
  answer.thinking += delta->thinking;
  for (const auto& call : delta->tool_calls) {
    answer.calls.push_back(call.id + " " + call.name + " " + call.arguments);
  }
}

Answer parse(const AnswerFormat& format, std::string_view text, size_t slice = 1) {
  int calls = 0;
  auto parser = format.make_parser([&calls] { return "id" + std::to_string(++calls); });
  Answer answer;
  for (size_t at = 0; at < text.size(); at += slice) {
    add(answer, parser->feed(text.substr(at, slice)));
  }
  add(answer, parser->finish());
  return answer;
}

AnswerFormat tags(std::string tool_tag = "", bool open = false) {
  return tag_answer_format({.thinking = {"<think>", "</think>"},
                            .thinking_open = open,
                            .tool_tag = std::move(tool_tag),
                            .tool_names = {"get_weather", "get", "add"}});
}

const std::string kPlace = R"({"city":"Paris"})";

TEST(TagAnswer, TakesTheThoughtOff) {
  EXPECT_EQ(parse(tags(), "\n<think>\n a <b> c\n</think>\n\nYes."),
            (Answer{"Yes.", "a <b> c\n", {}}));
  EXPECT_EQ(parse(tags("", true), " hm</think> Yes."), (Answer{"Yes.", "hm", {}}));
  EXPECT_EQ(parse(tags(), "No <think>thought</think>"),
            (Answer{"No <think>thought</think>", "", {}}));
  EXPECT_EQ(parse(tags(), "<think>cut off </thi"), (Answer{"", "cut off </thi", {}}));
  EXPECT_EQ(parse(tags(), "<thi"), (Answer{"<thi", "", {}}));
}

TEST(TagAnswer, GivesTextOutAsSoonAsItIsCertain) {
  auto parser = tags("<tool_call>").make_parser([] { return "id"; });
  EXPECT_EQ(parser->feed("<think>ab")->thinking, "ab");
  EXPECT_EQ(parser->feed("c</th")->thinking, "c");
  EXPECT_EQ(parser->feed("ink>\nHello")->content, "Hello");
  EXPECT_EQ(parser->feed(" there <tool")->content, " there ");
  EXPECT_EQ(parser->feed("s>")->content, "<tools>");
}

TEST(TagAnswer, FindsTaggedCalls) {
  EXPECT_EQ(parse(tags("<tool_call>"),
                  "Look: <tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": "
                  "\"Paris\"}}\n</tool_call>\n<tool_call>{\"name\":\"add\",\"parameters\":"
                  "{\"a\":1}}</tool_call>"),
            (Answer{"Look: ", "", {"id1 get_weather " + kPlace, "id2 add {\"a\":1}"}}));
  EXPECT_EQ(parse(tags("[TOOL_CALLS]"),
                  "[TOOL_CALLS] [{\"name\":\"add\",\"arguments\":{\"a\":\"}{\\\"\"}},"
                  "{\"name\":\"get\",\"arguments\":{}}]"),
            (Answer{"", "", {"id1 add {\"a\":\"}{\\\"\"}", "id2 get {}"}}));
  EXPECT_EQ(parse(tags("[TOOL_CALLS]"), "[TOOL_CALLS]get_weather[ARGS]{\"city\":\"Paris\"}"),
            (Answer{"", "", {"id1 get_weather " + kPlace}}));
  EXPECT_EQ(parse(tags("<tool_call>"),
                  "<tool_call>{\"get_weather\":{\"city\":\"Paris\"}}"
                  "</tool_call>\nDone."),
            (Answer{"\nDone.", "", {"id1 get_weather " + kPlace}}));
}

std::string deepseek_call(std::string_view bar, std::string_view name, std::string_view object) {
  return fmt::format(
      "<{0}tool▁call▁begin{0}>function<{0}tool▁sep{0}>{1}\n```json\n{2}\n```<{0}tool▁call▁end{0}>",
      bar, name, object);
}

TEST(TagAnswer, FindsCallsBetweenMarkersAndFences) {
  // Ollama's tests write "|", the model's own words "｜".
  for (const std::string bar : {"|", "｜"}) {
    const std::string tag = fmt::format("<{0}tool▁calls▁begin{0}>", bar);
    const std::string end = fmt::format("<{0}tool▁calls▁end{0}><{0}end▁of▁sentence{0}>", bar);
    const std::string first = deepseek_call(bar, "get_weather", R"({"city": "Paris"})");
    const std::string second = deepseek_call(bar, "add", R"({"a": 1})");
    for (const size_t slice : {1, 3, 1000}) {
      EXPECT_EQ(parse(tags(tag), "<think>Wait</think>" + tag + first + end, slice),
                (Answer{"", "Wait", {"id1 get_weather " + kPlace}}));
      EXPECT_EQ(parse(tags(tag), tag + first + "\n" + second + end, slice),
                (Answer{"", "", {"id1 get_weather " + kPlace, "id2 add {\"a\":1}"}}));
    }
  }
}

TEST(TagAnswer, WhatFollowsACallAndIsNoneIsContent) {
  const std::string call = R"(<tool_call>{"name":"get","arguments":{}}</tool_call>)";
  for (const std::string& rest : std::vector<std::string>{
           "```python\n1\n```", "Now I add.", "I get that: {\"temperature\": 5}.",
           "Look: ```json\n{\"a\": 1}\n```", "I shall " + std::string(600, 'x') + "get{\"a\":1}"}) {
    for (const size_t slice : {1, 1000}) {
      EXPECT_EQ(parse(tags("<tool_call>"), call + "\n" + rest, slice),
                (Answer{"\n" + rest, "", {"id1 get {}"}}))
          << rest;
    }
  }
  EXPECT_EQ(parse(tags("<tool_call>"), call + " And " + call),
            (Answer{" And ", "", {"id1 get {}", "id2 get {}"}}));
}

// As Ollama's findObject.
TEST(TagAnswer, FindsArgumentsInTextsAndCallsInLists) {
  const std::string texts = R"({"name":"get_weather","arguments":"{\"city\":\"Paris\"}"})";
  const Answer one{"", "", {"id1 get_weather " + kPlace}};
  EXPECT_EQ(parse(tags("{"), texts), one);
  EXPECT_EQ(parse(tags("{"), R"({"get_weather":"{\"city\":\"Paris\"}"})"), one);
  EXPECT_EQ(parse(tags("{"), R"({"tool_calls":[)" + texts + "]}"), one);
  EXPECT_EQ(parse(tags("<tool_call>"), "<tool_call>" + texts + "</tool_call>"), one);
  EXPECT_EQ(parse(tags("{"), R"({"tool_calls":[{"type":"function","function":)" + texts +
                                 R"(},{"function":{"name":"add","arguments":{"a":1}}}]})"),
            (Answer{"", "", {"id1 get_weather " + kPlace, "id2 add {\"a\":1}"}}));
  for (const std::string none : {R"({"name":"get","arguments":"soon"})", R"({"a":[["get"]]})"}) {
    EXPECT_EQ(parse(tags("{"), none), (Answer{none, "", {}}));
  }
}

// As Command R and Command R7B name it, and models that stray from their form.
TEST(TagAnswer, FindsTheNameWhereverModelsPutIt) {
  const std::string call = R"("tool_name": "get_weather", "parameters": {"city": "Paris"})";
  const Answer one{"", "", {"id1 get_weather " + kPlace}};
  for (const size_t slice : {1, 3, 1000}) {
    EXPECT_EQ(parse(tags("Action: ```json"),
                    "Action: ```json\n[\n    {\n        " + call + "\n    }\n]```", slice),
              one);
    EXPECT_EQ(
        parse(tags("<|START_ACTION|>"),
              "<|START_ACTION|>[\n    {\"tool_call_id\": \"0\", " + call + "}\n]<|END_ACTION|>",
              slice),
        one);
    EXPECT_EQ(parse(tags("{"),
                    R"({"type":"function","function":"get_weather","parameters":{"city":"Paris"}})",
                    slice),
              one);
  }
  for (const std::string none :
       {R"({"function":"unknown","parameters":{}})", R"({"function":"get","tool_name":5})"}) {
    EXPECT_EQ(parse(tags("{"), none), (Answer{none, "", {}}));
  }
}

TEST(TagAnswer, ABareBraceCountsOnlyAtTheStart) {
  const std::string call = R"({"name": "get_weather", "parameters": {"city": "Paris"}})";
  EXPECT_EQ(parse(tags("{"), "\n" + call), (Answer{"\n", "", {"id1 get_weather " + kPlace}}));
  EXPECT_EQ(parse(tags("{"), call + ";\n" + call),
            (Answer{"", "", {"id1 get_weather " + kPlace, "id2 get_weather " + kPlace}}));
  EXPECT_EQ(parse(tags("{"), "So: " + call), (Answer{"So: " + call, "", {}}));
  EXPECT_EQ(parse(tags("["), "[" + call + "]"), (Answer{"", "", {"id1 get_weather " + kPlace}}));
}

TEST(TagAnswer, WhatIsNoCallIsContent) {
  for (std::string text :
       {"{\"name\": \"unknown\", \"arguments\": {}}", "{\"answer\": [1, {}]} and more",
        "{ not json }", "{\"name\": \"get_weather\", \"arg"}) {
    EXPECT_EQ(parse(tags("{"), text), (Answer{text, "", {}})) << text;
  }
  for (std::string text :
       {"<tool_call> I will not", "<tool_call>{\"name\":\"x\"}</tool_call> ok"}) {
    EXPECT_EQ(parse(tags("<tool_call>"), text), (Answer{text, "", {}})) << text;
  }
}

RC_GTEST_PROP(TagAnswer, DoesNotDependOnHowTheTextIsSlicedAndLosesNothing, ()) {
  auto parts = *rc::gen::container<std::vector<std::string>>(
      rc::gen::elementOf(std::vector<std::string>{"<think>",
                                                  "</think>",
                                                  "<tool_call>",
                                                  "</tool_call>",
                                                  "{",
                                                  "}",
                                                  "[",
                                                  "]",
                                                  ",",
                                                  " ",
                                                  "\n",
                                                  "word",
                                                  "get",
                                                  "get_weather",
                                                  "\"",
                                                  "\\",
                                                  "{\"name\":\"get\",\"arguments\":{\"a\":1}}",
                                                  "{\"name\":\"no\",\"arguments\":{}}",
                                                  "\xC3\xA9",
                                                  "```",
                                                  "json",
                                                  "<|a|>",
                                                  "<｜a｜>"}));
  auto tag = *rc::gen::elementOf(std::vector<std::string>{"", "<tool_call>", "{", "[", "[CALLS]"});
  std::string text;
  for (const auto& part : parts) text += part;
  auto format = tags(tag);
  auto whole = parse(format, text, text.size() + 1);
  for (size_t slice = 1; slice <= 7; ++slice) RC_ASSERT(parse(format, text, slice) == whole);
  // Words are never eaten: they stand in no marker.
  auto count = [](const std::string& in) {
    size_t found = 0;
    for (size_t at = in.find("word"); at != in.npos; at = in.find("word", at + 1)) ++found;
    return found;
  };
  if (whole.calls.empty()) {
    RC_ASSERT(count(whole.content) + count(whole.thinking) == count(text));
  }
}

TEST(ToolCallIds, AreEightLettersAndDigits) {
  EXPECT_EQ(tool_call_id(0), "call_aaaaaaaa");
  EXPECT_EQ(tool_call_id(~uint64_t{0}).size(), 13u);
}

TEST(PlainAnswer, HasABound) {
  auto parser = AnswerFormat().make_parser({});
  EXPECT_EQ(parser->feed("<think>x")->content, "<think>x");
  auto delta = parser->feed(std::string(kAnswerBytesMax, 'x'));
  ASSERT_FALSE(delta);
  EXPECT_EQ(delta.error().code, Errc::overloaded);
}

class JinjaAnswer : public testing::Test {
 protected:
  // The format of answers to a question with or without tools.
  AnswerFormat format(const std::string& jinja, bool tools) {
    auto made = make_template({.jinja = jinja});
    EXPECT_TRUE(made) << made.error().what;
    ChatInput input;
    input.messages = {{.role = "user", .content = "Weather?"}};
    if (tools) {
      input.tools = {boost::json::parse(R"({"type":"function","function":{"name":"get_weather",
        "description":"d","parameters":{"type":"object","properties":{"city":{"type":"string"}},
        "required":["city"]}}})")};
    }
    auto rendered = (*made)->chat(input);
    EXPECT_TRUE(rendered) << rendered.error().what;
    return rendered->answer;
  }

  AnswerFormat hermes() { return format(test_data("hermes_thinking.jinja"), true); }

  void expect_any_slices(const AnswerFormat& chosen, const std::string& text, const Answer& want) {
    for (size_t slice : {1, 2, 3, 5, 7, 1000}) {
      EXPECT_EQ(parse(chosen, text, slice), want) << "slice " << slice;
    }
  }
};

TEST_F(JinjaAnswer, ThoughtContentAndCalls) {
  auto chosen = hermes();
  EXPECT_FALSE(chosen.plain());
  expect_any_slices(chosen,
                    "<think>\nI should look.\n</think>\n\nIt is 18 \xC2\xB0"
                    "C.",
                    {"It is 18 \xC2\xB0"
                     "C.",
                     "I should look.\n",
                     {}});
  expect_any_slices(
      chosen,
      "<think>\nhm\n</think>\n\n<tool_call>\n{\"name\": \"get_weather\", "
      "\"arguments\": {\"city\": \"Paris\"}}\n</tool_call>\n<tool_call>\n{\"name\": "
      "\"get_weather\", \"arguments\": {\"city\": \"Rome\"}}\n</tool_call>",
      {"",
       "hm\n",
       {"id1 get_weather {\"city\": \"Paris\"}", "id2 get_weather {\"city\": \"Rome\"}"}});
}

TEST_F(JinjaAnswer, ACallThatWasCutOffIsContent) {
  auto chosen = hermes();
  expect_any_slices(
      chosen, "Wait. <tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"ci",
      {"Wait. <tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"ci", "", {}});
}

TEST_F(JinjaAnswer, EmitsACallBeforeTheAnswerEnds) {
  auto chosen = hermes();
  auto parser = chosen.make_parser([] { return "call_1"; });
  auto first =
      parser->feed("<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"P");
  EXPECT_THAT(first->tool_calls, IsEmpty());
  auto second = parser->feed("aris\"}}\n</tool_call>");
  ASSERT_EQ(second->tool_calls.size(), 1u);
  EXPECT_EQ(second->tool_calls[0].id, "call_1");
  EXPECT_TRUE(parser->called_tools());
}

// Where llama.cpp's sources are at hand its real templates are tried, too.
TEST_F(JinjaAnswer, OtherFamilies) {
  struct Family {
    std::string file;
    bool tools;
    std::string text;
    Answer want;
  };
  const std::vector<std::string> calls = {"id1 get_weather {\"city\": \"Paris\"}"};
  const Family families[] = {
      {"Qwen-Qwen3-0.6B.jinja",
       true,
       "<think>\nhm\n</think>\n\n<tool_call>\n{\"name\": \"get_weather\", \"arguments\": "
       "{\"city\": \"Paris\"}}\n</tool_call>",
       {"", "hm\n", calls}},
      {"meta-llama-Llama-3.1-8B-Instruct.jinja",
       true,
       "{\"name\": \"get_weather\", \"parameters\": {\"city\": \"Paris\"}}",
       {"", "", calls}},
      {"meta-llama-Llama-3.1-8B-Instruct.jinja", true, "Just text.", {"Just text.", "", {}}},
      {"Qwen3-Coder.jinja",
       true,
       "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n</function>\n"
       "</tool_call>",
       {"", "", {"id1 get_weather {\"city\":\"Paris\"}"}}},
      {"openai-gpt-oss-120b.jinja",
       false,
       "<|channel|>analysis<|message|>Think.<|end|><|start|>assistant<|channel|>final<|message|>"
       "Hello.",
       {"Hello.", "Think.", {}}},
      {"deepseek-ai-DeepSeek-R1-Distill-Qwen-32B.jinja",
       false,
       "Hm.\n</think>\n\nYes.",
       {"Yes.", "Hm.\n", {}}}};
  const auto templates = llama_templates();
  for (const auto& family : families) {
    SCOPED_TRACE(family.file);
    ASSERT_TRUE(templates.contains(family.file));
    expect_any_slices(format(templates.at(family.file), family.tools), family.text, family.want);
  }
}

TEST_F(JinjaAnswer, TemplatesWithoutMarkersPassTextThrough) {
  EXPECT_TRUE(format(test_data("gemma.jinja"), false).plain());
  EXPECT_FALSE(format(test_data("hermes_thinking.jinja"), false).plain());
}

TEST_F(JinjaAnswer, ALongAnswerIsNotParsedForEveryPiece) {
  auto chosen = hermes();
  std::string text = "<think>x</think>";
  while (text.size() < 200'000) text += "word " + std::to_string(text.size()) + " ";
  text += "end";
  auto answer = parse(chosen, text, 4);
  EXPECT_EQ(answer.content, text.substr(16));
}

}  // namespace
}  // namespace om::prompt
