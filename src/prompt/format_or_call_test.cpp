// Answers of a given format by models that have tools.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "prompt/grammar.h"
#include "prompt/render.h"
#include "prompt/template_files_for_test.h"

namespace om::prompt {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr const char* kJson = R"({"degrees": 18})";

ChatInput question(std::string tool_choice) {
  ChatInput input;
  input.messages = {{.role = "user", .content = "Weather in Paris?"}};
  input.tools = {boost::json::parse(
      R"({"type":"function","function":{"name":"get_weather","description":"d","parameters":
         {"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}})")};
  input.tool_choice = std::move(tool_choice);
  input.format = {model::Format::Kind::schema,
                  R"({"type":"object","properties":{"degrees":{"type":"integer"}},)"
                  R"("required":["degrees"]})"};
  return input;
}

Rendered ask(TemplateSource source, const ChatInput& input) {
  source.eos_token = "</s>";
  const auto made = make_template(std::move(source));
  EXPECT_TRUE(made) << made.error().what;
  auto rendered = (*made)->chat(input);
  EXPECT_TRUE(rendered) << rendered.error().what;
  return rendered ? std::move(*rendered) : Rendered{};
}

// How templates of real models write a call, and a thought before it.
struct Family {
  std::string file, call;
};

std::vector<Family> families() {
  const std::string hermes =
      "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": "
      "\"Paris\"}}\n</tool_call>";
  return {{"Qwen-Qwen3-0.6B.jinja", "<think>\nWell.\n</think>\n\n" + hermes},
          {"NousResearch-Hermes-3-Llama-3.1-8B-tool_use.jinja", hermes},
          {"Qwen3.5-4B.jinja",
           "Well.\n</think>\n\n<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n"
           "</parameter>\n</function>\n</tool_call>"},
          {"mistralai-Ministral-3-14B-Reasoning-2512.jinja",
           "[TOOL_CALLS]get_weather[ARGS]{\"city\": \"Paris\"}"},
          {"openai-gpt-oss-120b.jinja",
           "<|channel|>analysis<|message|>Well.<|end|><|start|>assistant<|channel|>commentary "
           "to=functions.get_weather <|constrain|>json<|message|>{\"city\": \"Paris\"}"},
          {"meta-llama-Llama-3.1-8B-Instruct.jinja",
           "{\"name\": \"get_weather\", \"parameters\": {\"city\": \"Paris\"}}"}};
}

// The same family's answer of the format.
std::string form_of(const Family& family) {
  if (family.file.starts_with("mistralai")) return "```json\n" + std::string(kJson) + "\n```";
  if (family.file.starts_with("openai")) return "<|channel|>final<|message|>" + std::string(kJson);
  if (family.file.starts_with("Qwen3.5")) return "Well.\n</think>\n\n" + std::string(kJson);
  return kJson;
}

struct Told {
  std::string content;
  std::vector<model::ToolCall> calls;
};

Told parse(const Rendered& rendered, std::string_view text, size_t slice) {
  Told told;
  const auto add = [&told](Result<AnswerDelta> delta) {
    ASSERT_TRUE(delta) << delta.error().what;
    told.content += delta->content;
    for (auto& call : delta->tool_calls) told.calls.push_back(std::move(call));
  };
  const auto parser = rendered.answer.make_parser([] { return std::string("id"); });
  for (size_t i = 0; i < text.size(); i += slice) add(parser->feed(text.substr(i, slice)));
  add(parser->finish());
  return told;
}

void expect_both(const Rendered& rendered, const std::string& call, const std::string& form) {
  EXPECT_FALSE(rendered.constraint.grammar_lazy);
  EXPECT_THAT(rendered.constraint.grammar, HasSubstr("city"));
  EXPECT_THAT(rendered.constraint.grammar, HasSubstr("degrees"));
  for (const size_t slice : {1, 3, 1000}) {
    const Told called = parse(rendered, call, slice);
    ASSERT_EQ(called.calls.size(), 1u) << slice;
    EXPECT_EQ(called.calls[0].name, "get_weather");
    EXPECT_EQ(boost::json::parse(called.calls[0].arguments),
              boost::json::parse(R"({"city":"Paris"})"));
    EXPECT_EQ(called.content, "");
    const Told answered = parse(rendered, form, slice);
    EXPECT_TRUE(answered.calls.empty()) << slice;
    EXPECT_EQ(answered.content, kJson) << slice;
  }
}

TEST(FormatOrCall, BothMayComeOfAJinjaTemplate) {
  const auto files = llama_templates();
  for (const Family& family : families()) {
    SCOPED_TRACE(family.file);
    ASSERT_TRUE(files.contains(family.file));
    const Rendered rendered = ask({.jinja = files.at(family.file)}, question("auto"));
    expect_both(rendered, family.call, form_of(family));
    const Constraint later = rendered.constraint.resume(form_of(family).substr(0, 6));
    EXPECT_EQ(later.generation_prompt,
              rendered.constraint.generation_prompt + form_of(family).substr(0, 6));
    EXPECT_EQ(later.grammar, rendered.constraint.grammar);
  }
}

TEST(FormatOrCall, ACallThatMustComeIsOfItsToolsForm) {
  const auto files = llama_templates();
  for (const Family& family : families()) {
    SCOPED_TRACE(family.file);
    const Rendered rendered = ask({.jinja = files.at(family.file)}, question("required"));
    EXPECT_THAT(rendered.constraint.grammar, HasSubstr("city"));
    EXPECT_THAT(rendered.constraint.grammar, Not(HasSubstr("degrees")));
    EXPECT_EQ(parse(rendered, family.call, 3).calls.size(), 1u);
  }
}

TEST(FormatOrCall, WithoutCallsTheFormatStands) {
  const auto files = llama_templates();
  for (const Family& family : families()) {
    SCOPED_TRACE(family.file);
    const Rendered rendered = ask({.jinja = files.at(family.file)}, question("none"));
    EXPECT_THAT(rendered.constraint.grammar, HasSubstr("degrees"));
    EXPECT_THAT(rendered.constraint.grammar, Not(HasSubstr("city")));
    EXPECT_EQ(parse(rendered, form_of(family), 3).content, kJson);
  }
}

// Its grammar of calls lets the model talk before them, which would be no answer of the format.
TEST(FormatOrCall, AGrammarThatLetsTheModelTalkIsNoAlternative) {
  const auto files = llama_templates();
  const Rendered rendered =
      ask({.jinja = files.at("deepseek-ai-DeepSeek-V3.2.jinja")}, question("auto"));
  EXPECT_THAT(rendered.constraint.grammar, Not(HasSubstr("om-second-root")));
}

TEST(FormatOrCall, BothMayComeOfAGoTemplate) {
  const std::string call = R"({"name": "get_weather", "arguments": {"city": "Paris"}})";
  const std::string bare = R"({"name": "get_weather", "parameters": {"city": "Paris"}})";
  for (const auto& [file, text] :
       {std::pair<std::string, std::string>{"chatml_tools.gotmpl", "<tool_call>\n" + call},
        {"llama3.gotmpl", bare},
        {"mistral.gotmpl", "[TOOL_CALLS] [" + call + "]"}}) {
    SCOPED_TRACE(file);
    const TemplateSource source{.go = test_data(file)};
    Rendered rendered = ask(source, question("auto"));
    EXPECT_THAT(rendered.constraint.grammar, StartsWith("root ::= om-space om-answer\n"));
    expect_both(rendered, text, kJson);
    rendered = ask(source, question("required"));
    EXPECT_THAT(rendered.constraint.grammar, Not(HasSubstr("degrees")));
    rendered = ask(source, question("none"));
    EXPECT_THAT(rendered.constraint.grammar, Not(HasSubstr("city")));
  }
}

TEST(FormatOrCall, ToolsWithANonsensicalSchemaMayBeCalledToo) {
  ChatInput input = question("auto");
  input.tools = {boost::json::parse(
      R"({"type":"function","function":{"name":"f","parameters":{"type":"nonsense"}}})")};
  const Rendered rendered = ask({.go = test_data("chatml_tools.gotmpl")}, input);
  EXPECT_THAT(rendered.constraint.grammar, HasSubstr("degrees"));
  EXPECT_THAT(rendered.constraint.grammar, HasSubstr("om-second-root"));
  EXPECT_EQ(parse(rendered, "<tool_call>{\"name\": \"f\", \"arguments\": {}}", 3).calls.size(), 1u);
}

TEST(FormatOrCall, TalkBeforeACallIsFoundInItsGrammar) {
  for (const char* root : {"until-1 tool-call", "(\"a\" until-2 space tool-call-root | \"b\")",
                           "until-3? tool-calls"}) {
    EXPECT_TRUE(talks_before_call(std::string("a ::= \"b\"\nroot ::= ") + root + "\n")) << root;
  }
  for (const char* root : {"tool-call", "(\"a\" until-2 \"b\")? tool-call", "tool-call until-1"}) {
    EXPECT_FALSE(talks_before_call(std::string("root ::= ") + root)) << root;
  }
  EXPECT_FALSE(talks_before_call(""));
}

}  // namespace
}  // namespace om::prompt
