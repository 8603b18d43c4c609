// What is peculiar to requests for a text rather than a turn.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "generation/scripted_for_test.h"

namespace om::generation {
namespace {

using testing::Bench;
using testing::chat_request;
using ::testing::ElementsAre;
using testing::generate_request;
using testing::Outcome;
using ::testing::StartsWith;

constexpr std::string_view kThinkTemplate =
    "{{- range .Messages }}{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}"
    "{{ .Content }}{{ end }}|";

model::GenerateRequest raw_request(std::string prompt) {
  auto request = generate_request("m", std::move(prompt));
  request.raw = true;
  return request;
}

// Ollama's Go client sends every request with an empty system message and template.
TEST(Generate, TakesTheModelsOwnSystemAndTemplateForEmptyOnes) {
  Bench bench;
  bench.shelf.add("m").system = "Be kind.";
  auto request = generate_request("m", "Hi");
  request.system = request.template_text = "";
  request.common.debug_render_only = true;
  EXPECT_EQ(bench.generate(request).whole.rendered_prompt, "Be kind.|Hi|");
  request.system = "Be brief.";
  EXPECT_EQ(bench.generate(request).whole.rendered_prompt, "Be brief.|Hi|");
}

TEST(Generate, FillsInWithTheGoTemplateWhereTurnsAreOfTheJinja) {
  Bench bench;
  store::Model& model = bench.shelf.add("m");
  model.template_text = "{{ if .Suffix }}<pre>{{ .Prompt }}<suf>{{ .Suffix }}{{ end }}";
  model.gguf.chat_template =
      "{% for m in messages %}[{{ m.content }}]{% endfor %}"
      "{% if tools %}{{ tools }}<think></think>{% endif %}";
  auto request = generate_request("m", "a(");
  request.common.debug_render_only = true;
  EXPECT_THAT(bench.generate(request).whole.rendered_prompt, StartsWith("[a(]"));
  request.suffix = ")";
  const Outcome outcome = bench.generate(request);
  ASSERT_FALSE(outcome.error) << outcome.error->what;
  EXPECT_EQ(outcome.whole.rendered_prompt, "<pre>a(<suf>)");
}

TEST(Generate, UnloadsEmbeddingModelsToo) {
  Bench bench;
  store::Model& model = bench.shelf.add("e");
  model.capabilities = {"embedding"};
  auto generate = generate_request("e", "");
  generate.common.keep_alive.duration = std::chrono::nanoseconds(0);
  auto chat = chat_request("e", "");
  chat.messages.clear();
  chat.common.keep_alive = generate.common.keep_alive;
  for (const Outcome& outcome : {bench.generate(generate), bench.chat(chat)}) {
    ASSERT_FALSE(outcome.error) << outcome.error->what;
    EXPECT_EQ(outcome.whole.reason, model::DoneReason::unload);
  }
  const Digest key = model.manifest.runner_key();
  EXPECT_THAT(bench.script.unloaded, ElementsAre(key, key));
  generate.common.keep_alive = {};
  EXPECT_EQ(bench.generate(generate).error->what, "\"e\" does not support generate");
}

TEST(Generate, TellsTheThoughtApartAfterARawPrompt) {
  for (const bool open : {false, true}) {
    for (const bool dies : {false, true}) {
      Bench bench;
      store::Model& model = bench.shelf.add("m");
      model.template_text = kThinkTemplate;
      model.capabilities = {"completion", "thinking"};
      bench.script.answer = open ? "hmm</think>\n\nYes." : "<think>hmm</think>\n\nYes.";
      if (dies) bench.script.deaths = {6};
      const Outcome outcome = bench.generate(raw_request(open ? "Hi <think>\n" : "Hi"));
      ASSERT_FALSE(outcome.error) << outcome.error->what;
      EXPECT_EQ(outcome.whole.thinking, "hmm");
      EXPECT_EQ(outcome.whole.content, "Yes.");
    }
  }
}

TEST(Generate, LeavesARawAnswerWholeWhereNoThoughtIsWanted) {
  Bench bench;
  bench.shelf.add("m").template_text = kThinkTemplate;
  bench.script.answer = "<think>hmm</think>Yes.";
  auto request = raw_request("Hi");
  request.common.think = {.is_set = true, .enabled = false};
  EXPECT_EQ(bench.generate(request).whole.content, "<think>hmm</think>Yes.");
  bench.shelf.add("m");
  request.common.think.enabled = true;
  EXPECT_EQ(bench.generate(request).error->what, "\"m\" does not support thinking");
  request.common.think.if_able = true;
  EXPECT_EQ(bench.generate(request).whole.content, "<think>hmm</think>Yes.");
}

}  // namespace
}  // namespace om::generation
