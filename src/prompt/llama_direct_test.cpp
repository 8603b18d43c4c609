#include "prompt/llama_direct.h"

#include <gtest/gtest.h>

#include "prompt/llama_chat.h"
#include "prompt/llama_inputs.h"
#include "prompt/template_files_for_test.h"

namespace om::prompt::llama {
namespace {

constexpr auto kTyped =
    "{% for m in messages %}<{{ m.role }}>{% for part in m.content %}{{ part.text }}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
constexpr auto kOpensByLast =
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt and messages[-1].role != 'tool' %}<assistant>{% endif %}";
constexpr auto kOpensByText =
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% if '/no_think' in messages[-1].content %}"
    "<think></think>{% endif %}{% endif %}";
constexpr auto kDated = "{{ date_string }} {{ datetime }}{{ messages[-1].content }}<assistant>";

std::vector<std::string> templates() {
  return {test_data("smollm2.jinja"),
          test_data("hermes_thinking.jinja"),
          test_data("gemma.jinja"),
          kTyped,
          kOpensByLast,
          kOpensByText};
}

boost::json::value tool(const std::string& name) {
  return boost::json::parse(R"({"type":"function","function":{"name":")" + name +
                            R"(","description":"d","parameters":{"type":"object",
      "properties":{"city":{"type":"string"}}}}})");
}

std::vector<ChatInput> conversations() {
  const model::Message user{.role = "user", .content = "Where is \"it\"?\n"};
  const model::Message quiet{.role = "user", .content = "Go /no_think"};
  const model::Message system{.role = "system", .content = " Be brief. "};
  const model::Message developer{.role = "developer", .content = "Be long."};
  const model::Message said{.role = "assistant", .content = "Here.", .thinking = "Hm."};
  const model::Message called{
      .role = "assistant",
      .tool_calls = {{.id = "call_1", .name = "where", .arguments = R"({"city":"Ulm"})"}}};
  const model::Message result{
      .role = "tool", .content = "9 N", .tool_name = "where", .tool_call_id = "call_1"};
  std::vector<ChatInput> all;
  for (const std::vector<model::Message>& messages : {std::vector{user},
                                                      {quiet},
                                                      {system, user},
                                                      {developer, user},
                                                      {user, said, user},
                                                      {system, user, called, result},
                                                      {user, called, result, said, quiet},
                                                      {system}}) {
    ChatInput input{.messages = messages};
    all.push_back(input);
    input.think = {.is_set = true, .enabled = false};
    all.push_back(input);
    input.think = {.is_set = true, .enabled = true, .level = "low"};
    all.push_back(input);
    input.think = {};
    input.tools = {tool("where"), tool("when")};
    all.push_back(input);
    input.tool_choice = "when";
    all.push_back(input);
    input = {.messages = messages, .format = {.kind = model::Format::Kind::json}};
    all.push_back(input);
  }
  return all;
}

// How many conversations both rendered; 0 if only the library does.
int compare(const std::string& text, const std::vector<ChatInput>& conversations, size_t step) {
  const auto library = common_chat_templates_init(nullptr, text, "<bos>", "<eos>");
  const auto direct =
      DirectRenderer::make(common_chat_templates_source(library.get()), "<bos>", "<eos>");
  if (!direct) return 0;
  int compared = 0;
  for (size_t i = 0; i < conversations.size(); i += step) {
    auto inputs = to_inputs(conversations[i], false);
    inputs.chat_template_kwargs["date_string"] = R"("21 Sep 2026")";
    inputs.chat_template_kwargs["datetime"] = R"("Sep 21 2026")";
    std::string expected;
    try {
      expected = common_chat_templates_apply(library.get(), inputs).prompt;
    } catch (const std::exception&) {
      continue;  // Some templates refuse some conversations.
    }
    compared++;
    EXPECT_EQ(direct->render(inputs), expected);
  }
  return compared;
}

TEST(DirectRenderer, RendersWhatTheLibraryDoes) {
  for (const std::string& text : templates()) {
    SCOPED_TRACE(text);
    EXPECT_GT(compare(text, conversations(), 1), 30);
  }
}

TEST(DirectRenderer, RendersTemplatesOfRealModelsAsTheLibraryDoes) {
  const auto files = llama_templates();
  ASSERT_GT(files.size(), 50U);
  int rendered = 0;
  for (const auto& [name, text] : files) {
    SCOPED_TRACE(name);
    rendered += compare(text, conversations(), 17) > 0;
  }
  EXPECT_GT(rendered, 30);  // The others are the library's own.
}

TEST(DirectRenderer, TellsTheDateOfTheRequest) {
  ChatInput input{.messages = {{.role = "user", .content = "Hi"}}, .now_seconds = 1'790'000'000};
  EXPECT_EQ(DirectRenderer::make(kDated, "", "")->render(to_inputs(input, false)),
            "21 Sep 2026 Sep 21 2026Hi<assistant>");
}

TEST(DirectRenderer, LeavesTemplatesToTheLibraryThatItTreatsInAWayOfItsOwn) {
  const std::string channels = "{{ messages[0].content }}<|channel|>final";
  EXPECT_FALSE(DirectRenderer::make(channels, "", ""));
  const std::string trimmed =
      "{# You have access to the following functions in JSONSchema format #}"
      "{% for m in messages %}{{ m.content }}{% endfor %}";
  EXPECT_FALSE(DirectRenderer::make(trimmed, "", ""));
}

// A template that has answered other conversations makes of one what a fresh one makes of it.
TEST(ChatTemplate, WhatItKnowsFromOtherConversationsChangesNothing) {
  const std::string answer =
      "<think>\nSo.</think>\n\nYes <tool_call>\n{\"name\": \"where\", "
      "\"arguments\": {\"city\":\"Ulm\"}}\n</tool_call>";
  for (const std::string& text : templates()) {
    const auto used = compile(text, "<bos>", "<eos>").value();
    for (const ChatInput& input : conversations()) (void)used->apply(input);
    const auto inputs = conversations();
    for (size_t i = 0; i < inputs.size(); i += 5) {  // Each kind of request; a fresh one is slow.
      const ChatInput& input = inputs[i];
      const auto got = used->apply(input);
      const auto expected = compile(text, "<bos>", "<eos>").value()->apply(input);
      ASSERT_EQ(got.has_value(), expected.has_value()) << text;
      if (!got) continue;
      EXPECT_EQ(got->prompt, expected->prompt) << text;
      EXPECT_EQ(got->constraint.grammar, expected->constraint.grammar);
      EXPECT_EQ(got->constraint.generation_prompt, expected->constraint.generation_prompt);
      EXPECT_EQ(got->stops, expected->stops);
      EXPECT_EQ(got->thinks, expected->thinks);
      EXPECT_EQ(got->parser->plain(), expected->parser->plain());
      const auto parsed = got->parser->parse(answer, true);
      const auto fresh = expected->parser->parse(answer, true);
      ASSERT_EQ(parsed.has_value(), fresh.has_value());
      if (!parsed) continue;
      EXPECT_EQ(parsed->content, fresh->content);
      EXPECT_EQ(parsed->thinking, fresh->thinking);
      EXPECT_EQ(parsed->tool_calls.size(), fresh->tool_calls.size());
    }
  }
}

}  // namespace
}  // namespace om::prompt::llama
