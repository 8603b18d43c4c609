#include "prompt/turns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "prompt/template_files_for_test.h"

namespace om::prompt {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

model::Message message(std::string role, std::string content) {
  return {.role = std::move(role), .content = std::move(content)};
}

std::shared_ptr<const Template> jinja(std::string text) {
  auto made = make_template({.jinja = std::move(text), .eos_token = "</s>"});
  EXPECT_TRUE(made) << made.error().what;
  return made ? *made : nullptr;
}

std::shared_ptr<const Template> real(const std::string& file) {
  const auto files = llama_templates();
  EXPECT_TRUE(files.contains(file)) << file;
  return jinja(files.at(file));
}

std::string prompt(const Template& chosen, std::vector<model::Message> messages) {
  auto rendered = chosen.chat({.messages = std::move(messages)});
  return rendered ? rendered->prompt : "error: " + rendered.error().what;
}

std::vector<model::Message> as_codex_sends_it() {
  return {message("system", "You are Codex"), message("system", "rules"), message("user", "env"),
          message("user", "hi")};
}

TEST(Turns, SystemMessagesAtTheFrontAreOne) {
  for (const char* file : {"Qwen3.5-4B.jinja", "mistralai-Ministral-3-14B-Reasoning-2512.jinja",
                           "Mistral-Small-3.2-24B-Instruct-2506.jinja", "openai-gpt-oss-120b.jinja",
                           "google-gemma-2-2b-it.jinja", "Qwen-Qwen3-0.6B.jinja"}) {
    const std::string text = prompt(*real(file), as_codex_sends_it());
    EXPECT_THAT(text, HasSubstr("You are Codex\n\nrules")) << file;
    EXPECT_THAT(text, HasSubstr("env")) << file;
    EXPECT_THAT(text, HasSubstr("hi")) << file;
  }
}

TEST(Turns, StayAsTheyWereSentWhereTheTemplateTakesThem) {
  EXPECT_THAT(prompt(*real("Qwen3.5-4B.jinja"), as_codex_sends_it()),
              HasSubstr("<|im_start|>user\nenv<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n"));
}

TEST(Turns, RulesInTheMiddleAreSaidByTheUserWhereTheTemplateKnowsOnlyThoseAtTheFront) {
  const std::vector<model::Message> messages = {
      message("system", "be brief"), message("user", "hi"), message("assistant", "hello"),
      message("user", "and"), message("system", "no jokes")};
  for (const char* file : {"Qwen3.5-4B.jinja", "mistralai-Ministral-3-14B-Reasoning-2512.jinja",
                           "openai-gpt-oss-120b.jinja"}) {
    EXPECT_THAT(prompt(*real(file), messages), HasSubstr("and\n\nno jokes")) << file;
  }
  EXPECT_THAT(prompt(*real("Qwen-Qwen3-0.6B.jinja"), messages),
              HasSubstr("<|im_start|>system\nno jokes<|im_end|>"));
}

TEST(Turns, AWordOfTheUserBehindAToolsResultGoesWithItWhereItMayNotStandThere) {
  model::Message call = message("assistant", "");
  call.tool_calls = {{"call00001", "f", "{}"}};
  model::Message result = message("tool", "18 C");
  result.tool_call_id = "call00001";
  const std::vector<model::Message> messages = {message("user", "hi"), call, result,
                                                message("user", "be quick")};
  EXPECT_THAT(prompt(*real("mistralai-Ministral-3-14B-Reasoning-2512.jinja"), messages),
              HasSubstr("[TOOL_RESULTS]18 C\n\nbe quick[/TOOL_RESULTS]"));
  EXPECT_THAT(prompt(*real("Qwen3.5-4B.jinja"), messages),
              HasSubstr("<|im_start|>user\nbe quick<|im_end|>"));
}

TEST(Turns, CallsAreNamedAsMistralWantsItWhateverTheClientCallsThem) {
  const auto conversation = [](std::string first, std::string second, bool told) {
    model::Message calls = message("assistant", "");
    calls.tool_calls = {{first, "f", "{}"}, {second, "g", "{}"}};
    model::Message one = message("tool", "18 C"), two = message("tool", "19 C");
    // Results may come in another order; where no ids are told, in that of the calls.
    one.tool_call_id = told ? second : "";
    two.tool_call_id = told ? first : "";
    return std::vector{message("user", "hi"), calls, one, two};
  };
  for (const char* file : {"Mistral-Small-3.2-24B-Instruct-2506.jinja",
                           "mistralai-Mistral-Nemo-Instruct-2407.jinja"}) {
    const auto chosen = real(file);
    const std::string own = prompt(*chosen, conversation("call00001", "call00002", true));
    EXPECT_THAT(own, HasSubstr("call00001")) << file;
    EXPECT_EQ(prompt(*chosen, conversation("toolu_01A09q90qw90", "call_9", true)), own) << file;
    const std::string untold = prompt(*chosen, conversation("", "", false));
    EXPECT_THAT(untold, HasSubstr("call00001")) << file;
    EXPECT_THAT(untold, Not(HasSubstr("error:"))) << file;
  }
  const auto kimi = prompt(*real("moonshotai-Kimi-K2.jinja"),
                           conversation("functions.f:0", "functions.g:1", true));
  EXPECT_THAT(kimi, HasSubstr("functions.f:0"));
}

TEST(Turns, CallsAreToldOneByOneWhereTheTemplateKnowsOneInATurn) {
  const auto conversation = [](std::string first, std::string second) {
    model::Message calls = message("assistant", "");
    calls.tool_calls = {{"a", "weather", R"({"place":"Rome"})"}, {"b", "clock", "{}"}};
    model::Message one = message("tool", "18 C"), two = message("tool", "noon");
    one.tool_call_id = std::move(first);
    two.tool_call_id = std::move(second);
    std::vector messages{message("user", "hi"), calls, one, two, message("user", "and?")};
    if (messages[2].tool_call_id == "b") std::swap(messages[2].content, messages[3].content);
    return messages;
  };
  for (const char* file :
       {"meta-llama-Llama-3.1-8B-Instruct.jinja", "meta-llama-Llama-3.2-3B-Instruct.jinja",
        "meta-llama-Llama-3.3-70B-Instruct.jinja", "openai-gpt-oss-120b.jinja",
        "GigaChat3-10B-A1.8B.jinja", "GigaChat3.1-10B-A1.8B.jinja"}) {
    const auto chosen = real(file);
    // By their ids, in another order, and where the ids are those of other calls or none.
    for (const auto& messages : {conversation("a", "b"), conversation("b", "a"),
                                 conversation("x", "b"), conversation("", "")}) {
      const std::string text = prompt(*chosen, messages);
      size_t at = 0;
      for (const char* part : {"weather", "Rome", "18 C", "clock", "noon", "and?"}) {
        const size_t found = text.find(part, at);
        EXPECT_NE(found, text.npos) << file << " " << part << "\n" << text;
        at = std::max(at, found == text.npos ? at : found);
      }
    }
    auto rendered = chosen->chat({.messages = {message("user", "hi")}});
    ASSERT_TRUE(rendered) << file;
    EXPECT_TRUE(rendered->one_call) << file;
  }
  const auto qwen = real("Qwen-Qwen3-0.6B.jinja");
  EXPECT_THAT(prompt(*qwen, conversation("a", "b")),
              HasSubstr("</tool_call>\n<tool_call>\n{\"name\": \"clock\""));
  EXPECT_FALSE(qwen->chat({.messages = {message("user", "hi")}})->one_call);
}

TEST(Turns, CallsWithoutResultsAndResultsWithoutCallsStay) {
  model::Message calls = message("assistant", "well");
  calls.tool_calls = {{"a", "f", "{}"}, {"b", "g", "{}"}};
  std::vector<model::Message> results(3, message("tool", "one"));
  for (auto& result : results) result.tool_call_id = "b";
  const auto told = [](const std::vector<model::Message>& messages) {
    std::string text;
    for (const auto& message : messages) {
      text += message.role + ":" + message.content;
      for (const auto& call : message.tool_calls) text += call.name;
      text += " ";
    }
    return text;
  };
  EXPECT_EQ(told(with_single_calls({calls, results[0], results[1], message("user", "hi")})),
            "assistant:wellf assistant:g tool:one tool:one user:hi ");
  EXPECT_EQ(told(with_single_calls({calls})), "assistant:wellf assistant:g ");
  EXPECT_EQ(told(with_single_calls({results[2]})), "tool:one ");
}

// 1.2e11 comparisons, when each call looked through all results and each of these through all
// calls.
TEST(Turns, ManyCallsWithoutResultsAreToldSoon) {
  model::Message calls = message("assistant", "");
  for (int i = 0; i < 4'999; ++i) calls.tool_calls.push_back({fmt::format("x{}", i), "f", "{}"});
  calls.tool_calls.push_back({"z", "f", "{}"});
  std::vector<model::Message> messages(5'001, message("tool", "one"));
  for (auto& result : messages) result.tool_call_id = "z";
  messages.front() = calls;
  const std::clock_t start = std::clock();
  const auto told = with_single_calls(messages);
  EXPECT_LT(std::clock() - start, 5 * CLOCKS_PER_SEC);
  ASSERT_EQ(told.size(), 10'000u);
  EXPECT_EQ(told[4'999].tool_calls.at(0).id, "z");
  EXPECT_EQ(told[5'000].role, "tool");
}

TEST(Turns, ImagesStayAmongTheTextsTheyCameWith) {
  auto first = message("user", "see [img] there");
  first.images = {"x", "y"};
  auto second = message("user", "and this");
  second.images = {"z"};
  const auto turns = in_turns({first, second, message("assistant", "ok")}, "<M>");
  ASSERT_EQ(turns.size(), 2u);
  EXPECT_EQ(turns[0].content, "<M>see <M> there\n\n<M>and this");
  EXPECT_TRUE(turns[0].images.empty());
}

TEST(Turns, WhatTheTemplateRefusesAllTheSameIsToldAsItWasSent) {
  const auto strict = jinja(
      "{%- for m in messages %}{%- if m.role != 'user' %}"
      "{{- raise_exception('no ' + m.role) }}{%- endif %}{{- m.content }}{%- endfor %}");
  EXPECT_THAT(prompt(*strict, {message("user", "a"), message("robot", "b"), message("user", "c"),
                               message("user", "d")}),
              HasSubstr("no robot"));
}

TEST(Turns, AnAnswerThatSaysNothingIsBegunByTheModel) {
  for (const char* file : {"Qwen-Qwen3-0.6B.jinja", "Qwen3.5-4B.jinja"}) {
    const auto chosen = real(file);
    const std::vector<model::Message> asked = {message("user", "hi")};
    const std::string expected = prompt(*chosen, asked);
    EXPECT_EQ(prompt(*chosen, {asked[0], message("assistant", "")}), expected);
    EXPECT_EQ(prompt(*chosen, {asked[0], message("assistant", ""), message("assistant", "")}),
              expected);
    EXPECT_THAT(expected, HasSubstr("<|im_start|>assistant"));
    auto thinking = message("assistant", "");
    thinking.thinking = "well";
    EXPECT_THAT(prompt(*chosen, {asked[0], thinking}), EndsWith("well")) << file;
  }
}

TEST(Turns, WhatWasSaidContinuesAnAnswerThatWasBegun) {
  const auto chosen = jinja(test_data("smollm2.jinja"));
  const ChatInput input{.messages = {message("user", "hi"), message("assistant", "Good")},
                        .said = " night"};
  const auto rendered = chosen->chat(input);
  ASSERT_TRUE(rendered) << rendered.error().what;
  EXPECT_THAT(rendered->prompt, EndsWith("<|im_start|>assistant\nGood night"));
}

TEST(Tools, MayHaveNullMembers) {
  ChatInput input{.messages = {message("user", "hi")}};
  input.tools = {boost::json::parse(R"({"type":"function","function":{"name":"f",
      "description":null,"parameters":null,"strict":null}})")};
  const auto rendered = jinja(test_data("hermes_thinking.jinja"))->chat(input);
  ASSERT_TRUE(rendered) << rendered.error().what;
  EXPECT_THAT(rendered->prompt, HasSubstr("\"name\": \"f\""));
  EXPECT_THAT(rendered->prompt, Not(HasSubstr("null")));
}

}  // namespace
}  // namespace om::prompt
