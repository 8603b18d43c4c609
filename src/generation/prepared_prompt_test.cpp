#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <span>

#include "generation/scripted_for_test.h"
#include "prompt/template_files_for_test.h"

namespace om::generation {
namespace {

using testing::Bench;
using testing::chat_request;
using ::testing::HasSubstr;
using testing::Outcome;

// As Qwen3.5's: it wants a question among the messages.
constexpr std::string_view kWantsAQuestion =
    "{%- set found = namespace(user=false) %}{%- for m in messages %}"
    "{%- if m.role == 'user' %}{%- set found.user = true %}{%- endif %}{%- endfor %}"
    "{%- if not found.user %}{{- raise_exception('No user query found in messages.') }}{%- endif %}"
    "{%- for m in messages %}{{- '[' + m.role + ']' + m.content }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '[assistant]' }}{%- endif %}";

model::ChatRequest long_work() {
  auto request = chat_request("m", "Do it.");
  for (int i = 0; i < 8; i++) {
    request.messages.push_back({.role = "assistant", .content = "I look."});
    request.messages.push_back({.role = "tool", .content = std::string(40, 'r')});
  }
  return request;
}

// What comes of it with a context of 256 tokens.
Outcome ask(Bench& bench, std::string_view chat_template, model::ChatRequest request) {
  store::Model& model = bench.shelf.add("m");
  model.template_text.reset();
  model.gguf.chat_template = chat_template;
  bench.script.answer = "x";
  bench.script.context = 256;
  return bench.chat(std::move(request));
}
Outcome ask(model::ChatRequest request) {
  Bench bench;
  return ask(bench, kWantsAQuestion, std::move(request));
}

TEST(PreparedPrompt, IsTooLongWhereTheTemplateRefusesEveryShorterOne) {
  const Outcome outcome = ask(long_work());
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->code, Errc::invalid_argument);
  EXPECT_THAT(outcome.error->what, HasSubstr("exceed_context_size_error"));
  EXPECT_THAT(outcome.error->what, HasSubstr("\"n_ctx\":256"));
}

TEST(PreparedPrompt, IsTheLongestThatTheTemplateTakes) {
  auto request = long_work();
  request.messages.insert(request.messages.end() - 1, {.role = "user", .content = "Go on."});
  const Outcome outcome = ask(std::move(request));
  ASSERT_FALSE(outcome.error) << outcome.error->what;
  EXPECT_EQ(outcome.whole.content, "x");
}

using Messages = std::span<const model::Message>;

// A template that refuses some beginnings, and whether it takes these messages.
struct Strict {
  std::string_view name, check;  // For each message `m`.
  bool (*takes)(Messages);
};
constexpr Strict kInTurns = {
    .name = "in turns",
    .check = "(m.role == 'user') != (loop.index0 % 2 == 0)",
    .takes = [](Messages messages) { return messages.front().role == "user"; }};
constexpr Strict kNoOrphans = {
    .name = "no result without its call",
    .check = "m.role == 'tool' and loop.first",
    .takes = [](Messages messages) { return messages.front().role != "tool"; }};
constexpr Strict kAsksLater = {
    .name = "a question",
    .check = "loop.first and not messages | selectattr('role', 'equalto', 'user') | list",
    .takes = [](Messages messages) {
      return std::ranges::find(messages, "user", &model::Message::role) != messages.end();
    }};

// `shape` over and over: u, a and t for the user, the assistant and a tool's result.
std::vector<model::Message> conversation(std::string_view shape, size_t size) {
  std::vector<model::Message> messages;
  for (size_t i = 0; i < size; i++) {
    const char who = shape[i % shape.size()];
    model::Message message{.role = who == 'u' ? "user" : who == 'a' ? "assistant" : "tool"};
    message.content = fmt::format("{}{}", i, std::string(i * 7 % 13, '.'));
    messages.push_back(std::move(message));
  }
  return messages;
}

// What the longest of the messages' ends that template and context take becomes.
std::string longest(const Strict& strict, Messages messages) {
  for (; !messages.empty(); messages = messages.subspan(1)) {
    std::string text;
    for (const model::Message& message : messages)
      text += "[" + message.role + "]" + message.content;
    text += "[assistant]";
    if (text.size() < 256 && strict.takes(messages)) return text;
  }
  return "none";
}

TEST(PreparedPrompt, ForgetsTheFewestMessagesWhateverStartsTheTemplateRefuses) {
  const std::pair<const Strict&, std::vector<std::string_view>> cases[] = {
      {kInTurns, {"ua"}},
      {kNoOrphans, {"ua", "uatatatata", "uattatttattat", "uattttttt"}},
      {kAsksLater, {"ua", "uatatatata", "uatatatatatatatatatatatatatatatatatatatatatatat"}}};
  for (const auto& [strict, shapes] : cases) {
    const std::string chat_template = fmt::format(
        "{{%- for m in messages %}}{{%- if {} %}}{{{{- raise_exception('no') }}}}{{%- endif %}}"
        "{{{{- '[' + m.role + ']' + m.content }}}}{{%- endfor %}}"
        "{{%- if add_generation_prompt %}}{{{{- '[assistant]' }}}}{{%- endif %}}",
        strict.check);
    for (const std::string_view shape : shapes) {
      for (size_t size = 5; size <= 41; size += 3) {
        auto request = chat_request("m", "");
        request.messages = conversation(shape, size);
        if (request.messages.back().role == "assistant") continue;
        const std::string expected = longest(strict, request.messages);
        Bench bench;
        const Outcome outcome = ask(bench, chat_template, std::move(request));
        const auto& asked = bench.script.requests;
        EXPECT_EQ(asked.empty() ? "none" : testing::to_text(asked.front().tokens), expected)
            << strict.name << " " << shape << " " << size
            << (outcome.error ? outcome.error->what : "");
      }
    }
  }
}

TEST(PreparedPrompt, LetsOneCallBeMadeWhereTheTemplateKnowsOneInATurn) {
  struct Case {
    std::string file, answer;
    size_t calls;
  };
  const std::string llama = R"({"name": "add", "parameters": {"a": 1}})";
  const std::string qwen = "<tool_call>\n{\"name\": \"add\", \"arguments\": {}}\n</tool_call>";
  for (const auto& [file, answer, calls] :
       {Case{"meta-llama-Llama-3.1-8B-Instruct.jinja", llama + ", " + llama, 1},
        Case{"Qwen-Qwen3-0.6B.jinja", qwen + "\n" + qwen, 2}}) {
    auto request = chat_request("m", "Hi");
    request.tools.push_back(boost::json::parse(
        R"({"type":"function","function":{"name":"add","parameters":{"type":"object"}}})"));
    Bench bench;
    store::Model& model = bench.shelf.add("m");
    model.template_text.reset();
    model.gguf.chat_template = prompt::llama_templates()[file];
    bench.script.answer = answer;
    const Outcome outcome = bench.chat(std::move(request));
    ASSERT_FALSE(outcome.error) << outcome.error->what;
    EXPECT_EQ(outcome.whole.tool_calls.size(), calls) << file;
  }
}

}  // namespace
}  // namespace om::generation
