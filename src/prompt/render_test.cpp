#include "prompt/render.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "prompt/grammar.h"
#include "prompt/template_files_for_test.h"

namespace om::prompt {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

constexpr int64_t kNow = 1'709'208'000;  // 2024-02-29 12:00 UTC.

std::shared_ptr<const Template> go(const std::string& file) {
  auto made = make_template({.go = test_data(file)});
  EXPECT_TRUE(made) << made.error().what;
  return made ? *made : nullptr;
}

model::Message message(std::string role, std::string content) {
  return {.role = std::move(role), .content = std::move(content)};
}

boost::json::value weather_tool() {
  return boost::json::parse(R"({"type":"function","function":{"name":"get_weather",
    "description":"Weather <now>","parameters":{"type":"object","required":["city"],
    "properties":{"city":{"type":"string","description":"A city"}}}}})");
}

ChatInput conversation() {
  ChatInput input;
  input.messages = {message("system", "Be brief."), message("user", "Hi"),
                    message("assistant", "Hello"), message("user", "Bye")};
  input.now_seconds = kNow;
  return input;
}

ChatInput tool_conversation() {
  ChatInput input;
  input.messages = {message("user", "Weather in Paris?"), message("assistant", ""),
                    message("tool", "18 C")};
  input.messages[1].tool_calls = {{"call_1", "get_weather", R"({"city": "Paris", "n": 1.5})"}};
  input.messages[2].tool_name = "get_weather";
  input.tools = {weather_tool()};
  input.now_seconds = kNow;
  return input;
}

std::string prompt(const Template& chosen, const ChatInput& input) {
  auto rendered = chosen.chat(input);
  return rendered ? rendered->prompt : "error: " + rendered.error().what;
}

TEST(GoRender, ChatmlConversation) {
  EXPECT_EQ(prompt(*go("chatml_tools.gotmpl"), conversation()),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
            "<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n"
            "<|im_start|>assistant\n");
}

TEST(GoRender, ChatmlToolsAndTheirResults) {
  auto chosen = go("chatml_tools.gotmpl");
  EXPECT_TRUE(chosen->capabilities().tools);
  EXPECT_EQ(
      prompt(*chosen, tool_conversation()),
      "<|im_start|>system\n\n\n# Tools\n\nCall functions within <tool_call></tool_call> tags. They "
      "are listed in <tools></tools>:\n<tools>\n{\"type\": \"function\", \"function\": "
      "{\"name\":\"get_weather\",\"description\":\"Weather <now>\",\"parameters\":"
      "{\"type\":\"object\",\"required\":[\"city\"],\"properties\":{\"city\":{\"type\":\"string\","
      "\"description\":\"A city\"}}}}}\n</tools><|im_end|>\n<|im_start|>user\nWeather in Paris?"
      "<|im_end|>\n<|im_start|>assistant\n<tool_call>\n{\"name\": \"get_weather\", "
      "\"arguments\": {\"city\":\"Paris\",\"n\":1.5}}\n</tool_call><|im_end|>\n"
      "<|im_start|>user\n<tool_response>\n18 C\n</tool_response><|im_end|>\n"
      "<|im_start|>assistant\n");
}

TEST(GoRender, ATrailingAssistantMessageIsContinued) {
  auto input = conversation();
  input.messages.push_back(message("assistant", "Good"));
  EXPECT_THAT(prompt(*go("chatml_tools.gotmpl"), input),
              EndsWith("<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\nGood"));
  EXPECT_THAT(prompt(*go("legacy_llama2.gotmpl"), input), EndsWith("Bye [/INST] Good"));
}

// Of somebody else who answered until now: most templates would close it as a turn.
TEST(GoRender, GoesOnBehindWhatWasSaidAlready) {
  const auto begun = conversation();
  auto input = begun;
  input.said = "Good";
  for (const auto* file : {"chatml_tools.gotmpl", "gemma.gotmpl", "llama3.gotmpl", "mistral.gotmpl",
                           "legacy_llama2.gotmpl", "thinking.gotmpl"}) {
    const auto chosen = go(file);
    EXPECT_EQ(prompt(*chosen, input), prompt(*chosen, begun) + "Good") << file;
  }
  auto jinja = make_template({.jinja = test_data("smollm2.jinja")});
  EXPECT_THAT(prompt(**jinja, input), EndsWith("<|im_start|>assistant\nGood"));
}

