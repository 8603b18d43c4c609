// What a template of a hostile model may not do: each of these would end or stop the process.
#include <gtest/gtest.h>
#include <jinja/limits.h>

#include "prompt/llama_chat.h"
#include "prompt/template_files_for_test.h"

namespace om::prompt::llama {
namespace {

std::string repeat(std::string_view part, size_t times) {
  std::string text;
  for (size_t i = 0; i < times; ++i) text += part;
  return text;
}

Result<std::string> prompt_of(const std::string& jinja) {
  TRY(const auto compiled, compile(jinja, "<s>", "</s>"));
  ChatInput input;
  input.messages.push_back({.role = "user", .content = "Hello"});
  TRY(const auto applied, compiled->apply(input));
  return applied.prompt;
}

// With a tenth of the usual, to be quick; nothing of it stays behind either.
void expect_refused(const std::string& jinja, int64_t steps = 500'000) {
  const jinja::limits::scope limits;
  jinja::limits::current.steps = steps;
  jinja::limits::current.bytes = 50 << 20;
  const std::string begin = jinja.substr(0, 100);
  const auto values = jinja::limits::current.values;
  const auto prompt = prompt_of(jinja);
  ASSERT_FALSE(prompt.has_value()) << begin;
  EXPECT_EQ(prompt.error().code, Errc::invalid_argument) << begin;
  EXPECT_EQ(jinja::limits::current.values, values) << begin;
  EXPECT_EQ(jinja::limits::current.depth, 0) << begin;
}

void expect_refused(const std::vector<std::string>& templates) {
  for (const std::string& jinja : templates) expect_refused(jinja);
}

TEST(JinjaLimits, SayWhatIsWrong) {
  const auto endless = prompt_of("{% for a in range(1000000000) %}{% endfor %}");
  ASSERT_FALSE(endless.has_value());
  EXPECT_NE(endless.error().what.find("the template "), std::string::npos) << endless.error().what;
  const auto nested = prompt_of("{{ " + repeat("(", 300) + "1" + repeat(")", 300) + " }}");
  ASSERT_FALSE(nested.has_value());
  EXPECT_NE(nested.error().what.find("nested too deep"), std::string::npos) << nested.error().what;
}

TEST(JinjaLimits, DivisionsThatTrapAreErrors) {
  expect_refused("{{ 1 is divisibleby(0) }}");
  const auto least = prompt_of("{{ (-9223372036854775807 - 1) is divisibleby(-1) }}{{ 1 % 0 }}");
  EXPECT_TRUE(least.has_value()) << least.error().what;
}

TEST(JinjaLimits, CallsThatNeverReturnEnd) {
  expect_refused(std::vector<std::string>{
      "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
      "{% macro f(x) %}{% for a in [1] %}{% if x %}{{ '<' ~ f(x) }}{% endif %}{% endfor %}"
      "{% endmacro %}{{ f(1) }}",
      "{% macro f() %}{{ caller() }}{% endmacro %}"
      "{% macro g() %}{% call f() %}{{ g() }}{% endcall %}{% endmacro %}{{ g() }}"});
}

TEST(JinjaLimits, SourcesNestNoDeeperThanTheStack) {
  constexpr size_t kTimes = 50'000;
  expect_refused(
      {"{{ " + repeat("(", kTimes) + "1" + repeat(")", kTimes) + " }}",
       "{{ " + repeat("not ", kTimes) + "1 }}", "{{ 1 - " + repeat("- ", kTimes) + "1 }}",
       "{{ " + repeat("[", kTimes) + repeat("]", kTimes) + " }}",
       "{{ " + repeat("1 if false else ", kTimes / 2) + "2 }}",
       "{{ a" + repeat("()", kTimes) + " }}", "{{ a" + repeat(".b()", kTimes) + " }}",
       "{{ a" + repeat(".b", kTimes) + " }}", "{{ 1" + repeat("+1", kTimes) + " }}",
       "{{ 1" + repeat("|abs", kTimes) + " }}", "{{ 1" + repeat(" is number", kTimes) + " }}",
       repeat("{% if true %}", kTimes / 2) + repeat("{% endif %}", kTimes / 2),
       "{% if false %}" + repeat("{% elif false %}", kTimes / 2) + "{% endif %}"});
}

TEST(JinjaLimits, LoopsAndTextsHaveAnEnd) {
  const std::string long_text = "{% set s = 'a' * 1000000 %}";
  const std::string name = repeat("a", 200'000);
  expect_refused(
      {"{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
       "{{ range(1000000000000) }}", "{{ 'a' * 100000000000 }}", "{{ '' * 100000000000 }}",
       "{% set n = namespace(s='ab') %}{% for a in range(99) %}"
       "{% set n.s = n.s ~ n.s %}{% endfor %}",
       "{% set n = namespace(s=[1]) %}{% for a in range(99) %}"
       "{% set n.s = n.s + n.s %}{% endfor %}",
       "{{ 'a' | indent(10000000000) }}", "{{ [1] | tojson(indent=2000000000) }}",
       long_text + "{{ range(100000) | tojson(separators=[s, s]) }}",
       long_text + "{{ range(100000) | join(s) }}", long_text + "{{ s | replace('a', s) }}",
       long_text + "{{ s | replace('', s) }}",
       "{% for " + name + " in range(1000000) %}{% endfor %}"});
}

TEST(JinjaLimits, ValuesThatHoldThemselvesAreNeitherWalkedNorLeftBehind) {
  expect_refused(
      {"{% set n = namespace() %}{% set n.x = n %}{{ n|tojson }}",
       "{% set n = [] %}{% set _ = n.append(n) %}{{ n|string }}",
       "{% set n = [] %}{% set _ = n.append(n) %}{{ n }}",
       "{% set n = namespace(x=(1, 1)) %}{% for a in range(60) %}{% set n.x = (n.x, n.x) %}"
       "{% endfor %}{{ n.x == n.x }}",
       "{% set n = namespace(x=[1]) %}{% for a in range(60) %}{% set n.x = [n.x, n.x] %}"
       "{% endfor %}{{ n.x | tojson }}"});
  const auto values = jinja::limits::current.values;
  const auto prompt = prompt_of(
      "{% for a in range(200) %}{% set n = namespace(s='x') %}{% set n.n = n %}"
      "{% set loop.l = loop %}{% endfor %}"
      "{% macro f() %}{{ caller() }}{% endmacro %}{% set n = namespace() %}"
      "{% call f() %}{% set n.c = caller %}{% endcall %}");
  EXPECT_TRUE(prompt.has_value()) << prompt.error().what;
  EXPECT_EQ(jinja::limits::current.values, values);
}

// The first run builds them and lets them go; the steps end with some later one.
TEST(JinjaLimits, DeepValuesAreDestroyedWithoutDepth) {
  for (const std::string inner : {"{% set n.x = [n.x] %}", "{% set n.x = (n.x, n.x) %}",
                                  "{% set n.x = {'a': n.x} %}", "{% set n.x = [[n.x].append] %}",
                                  "{% set y = [] %}{% set _ = n.x.append(y) %}{% set n.x = y %}"}) {
    expect_refused(
        "{% set n = namespace(x=[]) %}{% for a in range(100000) %}" + inner + "{% endfor %}",
        3'000'000);
  }
}

TEST(JinjaLimits, SortsWhatHasNoOrder) {
  const auto prompt = prompt_of(
      "{% set n = namespace(l=[]) %}{% for a in range(300) %}"
      "{% set n.l = n.l + [a, '10', 0.0 / 0, (a * 7) % 13] %}{% endfor %}"
      "{{ n.l | sort | length }} {{ n.l | sort(reverse=true) | length }}");
  ASSERT_TRUE(prompt.has_value()) << prompt.error().what;
  EXPECT_EQ(*prompt, "1200 1200");
}

TEST(JinjaLimits, TextsAreSplitAndReplacedAsBefore) {
  const auto prompt = prompt_of(
      "{% set n = 'a' * 1000 %}{{ (n ~ 'b') in (n ~ n) }} {{ (n ~ n).split(n ~ 'b')|length }}"
      " {{ 'a--b--c'.split('--')|join(',') }} {{ 'a--b--c'.split('--', 1)|join(',') }}"
      " {{ 'xyx'.replace('x', 'zz') }} {{ 'a--b--c'.rsplit('--', 1)|join(',') }}");
  ASSERT_TRUE(prompt.has_value()) << prompt.error().what;
  EXPECT_EQ(*prompt, "False 1 a,b,c a,b--c zzyzz a--b,c");
}

// The library catches what goes wrong in one run and goes on with the next one.
TEST(JinjaLimits, WhatIsUsedUpStaysSoForAllRunsOfOneCall) {
  const jinja::limits::scope outer;
  EXPECT_FALSE(prompt_of("{% for a in range(1000000000) %}{% endfor %}").has_value());
  EXPECT_FALSE(prompt_of("{{ messages[0].content }}").has_value());
}

TEST(JinjaLimits, LongConversationsAreGivenMoreThanTheyUse) {
  const jinja::limits::scope limits;
  const auto compiled = compile(test_data("hermes_thinking.jinja"), "<s>", "</s>");
  ASSERT_TRUE(compiled.has_value()) << compiled.error().what;
  ChatInput input;
  for (int i = 0; i < 1000; ++i) {
    input.messages.push_back({.role = "user", .content = repeat("Where is it? ", 50)});
    input.messages.push_back(
        {.role = "assistant",
         .tool_calls = {{.id = "call12345", .name = "where", .arguments = R"({"city":"Ulm"})"}}});
    input.messages.push_back(
        {.role = "tool", .content = "9 N", .tool_name = "where", .tool_call_id = "call12345"});
    input.messages.push_back({.role = "assistant", .content = "There.", .thinking = "Hm."});
  }
  input.messages.push_back({.role = "user", .content = "Thanks."});
  const auto applied = (*compiled)->apply(input);
  ASSERT_TRUE(applied.has_value()) << applied.error().what;
  EXPECT_GT(jinja::limits::current.steps, 5 * jinja::limits::steps_base);
  EXPECT_GT(jinja::limits::current.bytes, jinja::limits::bytes_base);
}

TEST(JinjaLimits, AreLeftAloneByTemplatesOfRealModels) {
  for (const auto& [name, jinja] : llama_templates()) {
    const auto prompt = prompt_of(jinja);
    if (!prompt) {
      EXPECT_EQ(prompt.error().what.find("the template "), std::string::npos)
          << name << ": " << prompt.error().what;
    }
  }
}

}  // namespace
}  // namespace om::prompt::llama
