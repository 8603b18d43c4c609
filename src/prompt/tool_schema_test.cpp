#include "prompt/tool_schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "prompt/render.h"
#include "prompt/template_files_for_test.h"

namespace om::prompt {
namespace {

namespace json = boost::json;
using ::testing::HasSubstr;

// What a model with this template is asked when a client has a tool of such parameters and a usual
// one; the error, if there is one.
std::string prompt_with(const json::value& parameters, const std::string& source,
                        const std::string& tool_choice = "") {
  const auto chosen = make_template({.jinja = source, .eos_token = "</s>"});
  if (!chosen) return chosen.error().what;
  ChatInput input{.messages = {{.role = "user", .content = "hi"}}};
  input.tool_choice = tool_choice;
  input.tools = {json::value{{"function", {{"name", "f"}, {"parameters", parameters}}}},
                 json::parse(R"({"type":"function","function":{"name":"good",
                     "parameters":{"type":"object","properties":{"a":{"type":"string"}}}}})")};
  const auto rendered = (*chosen)->chat(input);
  return rendered ? rendered->prompt : rendered.error().what;
}

// What generators of schemas write and llama.cpp refuses: no such tool may stop all requests of a
// client. What can be kept of it stays.
TEST(Tools, MayHaveSchemasThatNoGrammarCanBeMadeOf) {
  const std::pair<const char*, const char*> kOdd[] = {
      {R"({"type":"object","properties":null})", "\"object\""},  // Ollama's own Go client.
      {R"({"type":"","properties":null,"required":null})", "\"object\""},
      {R"({"type":"object","properties":{"x":{"type":"any","description":"kept"}}})", "kept"},
      {R"({"type":"OBJECT","properties":{"x":{"type":"STRING"}}})", "\"string\""},
      {R"({"type":"object","properties":{"x":{"type":["float","what"]}}})", "\"number\""},
      {R"({"type":"object","properties":{"x":true,"y":{"items":true}}})", "\"y\""},
      {R"({"type":"object","properties":{"x":{"enum":[]},"y":{"anyOf":[]}}})", "\"x\""},
      {R"({"type":"object","properties":{"x":{"items":null,"pattern":null,"format":null,
          "minLength":null,"additionalProperties":null,"minimum":null}}})",
       "\"x\""},
      {R"({"type":"object","properties":{"x":{"$ref":"#"},"y":{"$ref":"#/$defs/gone"},
          "z":{"$ref":"other.json"}}})",
       "\"z\""},
      {R"({"type":"object","properties":{"x":{"$ref":"#/$defs/D"}},
          "$defs":{"D":{"type":"any","enum":["one"]}}})",
       "\"one\""},
      {R"({"type":"object","properties":{"x":{"type":"string","pattern":"^(a$"}}})", "\"x\""},
      {R"({"type":"object","properties":{"x":{"type":"string","minLength":5000}}})", "\"x\""},
      {R"(true)", "\"f\""},
      {R"({"allOf":[{"$ref":"#/allOf/0"}]})", "\"f\""},
      {R"({"properties":{"node":{"$ref":"#/$defs/N"}},"$defs":{"N":{"type":"object","properties":{
          "next":{"allOf":[{"$ref":"#/$defs/N"}]}}}}})",
       "\"next\""},
  };
  // Deeper than Boost parses by default, as requests may be.
  json::value deep = json::parse(R"({"allOf":[{"$ref":"#/allOf/0"},{}]})");
  json::value* below = &deep.get_object()["properties"];
  for (int i = 0; i < 20; ++i) {
    *below = {{"p", {{"type", "object"}, {"properties", json::object()}}}};
    below = &below->get_object()["p"].get_object()["properties"];
  }
  const auto models = llama_templates();
  const std::string hermes = test_data("hermes_thinking.jinja");
  EXPECT_THAT(prompt_with(deep, hermes), HasSubstr("good"));
  for (const auto& [parameters, kept] : kOdd) {
    const auto odd = json::parse(parameters);
    for (const std::string& source :
         {hermes, models.at("Qwen3-Coder.jinja"), models.at("openai-gpt-oss-120b.jinja")}) {
      EXPECT_THAT(prompt_with(odd, source), HasSubstr("good")) << parameters;
    }
    EXPECT_THAT(prompt_with(odd, hermes), HasSubstr(kept)) << parameters;
    EXPECT_THAT(prompt_with(odd, hermes, "required"), HasSubstr("good")) << parameters;
  }
}

TEST(Tools, KeepTheSchemasThatCanBeUsedAsTheyWereSent) {
  const auto usual = json::parse(R"({"type":"object","required":["a"],"properties":{
      "a":{"type":"string","pattern":"^[a-z]+$"},"b":{"$ref":"#/$defs/B"},
      "c":{"type":["integer","null"],"minimum":1}},"$defs":{"B":{"enum":["x","y"]}}})");
  SchemaBudget budget;
  EXPECT_EQ(usable_parameters(usual, budget), usual);
}

}  // namespace
}  // namespace om::prompt
