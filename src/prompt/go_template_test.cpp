#include "prompt/go_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>

namespace om::prompt {
namespace {

constexpr int64_t kNow = 1'709'208'000;  // 2024-02-29 12:00 UTC.

Value data() {
  auto json = boost::json::parse(R"({
    "Name": "Ada", "Empty": "", "Zero": 0, "Three": 3, "Half": 0.5, "Yes": true,
    "List": ["a", "b", "c"], "None": [], "Map": {"x": {"y": "deep"}, "k": 1},
    "Messages": [{"Role": "user", "Content": "hi"}, {"Role": "assistant", "Content": "ho"}]})");
  return Value::from_json(json);
}

std::string run(std::string_view text) {
  auto parsed = GoTemplate::parse(text);
  if (!parsed) return "parse: " + parsed.error().what;
  auto out = parsed->execute(data(), kNow);
  return out ? *out : "exec: " + out.error().what;
}

struct Case {
  std::string text, want;
};

class GoTemplateCases : public testing::TestWithParam<Case> {};

TEST_P(GoTemplateCases, GivesWhatGoGives) { EXPECT_EQ(run(GetParam().text), GetParam().want); }

INSTANTIATE_TEST_SUITE_P(
    Text, GoTemplateCases,
    testing::Values(Case{"plain", "plain"}, Case{"a {{- \"b\" -}} c", "abc"},
                    Case{"a\n{{ \"b\" }}\nc", "a\nb\nc"}, Case{"x {{/* note */}} y", "x  y"},
                    Case{"x {{- /* note */ -}} y", "xy"}, Case{"{{ `raw\\n` }}", "raw\\n"},
                    Case{"{{ \"q\\t\\u00e9\\x41\" }}", "q\t\u00e9A"}, Case{"{{ 'a' }}", "97"},
                    Case{"{{ 0x10 }} {{ 1_000 }} {{ -3 }} {{ 1.5 }} {{ 1e3 }}",
                         "16 1000 -3 1.5 1000"},
                    Case{"{{ true }}{{ false }}", "truefalse"}, Case{"{{.Name}}", "Ada"},
                    Case{"{{ .Map.x.y }}", "deep"}, Case{"{{ .Missing }}|", "|"},
                    Case{"{{ .Missing.Deeper }}|", "|"}, Case{"{{ .List }}", "[a b c]"},
                    Case{"{{ (index .Messages 1).Content }}", "ho"}, Case{"{{ $.Name }}", "Ada"},
                    Case{"{{\n.Name\n}}", "Ada"}, Case{"}} }", "}} }"}));

INSTANTIATE_TEST_SUITE_P(
    Control, GoTemplateCases,
    testing::Values(
        Case{"{{ if .Name }}y{{ end }}", "y"}, Case{"{{ if .Empty }}y{{ else }}n{{ end }}", "n"},
        Case{"{{ if .Zero }}a{{ else if .None }}b{{ else if .Yes }}c{{ else }}d{{ end }}", "c"},
        Case{"{{ range .List }}<{{ . }}>{{ end }}", "<a><b><c>"},
        Case{"{{ range $i, $v := .List }}{{ $i }}{{ $v }}{{ end }}", "0a1b2c"},
        Case{"{{ range $v := .List }}{{ $v }}{{ $.Name }}{{ end }}", "aAdabAdacAda"},
        Case{"{{ range .None }}x{{ else }}none{{ end }}", "none"},
        Case{"{{ range .Missing }}x{{ else }}none{{ end }}", "none"},
        Case{"{{ range $k, $v := .Map }}{{ $k }},{{ end }}", "x,k,"},
        Case{"{{ range 3 }}{{ . }}{{ end }}", "012"},
        Case{"{{ range .List }}{{ if eq . \"b\" }}{{ continue }}{{ end }}{{ . }}{{ end }}", "ac"},
        Case{"{{ range .List }}{{ if eq . \"b\" }}{{ break }}{{ end }}{{ . }}{{ end }}", "a"},
        Case{"{{ with .Map.x }}{{ .y }}{{ else }}no{{ end }}", "deep"},
        Case{"{{ with .Empty }}{{ . }}{{ else }}no{{ end }}", "no"},
        Case{"{{ with $x := 5 }}{{ $x }}{{ end }}", "5"},
        Case{"{{ $x := 1 }}{{ range .List }}{{ $x = . }}{{ end }}{{ $x }}", "c"},
        Case{"{{ $x := 1 }}{{ if true }}{{ $x := 2 }}{{ end }}{{ $x }}", "1"},
        Case{"{{ define \"t\" }}[{{ . }}]{{ end }}{{ template \"t\" .Name }}", "[Ada]"},
        Case{"{{ block \"b\" .Three }}<{{ . }}>{{ end }}{{ template \"b\" 4 }}", "<3><4>"}));

INSTANTIATE_TEST_SUITE_P(
    Functions, GoTemplateCases,
    testing::Values(
        Case{"{{ and .Name .Empty }}|{{ and .Name 3 }}|{{ or .Empty .Name }}", "|3|Ada"},
        Case{"{{ or .Name (index .List 9) }}", "Ada"}, Case{"{{ not .Empty }}", "true"},
        Case{"{{ eq .Three 1 2 3 }}{{ ne .Name \"Bob\" }}", "truetrue"},
        Case{"{{ lt 1 2 }}{{ le 2 2 }}{{ gt 1 2 }}{{ ge 1.5 1 }}", "truetruefalsetrue"},
        Case{"{{ eq .Missing \"x\" }}", "false"}, Case{"{{ len .List }}{{ len .Name }}", "33"},
        Case{"{{ index .List 1 }}{{ index .Map \"k\" }}{{ index .Map \"no\" }}", "b1"},
        Case{"{{ slice .Name 1 }}{{ slice .List 0 2 }}", "da[a b]"},
        Case{"{{ print 1 2 \"a\" 3 }}", "1 2a3"}, Case{"{{ println \"a\" 1 }}", "a 1\n"},
        Case{"{{ printf \"%s-%03d-%5.1f-%q-%v%%\" .Name 7 2.25 \"x\" .Yes }}",
             "Ada-007-  2.2-\"x\"-true%"},
        Case{"{{ printf \"%d\" .Name }}", "%!d(string=Ada)"},
        Case{"{{ .Name | printf \"%s!\" | len }}", "4"},
        Case{"{{ json .Map }}", "{\"x\":{\"y\":\"deep\"},\"k\":1}"},
        Case{"{{ .List | json }}", "[\"a\",\"b\",\"c\"]"},
        Case{"{{ currentDate }} {{ yesterdayDate }}", "2024-02-29 2024-02-28"},
        Case{"{{ if and (eq .Three 3) (or .Empty .Yes) }}ok{{ end }}", "ok"},
        Case{"{{ len (slice .Messages 1) }}", "1"},
        Case{"{{ range $i, $_ := .Messages }}{{ $last := eq (len (slice $.Messages $i)) 1 }}"
             "{{ .Role }}{{ if $last }}!{{ end }} {{ end }}",
             "user assistant! "}));

// Today and yesterday, at a Unix time in a time zone.
std::string dates(const char* zone, int64_t now_seconds) {
  const char* before = std::getenv("TZ");
  const std::optional<std::string> kept =
      before ? std::optional<std::string>(before) : std::nullopt;
  ::setenv("TZ", zone, 1);
  ::tzset();
  const auto out =
      GoTemplate::parse("{{ currentDate }} {{ yesterdayDate }}")->execute(data(), now_seconds);
  if (kept) {
    ::setenv("TZ", kept->c_str(), 1);
  } else {
    ::unsetenv("TZ");
  }
  ::tzset();
  return out ? *out : out.error().what;
}

TEST(GoTemplate, NamesTheDaysOfTheMachinesOwnTimeZone) {
  constexpr int64_t kNight = 1'709'251'199;  // 2024-02-29 23:59:59 UTC.
  EXPECT_EQ(dates("UTC0", kNight), "2024-02-29 2024-02-28");
  EXPECT_EQ(dates("JST-9", kNight), "2024-03-01 2024-02-29");
  EXPECT_EQ(dates("PST8", kNight + 3600), "2024-02-29 2024-02-28");
  // Half an hour into a day that follows one of 23 hours.
  constexpr int64_t kAfterTheSpringChange = 1'710'131'400;  // 2024-03-11 04:30 UTC.
  EXPECT_EQ(dates("EST5EDT,M3.2.0,M11.1.0", kAfterTheSpringChange), "2024-03-11 2024-03-10");
}

INSTANTIATE_TEST_SUITE_P(
    ParseErrors, GoTemplateCases,
    testing::Values(Case{"{{ .Name", "parse: template: :1: unclosed action"},
                    Case{"a\n{{ if .Name }}b", "parse: template: :2: unexpected EOF"},
                    Case{"{{ end }}", "parse: template: :1: unexpected {{end}}"},
                    Case{"{{ else }}", "parse: template: :1: unexpected {{else}}"},
                    Case{"{{ nope .Name }}", "parse: template: :1: function \"nope\" not defined"},
                    Case{"{{ $x }}", "parse: template: :1: undefined variable \"$x\""},
                    Case{"{{ if }}{{ end }}", "parse: template: :1: missing value for if"},
                    Case{"{{ }}", "parse: template: :1: missing value for command"},
                    Case{"{{ \"abc }}", "parse: template: :1: unterminated quoted string"},
                    Case{"{{ (len .Name }}", "parse: template: :1: unclosed left paren"},
                    Case{"{{ break }}", "parse: template: :1: {{break}} outside {{range}}"},
                    Case{"{{ .Name | 3 }}",
                         "parse: template: :1: non executable command in pipeline stage 2"},
                    Case{"{{ .a!b }}", "parse: template: :1: bad character U+0021 '!'"},
                    Case{"{{/* x }}", "parse: template: :1: unclosed comment"},
                    Case{"{{ 1x }}", "parse: template: :1: bad number syntax: \"1x\""}));

INSTANTIATE_TEST_SUITE_P(
    RunErrors, GoTemplateCases,
    testing::Values(
        Case{"{{ index .List 7 }}",
             "exec: template: :1: executing \"\" at <index>: index out of range: 7"},
        Case{"{{ .Name.First }}",
             "exec: template: :1: executing \"\" at <.First>: can't evaluate "
             "field First in type string"},
        Case{"\n{{ template \"no\" }}", "exec: template: :2: template \"no\" not defined"},
        Case{"{{ lt 1 \"a\" }}",
             "exec: template: :1: executing \"\" at <lt>: incompatible types for comparison"},
        Case{"{{ len 3 }}",
             "exec: template: :1: executing \"\" at <len>: error calling len: len of type int"},
        Case{"{{ define \"r\" }}{{ template \"r\" }}{{ end }}{{ template \"r\" }}",
             "exec: template: :1: exceeded maximum template depth"}));

TEST(GoTemplate, StopsAtItsLimits) {
  auto endless = GoTemplate::parse("{{ range 1000000000 }}x{{ end }}");
  ASSERT_TRUE(endless);
  auto steps = endless->execute(Value(), 0, {.steps_max = 1000});
  ASSERT_FALSE(steps);
  EXPECT_EQ(steps.error().code, Errc::invalid_argument);
  auto bytes = endless->execute(Value(), 0, {.output_bytes_max = 100});
  ASSERT_FALSE(bytes);
  EXPECT_THAT(bytes.error().what, testing::HasSubstr("output exceeds 100 bytes"));
}

// The rest of the node stands still meanwhile: these took seconds to hours.
TEST(GoTemplate, CountsWhatTakesLongerThanAStep) {
  const std::string text(1 << 20, 'a');
  Value::Fields many;
  for (int i = 0; i < 100'000; ++i) many.emplace_back("f" + std::to_string(i), Value(i));
  const Value data = Value::map({{"Text", Value(text)},
                                 {"Map", Value::map(std::move(many))},
                                 {"Keys", Value::map({{text, Value(1)}})},
                                 {"Format", Value("%" + std::string(1 << 20, '-') + "d")}});
  std::string variables, piped;
  for (int i = 0; i < 10'000; ++i) {
    variables += "{{ $v" + std::to_string(i) + " := 1 }}";
    piped += "|not";
  }
  for (const std::string& endless :
       {std::string("{{ range 400000 }}{{ if eq $.Text $.Text }}{{ end }}{{ end }}"),
        std::string("{{ range 400000 }}{{ if lt $.Text $.Text }}{{ end }}{{ end }}"),
        std::string("{{ range 400000 }}{{ if $.Map.f99999 }}{{ end }}{{ end }}"),
        std::string("{{ range 400000 }}{{ if index $.Map \"f99999\" }}{{ end }}{{ end }}"),
        std::string("{{ range 400000 }}{{ range $.Keys }}{{ end }}{{ end }}"),
        std::string("{{ range 400000 }}{{ if printf $.Format 1 }}{{ end }}{{ end }}"),
        "{{ range 400000 }}{{ if 1" + piped + " }}{{ end }}{{ end }}",
        variables + "{{ range 400000 }}{{ if $ }}{{ end }}{{ end }}",
        variables + "{{ range 400000 }}{{ $v0 = 2 }}{{ end }}"}) {
    const auto parsed = GoTemplate::parse(endless);
    ASSERT_TRUE(parsed) << endless;
    const auto out = parsed->execute(data, 0);
    ASSERT_FALSE(out) << endless;
    EXPECT_THAT(out.error().what, testing::HasSubstr("more than 2000000 steps"));
  }
}

TEST(GoTemplate, CopiesNoTextThatItOnlyNames) {
  const Value data = Value::map({{"Text", Value(std::string(1 << 20, 'a'))}});
  const auto parsed = GoTemplate::parse("{{ range 300000 }}{{ if $.Text }}{{ end }}{{ end }}");
  const std::clock_t start = std::clock();
  EXPECT_TRUE(parsed->execute(data, 0));  // 300 GB, copied.
  EXPECT_LT(std::clock() - start, 10 * CLOCKS_PER_SEC);
}

TEST(GoTemplate, AConversationMayBeLong) {
  const auto parsed = GoTemplate::parse(
      "{{ range $i, $_ := .Messages }}{{ $last := eq (len (slice $.Messages $i)) 1 }}"
      "{{ if eq .Role \"user\" }}{{ .Content }}{{ else if eq .Role \"assistant\" }}"
      "{{ .Content }}{{ if not $last }},{{ end }}{{ end }}{{ end }}");
  const std::vector<Value> messages(
      16'384, Value::map({{"Role", Value("assistant")}, {"Content", Value("a")}}));
  const auto out = parsed->execute(Value::map({{"Messages", Value::list(messages)}}), 0);
  ASSERT_TRUE(out) << out.error().what;
  EXPECT_EQ(out->size(), 2 * messages.size() - 1);
}

TEST(GoTemplate, EndsATextOfManyArgumentsBeforeItIsWhole) {
  std::string arguments;
  for (int i = 0; i < 80'000; ++i) arguments += " .Text";  // 80 GB of text.
  const Value data = Value::map({{"Text", Value(std::string(1 << 20, 'a'))}});
  for (const char* call : {"print", "println", "printf \"%s\""}) {
    const auto parsed = GoTemplate::parse("{{ " + (call + arguments) + " }}");
    ASSERT_TRUE(parsed);
    const auto out = parsed->execute(data, 0);
    ASSERT_FALSE(out);
    EXPECT_THAT(out.error().what, testing::HasSubstr("makes more than 67108864 bytes"));
  }
}

TEST(GoTemplate, RefusesDeepNesting) {
  std::string deep;
  for (int i = 0; i < 5000; ++i) deep += "{{ if true }}";
  EXPECT_THAT(run(deep), testing::HasSubstr("nested too deeply"));
  EXPECT_THAT(run("{{ " + std::string(5000, '(') + " }}"), testing::HasSubstr("nested too deeply"));
}

TEST(GoTemplate, KnowsWhatItMentions) {
  auto parsed =
      GoTemplate::parse("{{ range $m := .Messages }}{{ if $m.ToolCalls }}x{{ end }}{{ end }}");
  ASSERT_TRUE(parsed);
  EXPECT_TRUE(parsed->mentions("messages"));
  EXPECT_TRUE(parsed->mentions("ToolCalls"));
  EXPECT_FALSE(parsed->mentions("Suffix"));
}

TEST(GoTemplate, CutsAfterTheAnswerButKeepsItsSurroundings) {
  auto parsed = GoTemplate::parse("{{ .Name }}:{{ if .Yes }}[{{ .Response }}]{{ end }} end");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->cut_after("Response").execute(data(), 0).value(), "Ada:[");
  EXPECT_EQ(parsed->execute(data(), 0).value(), "Ada:[] end");
}

TEST(GoTemplate, FindsThinkingTags) {
  auto parsed = GoTemplate::parse(
      "{{ .Thinking }}{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ if .Thinking }}\n"
      "<|a|><think>\n{{ .Thinking }}\n</think>\n\n{{ end }}{{ .Content }}<|im_end|>{{ end }}");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->thinking_tags().open, "<think>");
  EXPECT_EQ(parsed->thinking_tags().close, "</think>");
  auto without = GoTemplate::parse("{{ range .Messages }}{{ .Content }}{{ end }}");
  EXPECT_TRUE(without->thinking_tags().empty());
}

TEST(GoTemplate, FindsTheTagOfToolCalls) {
  auto tag = [](std::string_view text) { return GoTemplate::parse(text)->tool_call_tag(); };
  EXPECT_EQ(
      tag("{{ if .ToolCalls }}<tool_call>\n{{ range .ToolCalls }}{\"name\"{{ end }}{{ end }}"),
      "<tool_call>");
  EXPECT_EQ(tag("{{ if .ToolCalls }}{{ range .ToolCalls }}{\"name\"{{ end }}{{ end }}"), "{");
  EXPECT_EQ(tag("{{ if .ToolCalls }}[TOOL_CALLS] [{{ range .ToolCalls }}{\"x\"{{ end }}]{{ end }}"),
            "[TOOL_CALLS]");
  EXPECT_EQ(tag("{{ .Prompt }}"), "{");
}

// Of Ollama's tools/template_test.go.
TEST(GoTemplate, FindsTheTagOfToolCallsAsOllamaDoes) {
  const std::string range = "{{range .ToolCalls}}";
  const std::string json =
      R"({"name": "{{ .Function.Name }}", "arguments": {{ .Function.Arguments }}})";
  const Case cases[] = {
      {"", "{"},
      {"{{end}}", "{"},
      {range + "{{ . }}{{end}}{{end}}", "{"},
      {"```json\n{{end}}", "```json"},
      {"[" + range + "{{ . }}{{end}}]{{end}}", "["},
      {"\n [ " + range + "{{ . }}{{end}}]{{end}}", "["},
      {range + "{{ . }}{{end}}]{{end}}", "{"},
      {" " + range + "{{ . }}{{end}}{{end}}", "{"},
      {range + "\n{{ . }}\n{{end}}{{end}}", "{"},
      {range + json + "{{end}}{{end}}", "{"},
      {range + "\n" + json + "{{end}}{{end}}", "{"},
      {range + "\r\n" + json + "{{end}}{{end}}", "{"},
      {"\n" + range + "\n" + json + "\r\n{{end}}\r\n{{end}}", "{"},
      {"<|tool▁calls▁begin|>" + range + "<|tool▁call▁begin|>f{{end}}<|end|>{{end}}",
       "<|tool▁calls▁begin|>"},
      {range + "<tool_call>" + json + "</tool_call>{{end}}{{end}}", "<tool_call>"},
      {"\n" + range + "<tool_call>" + json + "</tool_call>{{end}}{{end}}", "<tool_call>"},
      {"First text{{if .Something}}inner{{end}}Second text{{end}}", "First text"},
      {"Action: ```json{{end}}", "Action: ```json"},
      {"functools[{{end}}", "functools["},
      // Ollama's runner shows every token, and its tag is the whole of these.
      {"[TOOL_CALL] [{{end}}", "[TOOL_CALL]"},
      {"[TOOL_CALL][{{end}}", "[TOOL_CALL]"}};
  for (const auto& [text, want] : cases) {
    const auto parsed = GoTemplate::parse(text.empty() ? "" : "{{if .ToolCalls}}" + text);
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(parsed->tool_call_tag(), want) << text;
  }
}

// As the templates of Mistral, Granite, Command R7B, Llama 4 and Llama 3 begin their calls.
TEST(GoTemplate, TheTagIsOneTokenWhereItBeginsWithAMarker) {
  const Case cases[] = {
      {"[TOOL_CALLS][", "[TOOL_CALLS]"},
      {"<|tool_call|>[", "<|tool_call|>"},
      {"<|START_ACTION|>[\n    ", "<|START_ACTION|>"},
      {"<|header_start|>assistant<|header_end|>\n\n<|python_start|>", "<|python_start|>"},
      {"<|im_start|>assistant\n<tool_call>\n", "<tool_call>"},
      {"<|start_header_id|>assistant<|end_header_id|>\n\n", "{"},
      {"<function=", "<function="}};
  for (const auto& [text, want] : cases) {
    const auto parsed = GoTemplate::parse("{{ if .ToolCalls }}" + text + "{{ end }}");
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(parsed->tool_call_tag(), want) << text;
  }
}

}  // namespace
}  // namespace om::prompt