TEST(GoRender, Llama3WithToolsAndDate) {
  EXPECT_EQ(
      prompt(*go("llama3.gotmpl"), tool_conversation()),
      "<|start_header_id|>system<|end_header_id|>\n\n\n\nToday is 2024-02-29. You may call "
      "one of these functions:\n{\"type\":\"function\",\"function\":{\"name\":\"get_weather\","
      "\"description\":\"Weather <now>\",\"parameters\":{\"type\":\"object\",\"required\":["
      "\"city\"],\"properties\":{\"city\":{\"type\":\"string\",\"description\":\"A city\"}}}}"
      "}\n<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nWeather in Paris?<|eot_id|>"
      "<|start_header_id|>assistant<|end_header_id|>\n\n{\"name\": \"get_weather\", "
      "\"parameters\": {\"city\":\"Paris\",\"n\":1.5}}<|eot_id|><|start_header_id|>ipython"
      "<|end_header_id|>\n\n18 C<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n");
}

TEST(GoRender, GemmaMergesTurnsOfOneRole) {
  ChatInput input;
  input.messages = {message("user", "One"), message("user", "Two")};
  EXPECT_EQ(prompt(*go("gemma.gotmpl"), input),
            "<start_of_turn>user\nOne\n\nTwo<end_of_turn>\n<start_of_turn>model\n");
}

TEST(GoRender, MistralTools) {
  auto text = prompt(*go("mistral.gotmpl"), tool_conversation());
  EXPECT_THAT(text, HasSubstr("[TOOL_CALLS] [{\"name\": \"get_weather\", \"arguments\": "
                              "{\"city\":\"Paris\",\"n\":1.5}}]</s>[TOOL_RESULTS] {\"content\": "
                              "\"18 C\"}[/TOOL_RESULTS]"));
}

// What Ollama 0.17.4's own template package made of the same request, but for < > &.
TEST(GoRender, PrintsToolsAsOllamaDoes) {
  const auto print = [](const std::string& text) {
    auto made = make_template({.go = text + "{{ if false }}{{ .Messages }}{{ end }}"});
    ChatInput input;
    input.messages = {message("user", "Hi")};
    for (const char* tool :
         {R"({"type":"function","function":{"name":"w","parameters":{"additionalProperties":false,
              "required":["b"],"type":"object","properties":{
                "z":{"title":"Z","type":["string","null"],"description":"a b"},
                "a":{"type":["array"],"items":{"type":"string","b":1,"a":2}},
                "o":{"type":"object","properties":{"y":{"type":"string"},
                                                   "x":{"type":"number","enum":[3,1]}}},
                "n":{"anyOf":[{"type":"string"},{"type":"null"}]}}}}})",
          R"({"function":{"name":"none","strict":true}})"}) {
      input.tools.push_back(boost::json::parse(tool));
    }
    return made ? prompt(**made, input) : made.error().what;
  };
  const std::string properties =
      R"({"a":{"type":"array","items":{"a":2,"b":1,"type":"string"}},)"
      R"("n":{"anyOf":[{"type":"string"},{"type":"null"}]},"o":{"type":"object","properties":{)"
      R"("y":{"type":"string"},"x":{"type":"number","enum":[3,1]}}},)"
      R"("z":{"type":["string","null"],"description":"a b"}})";
  const std::string first = R"({"name":"w","description":"","parameters":{"type":"object",)"
                            R"("required":["b"],"properties":)" +
                            properties + "}}";
  const std::string second =
      R"({"name":"none","description":"","parameters":{"type":"","properties":null}})";
  EXPECT_EQ(print("{{ .Tools }}"), R"([{"type":"function","function":)" + first +
                                       R"(},{"type":"","function":)" + second + "}]");
  EXPECT_EQ(print("{{ range .Tools }}{{ json .Function }}\n{{ end }}"),
            first + "\n" + second + "\n");
  EXPECT_EQ(print("{{ range .Tools }}{{ .Function.Parameters.Properties }}{{ break }}{{ end }}"),
            properties);
  EXPECT_EQ(print("{{ range .Tools }}{{ range $k, $v := .Function.Parameters.Properties }}"
                  "{{ $k }}:{{ $v.Type }}:{{ $v.Description }},{{ end }}{{ end }}"),
            "a:array:,n::,o:object:,z:[string null]:a b,");
  const std::string each =
      "{{ range .Tools }}{{ range $k, $v := .Function.Parameters.Properties }}";
  EXPECT_EQ(print(each + "{{ $k }}:{{ toTypeScriptType $v }},{{ end }}{{ end }}"),
            "a:any[],n:string | null,o:Record<string, any>,z:string | null,");
  EXPECT_EQ(print(each + "{{ $k }}:{{ range $i, $t := .Type }}{{ if $i }}|{{ end }}{{ $t }}"
                         "{{ end }}{{ range .AnyOf }}/{{ .Type }}{{ end }},{{ end }}{{ end }}"),
            "a:array,n:/string/null,o:object,z:string|null,");
  EXPECT_EQ(print(each + "{{ if eq $k \"o\" }}{{ eq .Type \"object\" }} {{ len .Type }} "
                         "{{ json .Type }}{{ range $k, $v := .Properties }} {{ $k }} {{ .Type }}"
                         "{{ end }}{{ end }}{{ end }}{{ end }}"),
            "true 1 \"object\" y string x number");
  EXPECT_EQ(print("{{ if .Tools }}{{ toTypeScriptType 5 }}{{ end }}"), "any");
}

