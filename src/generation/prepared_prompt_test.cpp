#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "generation/scripted_for_test.h"

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
Outcome ask(model::ChatRequest request) {
  Bench bench;
  store::Model& model = bench.shelf.add("m");
  model.template_text.reset();
  model.gguf.chat_template = kWantsAQuestion;
  bench.script.answer = "x";
  bench.script.context = 256;
  return bench.chat(std::move(request));
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

}  // namespace
}  // namespace om::generation
