#include "prompt/go_call.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "prompt/go_template.h"
#include "prompt/render.h"
#include "prompt/template_files_for_test.h"

namespace om::prompt {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const boost::json::value kWeather = boost::json::parse(
    R"({"type":"function","function":{"name":"get_weather","description":"d","parameters":
       {"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}})");
const boost::json::value kTime =
    boost::json::parse(R"({"type":"function","function":{"name":"get_time"}})");

ChatInput question(std::string tool_choice) {
  ChatInput input;
  input.messages.resize(1);
  input.messages[0].role = "user";
  input.messages[0].content = "Weather in Paris?";
  input.tools = {kWeather, kTime};
  input.tool_choice = std::move(tool_choice);
  return input;
}

Result<Rendered> ask(std::string_view text, const ChatInput& input) {
  const auto made = make_template({.go = std::string(text)});
  EXPECT_TRUE(made);
  return (*made)->chat(input);
}

CallShape shape_in(const std::string& text) {
  ChatInput input;
  input.messages = conversation_with_call();
  input.tools = {kWeather};
  const auto rendered = ask(text, input);
  EXPECT_TRUE(rendered) << rendered.error().what;
  return call_shape(rendered ? rendered->prompt : "", GoTemplate::parse(text)->tool_call_tag());
}

void expect_shape(const std::string& text, std::string before_name, std::string before_arguments,
                  std::string behind) {
  const CallShape shape = shape_in(text);
  EXPECT_EQ(shape.before_name, before_name);
  EXPECT_EQ(shape.before_arguments, before_arguments);
  EXPECT_EQ(shape.behind, behind);
  // A call of that shape is found in the answer, and nothing else is.
  const auto rendered = ask(text, question("required"));
  ASSERT_TRUE(rendered) << rendered.error().what;
  const auto parser = rendered->answer.make_parser([] { return std::string("id"); });
  auto delta = parser->feed("\n" + shape.before_name + "get_weather" + shape.before_arguments +
                            R"({"city": "Paris"})" + shape.behind);
  ASSERT_TRUE(delta);
  auto rest = parser->finish();
  ASSERT_TRUE(rest);
  EXPECT_EQ(delta->content + rest->content, "");
  ASSERT_EQ(delta->tool_calls.size(), 1u);
  EXPECT_EQ(delta->tool_calls[0].name, "get_weather");
  EXPECT_EQ(delta->tool_calls[0].arguments, R"({"city":"Paris"})");
}

TEST(CallShape, IsWhatTheTemplateWrites) {
  expect_shape(test_data("chatml_tools.gotmpl"), "<tool_call>\n{\"name\": \"",
               "\", \"arguments\": ", "}");
  expect_shape(test_data("llama3.gotmpl"), "{\"name\": \"", "\", \"parameters\": ", "}");
  expect_shape(test_data("mistral.gotmpl"), "[TOOL_CALLS] [{\"name\": \"",
               "\", \"arguments\": ", "}]");
}

TEST(CallShape, MayNameTheToolInOtherWords) {
  const std::string begin = "{{ range .Messages }}{{ .Content }}{{ if .ToolCalls }}";
  const std::string end = "{{ end }}{{ end }}{{ .Tools }}";
  expect_shape(begin +
                   "Action: ```json\n[\n{{- range .ToolCalls }}\n  {\n    \"tool_name\": "
                   "\"{{ .Function.Name }}\",\n    \"parameters\": {{ .Function.Arguments }}\n  }\n"
                   "{{- end }}]```" +
                   end,
               "Action: ```json\n[\n  {\n    \"tool_name\": \"", "\",\n    \"parameters\": ", "}]");
}

// A runner shows a control token only if what is asked for is that one token.
TEST(CallTag, IsATokenThatTheRunnerIsAskedToShow) {
  const std::string call = R"({"name": "get_weather", "arguments": {"city": "Paris"}})";
  const auto rendered = ask(test_data("mistral.gotmpl"), question("auto"));
  ASSERT_TRUE(rendered) << rendered.error().what;
  EXPECT_THAT(rendered->constraint.preserved_tokens, ElementsAre("[TOOL_CALLS]"));
  for (const std::string said : {"[TOOL_CALLS] [", "[TOOL_CALLS][", "[TOOL_CALLS]"}) {
    const auto parser = rendered->answer.make_parser([] { return std::string("id"); });
    const auto delta = parser->feed(said + call + "]");
    ASSERT_TRUE(delta);
    EXPECT_EQ(delta->tool_calls.size(), 1u) << said;
    EXPECT_EQ(delta->content, "");
  }
}

TEST(CallShape, IsAnObjectBehindTheTagWhereTheArgumentsAreNoJson) {
  const std::string begin = "{{ range .Messages }}{{ .Content }}{{ if .ToolCalls }}";
  const std::string end = "{{ end }}{{ end }}{{ .Tools }}";
  const std::string calls =
      "{{ range .ToolCalls }}{{ range $k, $v := .Function.Arguments }}{{ $k }}{{ $v }}{{ end }}"
      "{{ .Function.Name }}{{ end }}";
  expect_shape(begin + "<call>" + calls + end, "<call>\n{\"name\": \"", "\", \"arguments\": ", "}");
  expect_shape(begin + calls + end, "{\"name\": \"", "\", \"arguments\": ", "}");
  expect_shape(begin + "[" + calls + end, "[{\"name\": \"", "\", \"arguments\": ", "}]");
}

TEST(ForcedCall, IsOneOfTheToolsOrTheOneThatIsNamed) {
  const std::string text = test_data("chatml_tools.gotmpl");
  auto rendered = ask(text, question("required"));
  ASSERT_TRUE(rendered) << rendered.error().what;
  const Constraint& constraint = rendered->constraint;
  EXPECT_THAT(constraint.grammar, StartsWith("root ::= om-space om-answer\nom-answer ::= \""));
  EXPECT_THAT(constraint.grammar, HasSubstr("om-0-root"));
  EXPECT_THAT(constraint.grammar, HasSubstr("\nom-1-root ::= "));
  EXPECT_THAT(constraint.grammar, HasSubstr(R"(\"city\")"));
  EXPECT_FALSE(constraint.grammar_lazy);
  EXPECT_TRUE(constraint.tool_grammar);
  rendered = ask(text, question("get_time"));
  ASSERT_TRUE(rendered) << rendered.error().what;
  EXPECT_THAT(rendered->constraint.grammar, Not(HasSubstr("om-0-root")));
  EXPECT_THAT(rendered->constraint.grammar, HasSubstr("om-1-root"));
  for (const char* free : {"", "auto", "none"}) {
    rendered = ask(text, question(free));
    ASSERT_TRUE(rendered);
    EXPECT_EQ(rendered->constraint.grammar, "");
  }
}

TEST(ForcedCall, IsRefusedWithoutItsTool) {
  const std::string text = test_data("chatml_tools.gotmpl");
  EXPECT_EQ(ask(text, question("get_news")).error().code, Errc::invalid_argument);
  ChatInput input = question("required");
  input.tools.clear();
  EXPECT_EQ(ask(text, input).error().code, Errc::invalid_argument);
  input.tools = {boost::json::parse(
      R"({"type":"function","function":{"name":"f","parameters":{"type":"nonsense"}}})")};
  EXPECT_TRUE(ask(text, input));
}

TEST(ForcedCall, NeedsToolsWithNames) {
  for (const char* tool : {"5", "{}", R"({"function":{}})", R"({"function":{"name":7}})"}) {
    for (const char* text :
         {"{{ .Tools }}{{ .Prompt }}", "{{ .Tools }}{{ range .Messages }}{{ end }}"}) {
      for (const char* choice : {"", "required", "f"}) {
        ChatInput input = question(choice);
        input.tools = {boost::json::parse(tool)};
        const auto rendered = ask(text, input);
        ASSERT_FALSE(rendered) << tool << text << choice;
        EXPECT_EQ(rendered.error().code, Errc::invalid_argument);
      }
    }
  }
}

TEST(ForcedCall, MayFollowAThought) {
  const std::string text =
      "{{ range .Messages }}{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ .Content }}"
      "{{ range .ToolCalls }}{{ if $.ToolCalls }}{{ end }}<call>{\"name\": \"{{ .Function.Name "
      "}}\", "
      "\"arguments\": {{ .Function.Arguments }}}{{ end }}{{ end }}{{ .Tools }}";
  const auto rendered = ask(text, question("get_time"));
  ASSERT_TRUE(rendered) << rendered.error().what;
  EXPECT_THAT(rendered->constraint.grammar, HasSubstr("om-thought-0 om-space)? om-answer"));
}

}  // namespace
}  // namespace om::prompt