TEST(GoRender, LegacyTemplatesGoTurnByTurn) {
  EXPECT_EQ(prompt(*go("legacy_llama2.gotmpl"), conversation()),
            "[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Hello</s>[INST] Bye [/INST] ");
}

TEST(GoRender, ThinkingIsAskedForAndForbidden) {
  auto chosen = go("thinking.gotmpl");
  EXPECT_TRUE(chosen->capabilities().thinking);
  auto input = conversation();
  input.think = {.is_set = true, .enabled = true};
  EXPECT_THAT(prompt(*chosen, input), EndsWith("Bye /think<|im_end|>\n<|im_start|>assistant\n"));
  input.think = {.is_set = true, .enabled = false};
  EXPECT_THAT(prompt(*chosen, input),
              EndsWith("Bye /no_think<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"));
}

TEST(GoRender, GenerateTakesSuffixSystemAndContext) {
  auto fim = go("fim.gotmpl");
  EXPECT_TRUE(fim->capabilities().insert);
  auto rendered = fim->generate({.prompt = "a(", .suffix = ")"});
  ASSERT_TRUE(rendered);
  EXPECT_EQ(rendered->prompt, "<|fim_prefix|>a(<|fim_suffix|>)<|fim_middle|>");
  rendered = fim->generate({.prompt = "p", .system = "s:", .context_text = "before "});
  ASSERT_TRUE(rendered);
  EXPECT_EQ(rendered->prompt, "before s:p");
  auto refused = go("gemma.gotmpl")->generate({.prompt = "a", .suffix = "b"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::unsupported);
}

TEST(GoRender, ImagesBecomeMarkersBeforeTheText) {
  ChatInput input;
  input.messages = {message("user", "see [img] there"), message("user", "and this")};
  input.messages[0].images = {"x", "y"};
  input.messages[1].images = {"z"};
  input.media_marker = "<M>";
  auto rendered = go("gemma.gotmpl")->chat(input);
  ASSERT_TRUE(rendered);
  EXPECT_THAT(rendered->prompt, HasSubstr("user\n<M>see <M> there\n\n<M>and this<end_of_turn>"));
}

TEST(GoRender, RefusesToolsItCannotExpress) {
  auto rendered = go("gemma.gotmpl")->chat(tool_conversation());
  ASSERT_FALSE(rendered);
  EXPECT_EQ(rendered.error().code, Errc::unsupported);
  auto input = tool_conversation();
  input.messages[1].tool_calls[0].arguments = "[1]";
  rendered = go("llama3.gotmpl")->chat(input);
  ASSERT_FALSE(rendered);
  EXPECT_EQ(rendered.error().code, Errc::invalid_argument);
}

TEST(GoRender, AFormatConstrainsTheAnswerBehindTheThought) {
  auto input = conversation();
  input.format.kind = model::Format::Kind::json;
  auto rendered = go("thinking.gotmpl")->chat(input);
  ASSERT_TRUE(rendered);
  EXPECT_THAT(rendered->constraint.grammar, HasSubstr("om-thought-0 om-space)? om-answer"));
  EXPECT_THAT(rendered->constraint.grammar, HasSubstr("om-answer ::="));
  EXPECT_TRUE(rendered->constraint.tool_grammar);
  EXPECT_EQ(rendered->constraint.resume("{\"a").generation_prompt, " {\"a");
}

TEST(Template, SmolLm2RendersByItsOwnJinja) {
  auto made = make_template({.jinja = test_data("smollm2.jinja"), .bos_token = "<|im_start|>"});
  ASSERT_TRUE(made) << made.error().what;
  EXPECT_EQ((*made)->kind(), Template::Kind::jinja);
  EXPECT_FALSE((*made)->capabilities().tools);
  auto rendered = (*made)->chat(conversation());
  ASSERT_TRUE(rendered) << rendered.error().what;
  EXPECT_EQ(rendered->prompt,
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
            "<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n"
            "<|im_start|>assistant\n");
  EXPECT_TRUE(rendered->answer.plain());
  auto generated = (*made)->generate({.prompt = "Hi", .system = "Be brief."});
  ASSERT_TRUE(generated);
  EXPECT_THAT(generated->prompt, EndsWith("user\nHi<|im_end|>\n<|im_start|>assistant\n"));
}

TEST(Template, JinjaContinuesATrailingAssistantMessage) {
  auto made = make_template({.jinja = test_data("smollm2.jinja")});
  auto input = conversation();
  input.messages.push_back(message("assistant", "Good"));
  auto rendered = (*made)->chat(input);
  ASSERT_TRUE(rendered) << rendered.error().what;
  EXPECT_THAT(rendered->prompt, EndsWith("<|im_start|>assistant\nGood"));
  auto parser = rendered->answer.make_parser([] { return "call_x"; });
  std::string text = parser->feed(" night")->content;
  text += parser->finish()->content;
  EXPECT_EQ(text, " night");
}

TEST(Template, WithoutAnyTemplateChatIsChatmlAndGenerateBare) {
  auto made = make_template({});
  ASSERT_TRUE(made);
  EXPECT_EQ((*made)->kind(), Template::Kind::none);
  EXPECT_THAT(prompt(**made, conversation()),
              EndsWith("<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n"));
  auto generated = (*made)->generate({.prompt = "Once", .system = "dropped"});
  ASSERT_TRUE(generated);
  EXPECT_EQ(generated->prompt, "Once");
}

TEST(Template, JinjaConstrainsToASchema) {
  auto made = make_template({.jinja = test_data("smollm2.jinja")});
  auto input = conversation();
  input.format = {model::Format::Kind::schema,
                  R"({"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]})"};
  auto rendered = (*made)->chat(input);
  ASSERT_TRUE(rendered) << rendered.error().what;
  EXPECT_THAT(rendered->constraint.grammar, HasSubstr("root ::="));
  EXPECT_FALSE(rendered->constraint.grammar_lazy);
  input.format.schema = R"({"$ref":"#/nowhere"})";
  rendered = (*made)->chat(input);
  ASSERT_FALSE(rendered);
  EXPECT_EQ(rendered.error().code, Errc::invalid_argument);
}

