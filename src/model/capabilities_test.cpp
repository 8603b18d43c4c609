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
  weights.chat_template = "<think></think>";
  EXPECT_THAT(find_capabilities({.weights = weights, .go_template = "{{ .Prompt }}"}),
              ElementsAre("completion"))
      << "the Go template wins";
}

TEST(Capabilities, AreThoseOfTheTemplateThatIsUsed) {
  GgufSummary weights;
  weights.chat_template = "{% if tools %}";
  const std::string_view fim = "{{ .Prompt }}{{ .Suffix }}";
  EXPECT_THAT(find_capabilities({.weights = weights, .go_template = fim}),
              ElementsAre("completion", "tools", "insert"))
      << "with a suffix, the Go template is used";
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
