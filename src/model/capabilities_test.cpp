#include "model/capabilities.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace om::model {
namespace {

using testing::ElementsAre;

TEST(Capabilities, OfAnEmbeddingModelAreNoMoreThanThat) {
  GgufSummary weights;
  weights.has_pooling = true;
  weights.chat_template = "tools <think></think>";
  EXPECT_THAT(find_capabilities({.weights = weights}), ElementsAre("embedding"));
}

TEST(Capabilities, ComeFromTheJinjaWhereThereIsNoGoTemplate) {
  GgufSummary weights;
  EXPECT_THAT(find_capabilities({.weights = weights}), ElementsAre("completion"));
  weights.chat_template = "{% if tools %}<think>{% endif %}</think>";
  EXPECT_THAT(find_capabilities({.weights = weights}),
              ElementsAre("completion", "tools", "thinking"));
  EXPECT_THAT(find_capabilities({.weights = weights, .go_template = "{{ .Prompt }}"}),
              ElementsAre("completion", "tools", "thinking"))
      << "the GGUF's template is used for its tools";
  weights.chat_template = "{{ enable_thinking }}";
  EXPECT_THAT(find_capabilities({.weights = weights, .go_template = "{{ .Prompt }}"}),
              ElementsAre("completion"))
      << "the Go template wins";
}

// Of the templates that DeepSeek R1 and QwQ came with first.
TEST(Capabilities, CountThoughtsThatATemplateOnlyCutsOut) {
  GgufSummary weights;
  weights.chat_template =
      "{% if m['tool_calls'] %}{% endif %}{{ content.split('</think>')[-1] }}<｜Assistant｜>";
  const std::string_view go = "{{ range .Messages }}{{ .Thinking }}{{ end }}";
  EXPECT_THAT(find_capabilities({.weights = weights, .go_template = go}),
              ElementsAre("completion", "tools", "thinking"));
  for (const char* other : {"{{ m.reasoning_content }}", "<SPECIAL_12>"}) {
    EXPECT_FALSE(jinja_features(weights.chat_template + other, "").thinking) << other;
  }
}

TEST(Capabilities, AreThoseOfTheTemplateThatIsUsed) {
  GgufSummary weights;
  weights.chat_template = "{% if tools %}";
  const std::string_view fim = "{{ .Prompt }}{{ .Suffix }}";
  EXPECT_THAT(find_capabilities({.weights = weights, .go_template = fim}),
              ElementsAre("completion", "insert"))
      << "the other does no more";
  weights.chat_template = "{% if tools %}<think></think>";
  EXPECT_THAT(find_capabilities({.weights = weights, .go_template = fim}),
              ElementsAre("completion", "tools", "insert", "thinking"))
      << "with a suffix, the Go template is used";
  weights.chat_template = "{% if tools %}";
  const std::string_view both = "{{ .Tools }}{{ range .Messages }}{{ .Thinking }}{{ end }}";
  EXPECT_THAT(find_capabilities({.weights = weights, .go_template = both}),
              ElementsAre("completion", "tools", "thinking"));
  EXPECT_THAT(find_capabilities({.weights = weights, .renderer = "new", .go_template = both}),
              ElementsAre("completion", "tools"));
}

TEST(Capabilities, ComeFromProjectorsParsersAndArchitecture) {
  GgufSummary weights;
  EXPECT_THAT(find_capabilities({.weights = weights,
                                 .projector_vision = true,
                                 .projector_audio = true,
                                 .parser = "qwen3-vl-thinking"}),
              ElementsAre("completion", "vision", "audio", "tools", "thinking"));
  EXPECT_THAT(find_capabilities({.weights = weights, .parser = "no-such-parser"}),
              ElementsAre("completion"));
  weights.architecture = "gpt-oss";
  EXPECT_THAT(find_capabilities({.weights = weights, .go_template = "{{ .Suffix }}"}),
              ElementsAre("completion", "insert", "thinking"));
}

// As Ollama chooses (server/images.go).
TEST(ReasonForJinja, IsThatItDoesMoreOrTakesTheResultsOfCalls) {
  const std::string none = "{{ .Prompt }}", fim = "{{ .Suffix }}", tools = "{{ .Tools }}",
                    thinks = "{{ range .Messages }}{{ .Thinking }}{{ end }}",
                    trip = tools + "{{ .ToolCalls }}{{ if eq .Role \"tool\" }}{{ end }}";
  const std::string jinja_tools = "{{ tools }}", jinja_thinks = "<think></think>",
                    jinja_trip = jinja_tools + "tool_calls {% if message.role == 'tool' %}";
  struct Case {
    std::string go, jinja;
    bool used;
  };
  const Case cases[] = {{none, "{{ messages }}", false},
                        {none, jinja_tools, true},
                        {none, jinja_thinks, true},
                        {fim, jinja_tools, false},
                        {thinks, jinja_tools, false},
                        {thinks, jinja_tools + jinja_thinks, true},
                        {tools, jinja_tools, false},
                        {tools, jinja_trip, true},
                        {trip, jinja_trip, false},
                        {tools, jinja_tools + jinja_thinks, true},
                        {trip, jinja_tools + jinja_thinks, false},
                        {trip, jinja_trip + jinja_thinks, true},
                        {trip, jinja_trip + "{{ enable_thinking }}", false},
                        {trip + thinks, jinja_trip + jinja_thinks, false}};
  for (const auto& [go, jinja, used] : cases) {
    EXPECT_EQ(!reason_for_jinja({.go = go, .jinja = jinja}).empty(), used) << go << " " << jinja;
  }
  EXPECT_FALSE(reason_for_jinja({.go = tools, .jinja = "a", .jinja_tools = jinja_trip}).empty());
}

TEST(GoTemplateFeatures, SeeFieldsAndNotWords) {
  EXPECT_TRUE(go_template_features("{{- if $.Tools }}x{{ end }}").tools);
  EXPECT_FALSE(go_template_features("text .Tools {{ .ToolsX }} {{ \".Tools\" }}").tools);
  EXPECT_FALSE(go_template_features("{{/* .Tools */}}{{ `.Tools }}` }}").tools);
  EXPECT_TRUE(go_template_features("{{ .Prompt }}{{ .Suffix }}").insert);
}

TEST(GoTemplateFeatures, ThinkingCountsOnlyInsideTheMessages) {
  EXPECT_TRUE(
      go_template_features("{{ range $i, $_ := .Messages }}{{ if .Thinking }}t{{ end }}{{ end }}")
          .thinking);
  EXPECT_FALSE(go_template_features("{{ range .Messages }}{{ end }}{{ .Thinking }}").thinking);
  EXPECT_FALSE(go_template_features("{{ range .Tools }}{{ .Thinking }}{{ end }}").thinking);
}

RC_GTEST_PROP(GoTemplateFeaturesProperty, AnyTextIsSurvived, ()) {
  auto text =
      *rc::gen::container<std::string>(rc::gen::elementOf(std::string("{}\"`/*\\.TolsRange ")));
  go_template_features(text);
}

}  // namespace
}  // namespace om::model