// To be sent again it would have to be another error.
TEST(Template, ATooLongPromptIsInvalidWithGoAndJinja) {
  ChatInput input;
  input.messages = {message("user", std::string(kPromptBytesMax / 2 + 1, 'a'))};
  for (const auto& chosen :
       {make_template({.go = "{{ range .Messages }}{{ .Content }}{{ .Content }}{{ end }}"}),
        make_template(
            {.jinja = "{% for m in messages %}{{ m.content }}{{ m.content }}{% endfor %}"})}) {
    ASSERT_TRUE(chosen);
    const auto rendered = (*chosen)->chat(input);
    ASSERT_FALSE(rendered);
    EXPECT_EQ(rendered.error().code, Errc::invalid_argument);
    EXPECT_THAT(rendered.error().what, HasSubstr("exceeds 67108864 bytes"));
  }
}

TEST(Template, ChoosesBetweenGoAndJinja) {
  const std::string plain = "{{ .Prompt }}";
  const std::string jinja = test_data("smollm2.jinja");
  const std::string tools = jinja + "{% if tools %}{{ tools }}{% endif %}";
  auto kind = [](const TemplateSource& source) {
    const auto made = make_template(source).value();
    if (source.jinja != "{% if %}") EXPECT_EQ(chosen_text(source), made->text());
    return made->kind();
  };
  EXPECT_EQ(kind({}), Template::Kind::none);
  EXPECT_EQ(kind({.go = plain, .jinja = jinja}), Template::Kind::go);
  EXPECT_EQ(kind({.go = plain, .jinja = tools}), Template::Kind::jinja);
  EXPECT_EQ(kind({.go = plain, .jinja = jinja, .prefer_jinja = true}), Template::Kind::jinja);
  EXPECT_EQ(kind({.go = plain, .go_required = true, .jinja = tools}), Template::Kind::go);
  EXPECT_EQ(kind({.go = plain, .jinja = jinja, .renderer = "qwen3-coder"}), Template::Kind::jinja);
  EXPECT_EQ(kind({.go = plain, .jinja = "{% if %}", .prefer_jinja = true}), Template::Kind::go);
  // What is not used may be broken, or of a later Ollama.
  EXPECT_EQ(kind({.go = "{{ .Promp", .jinja = jinja, .prefer_jinja = true}), Template::Kind::jinja);
  EXPECT_EQ(kind({.go = "{{ later .Prompt }}", .jinja = tools}), Template::Kind::jinja);
  EXPECT_FALSE(make_template({.go = "{{ .Promp", .jinja = jinja}));
  auto none = make_template({.go = plain, .parser = "harmony"});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Errc::unsupported);
  EXPECT_THAT(none.error().what, HasSubstr("parser 'harmony'"));
  auto broken = make_template({.jinja = "{% if %}"});
  ASSERT_FALSE(broken);
  EXPECT_EQ(chosen_text({.jinja = "{% if %}"}), "{% if %}");  // Shown as it stands.
  EXPECT_EQ(broken.error().code, Errc::invalid_argument);
}

TEST(Template, JinjaGetsToolsThinkingAndAGrammar) {
  auto made =
      make_template({.jinja = test_data("hermes_thinking.jinja"), .eos_token = "<|im_end|>"});
  ASSERT_TRUE(made) << made.error().what;
  EXPECT_TRUE((*made)->capabilities().tools);
  EXPECT_TRUE((*made)->capabilities().thinking);
  auto rendered = (*made)->chat(tool_conversation());
  ASSERT_TRUE(rendered) << rendered.error().what;
  EXPECT_THAT(rendered->prompt, HasSubstr("<tool_response>\n18 C\n</tool_response>"));
  EXPECT_TRUE(rendered->constraint.grammar_lazy);
  EXPECT_FALSE(rendered->constraint.grammar_triggers.empty());
  auto input = tool_conversation();
  input.tool_choice = "get_weather";
  rendered = (*made)->chat(input);
  ASSERT_TRUE(rendered) << rendered.error().what;
  EXPECT_FALSE(rendered->constraint.grammar_lazy);
  EXPECT_THAT(rendered->constraint.grammar, HasSubstr("get_weather"));
  EXPECT_THAT(rendered->constraint.grammar, HasSubstr(")? tool-calls\n"));  // No talk before it.
  input.tool_choice = "nothing";
  EXPECT_FALSE((*made)->chat(input));
  input.tool_choice = "";
  input.think = {.is_set = true, .enabled = false};
  rendered = (*made)->chat(input);
  ASSERT_TRUE(rendered);
  EXPECT_THAT(rendered->prompt, EndsWith("<think>\n\n</think>\n\n"));
}

// As DeepSeek V3.1's.
TEST(Template, SwitchesThoughtsAlsoByAnotherName) {
  const std::string jinja =
      "{% if not thinking is defined %}{% set thinking = false %}{% endif %}"
      "{% for m in messages %}{% if m.role == 'user' %}<|User|>{{ m.content }}{% else %}"
      "<|Assistant|></think>{{ m.content }}<|end|>{% endif %}{% endfor %}"
      "{% if add_generation_prompt %}<|Assistant|>"
      "{% if thinking %}<think>{% else %}<think></think>{% endif %}{% endif %}";
  const auto made = make_template({.jinja = jinja, .eos_token = "<|end|>"});
  ASSERT_TRUE(made) << made.error().what;
  EXPECT_EQ((*made)->text(), jinja);
  for (const bool thinks : {true, false}) {
    ChatInput input = conversation();
    input.think = {.is_set = true, .enabled = thinks, .level = {}};
    const auto rendered = (*made)->chat(input);
    ASSERT_TRUE(rendered) << rendered.error().what;
    EXPECT_THAT(rendered->prompt, EndsWith(thinks ? "<think>" : "<think></think>"));
    const auto parser = rendered->answer.make_parser([] { return std::string("id"); });
    const auto delta = parser->feed(thinks ? "Hm.</think>Yes." : "Yes.");
    const auto rest = parser->finish();
    ASSERT_TRUE(delta && rest);
    EXPECT_EQ(delta->thinking + rest->thinking, thinks ? "Hm." : "");
    EXPECT_EQ(delta->content + rest->content, "Yes.");
  }
}

TEST(CallGrammar, LeavesNoTalkBeforeACallThatMustCome) {
  const std::string rules = "\nuntil-1 ::= | [<] until-1\nuntil-2 ::= [^<]\ntool-call ::= \"x\"";
  const auto root = [&rules](const std::string& text) {
    const std::string grammar = call_grammar("a ::= \"b\"\nroot ::= " + text + rules);
    EXPECT_TRUE(grammar.ends_with(rules));
    return grammar.substr(19, grammar.size() - 19 - rules.size());
  };
  EXPECT_EQ(root(R"("a \" until-1 tool-call" until-1? tool-calls)"),
            R"("a \" until-1 tool-call" tool-calls)");
  EXPECT_EQ(root("until-1 tool-call"), "tool-call");
  EXPECT_EQ(root("(\"<t>\" until-1)? until-1 space tool-call-root"),
            "(\"<t>\" until-1)? space tool-call-root");
  EXPECT_EQ(root("until-2? tool-call"), "tool-call");
  for (const char* same :
       {"tool-call", "until-2 tool-call", "until-1 \"x\" tool-call", "tool-call until-1?",
        "(\"<t>\" until-1 tool-call | until-1 tool-call)", "[^\"(] tool-call", "("}) {
    EXPECT_EQ(root(same), same);
  }
  EXPECT_EQ(call_grammar(""), "");
}

TEST(TemplateCache, KeepsTheLatest) {
  TemplateCache cache(2);
  auto first = cache.get({.go = "1 {{ .Prompt }}"}).value();
  EXPECT_EQ(cache.get({.go = "1 {{ .Prompt }}"}).value(), first);
  ASSERT_TRUE(cache.get({.go = "2 {{ .Prompt }}"}));
  ASSERT_TRUE(cache.get({.go = "3 {{ .Prompt }}"}));
  EXPECT_NE(cache.get({.go = "1 {{ .Prompt }}"}).value(), first);
  EXPECT_FALSE(cache.get({.go = "{{ .Prompt"}));
}

TEST(RemovePastThinking, LeavesTheLatestTurnAlone) {
  std::vector<model::Message> messages = {
      message("user", "a"), message("assistant", "<think>old</think>\n\nb"), message("user", "c"),
      message("assistant", "<think>new</think>d")};
  remove_past_thinking(messages);
  EXPECT_EQ(messages[1].content, "b");
  EXPECT_EQ(messages[3].content, "<think>new</think>d");
}

TEST(FormatGrammar, SaysWhatIsWrongWithASchema) {
  using Kind = model::Format::Kind;
  EXPECT_EQ(format_grammar({}).value(), "");
  EXPECT_THAT(format_grammar({Kind::json, ""}).value(), HasSubstr("root ::="));
  for (std::string bad : {"{", "[]", R"({"type":"nonsense"})", R"({"$ref":"#/x"})"}) {
    auto grammar = format_grammar({Kind::schema, bad});
    ASSERT_FALSE(grammar) << bad;
    EXPECT_EQ(grammar.error().code, Errc::invalid_argument);
    EXPECT_THAT(grammar.error().what, HasSubstr("JSON schema"));
  }
  EXPECT_FALSE(format_grammar({Kind::schema, std::string(kSchemaBytesMax + 1, ' ')}));
}

TEST(Constraint, ALazyGrammarWakesAtItsTrigger) {
  Constraint lazy{.grammar = "root ::= \"x\"",
                  .grammar_lazy = true,
                  .grammar_triggers = {{1, "<tool_call>"}, {2, "fn:(\\w+)"}},
                  .tool_grammar = true};
  EXPECT_TRUE(lazy.resume("no call yet").grammar_lazy);
  EXPECT_EQ(lazy.resume("no call yet").generation_prompt, "");
  auto woken = lazy.resume("text <tool_call>{\"na");
  EXPECT_FALSE(woken.grammar_lazy);
  EXPECT_EQ(woken.generation_prompt, "<tool_call>{\"na");
  EXPECT_EQ(lazy.resume("a fn:get b").generation_prompt, "get b");
}

}  // namespace
}  // namespace om::prompt
