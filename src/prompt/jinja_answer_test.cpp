#include <gtest/gtest.h>

#include <random>

#include "prompt/answer_format.h"
#include "prompt/llama_chat.h"
#include "prompt/template_files_for_test.h"

namespace om::prompt {
namespace {

// The same parser that does not tell of its markers: every piece is parsed.
class Silent final : public llama::OutputParser {
 public:
  explicit Silent(std::shared_ptr<const OutputParser> parser) : parser_(std::move(parser)) {}
  Result<llama::Parsed> parse(const std::string& text, bool partial) const override {
    return parser_->parse(text, partial);
  }
  bool plain() const override { return parser_->plain(); }
  bool markers_are_signs() const override { return false; }

 private:
  std::shared_ptr<const OutputParser> parser_;
};

std::shared_ptr<const llama::OutputParser> parser_of(const std::string& text, bool tools) {
  const auto compiled = llama::compile(text, "", "").value();
  ChatInput input{.messages = {{.role = "user", .content = "Weather?"}}};
  if (tools) {
    input.tools = {boost::json::parse(R"({"type":"function","function":{"name":"get_weather",
        "description":"d","parameters":{"type":"object","properties":{"city":{"type":"string"}},
        "required":["city"]}}})")};
  }
  return compiled->apply(input).value().parser;
}

const std::vector<std::string> kPieces = {"word",
                                          " word",
                                          " two words",
                                          ".",
                                          ", and",
                                          "\n",
                                          "\n\n",
                                          " ",
                                          "<",
                                          "<think",
                                          "<think>",
                                          "think>",
                                          "</think>",
                                          "</",
                                          "<tool_call>",
                                          "</tool_call>",
                                          "{",
                                          "{\"name\": \"get_weather\", ",
                                          "\"arguments\": {\"city\": \"Ulm\"}}",
                                          "\"",
                                          "(x)",
                                          "don't",
                                          "ü",
                                          "\xC3",
                                          "\xBC",
                                          " - ",
                                          "functools[",
                                          "10"};

std::string told(const AnswerDelta& delta) {
  std::string text = "c" + delta.content + "|t" + delta.thinking;
  for (const auto& call : delta.tool_calls) text += "|f" + call.name + call.arguments;
  return text;
}

void compare(const std::shared_ptr<const llama::OutputParser>& parser, uint32_t seed) {
  std::mt19937 chance(seed);
  const auto ids = [] { return std::string("call_1"); };
  const auto quick = jinja_answer_format(parser).make_parser(ids);
  const auto thorough =
      jinja_answer_format(std::make_shared<const Silent>(parser)).make_parser(ids);
  std::string fed;
  for (int i = 0; i < 60; i++) {
    // Mostly prose, as answers are.
    const std::string& piece = kPieces[chance() % (chance() % 3 ? 5 : kPieces.size())];
    fed += piece + "¦";
    const auto got = quick->feed(piece);
    const auto expected = thorough->feed(piece);
    ASSERT_EQ(got.has_value(), expected.has_value());
    ASSERT_EQ(told(*got), told(*expected)) << "seed " << seed << ": " << fed;
  }
  ASSERT_EQ(told(*quick->finish()), told(*thorough->finish())) << "seed " << seed << ": " << fed;
}

TEST(JinjaProse, ProseThatIsPassedOnIsWhatParsingWouldGive) {
  const auto models = llama_templates();
  ASSERT_TRUE(models.contains("Qwen-Qwen3-0.6B.jinja"));
  int known = 0;
  for (const std::string& text :
       {test_data("hermes_thinking.jinja"), models.at("Qwen-Qwen3-0.6B.jinja"),
        models.at("deepseek-ai-DeepSeek-R1-Distill-Qwen-32B.jinja"),
        models.at("meta-llama-Llama-3.1-8B-Instruct.jinja"),
        models.at("fireworks-ai-llama-3-firefunction-v2.jinja"), models.at("Qwen3-Coder.jinja"),
        models.at("ByteDance-Seed-OSS.jinja")}) {
    for (const bool tools : {false, true}) {
      const auto parser = parser_of(text, tools);
      known += parser->markers_are_signs();
      for (uint32_t seed = 0; seed < 20; seed++) compare(parser, seed);
    }
  }
  EXPECT_GE(known, 6);
}

// Small models fall into such loops; the library's parser would recurse until the stack ends.
TEST(JinjaNesting, BracketsWithoutEndEndNoParser) {
  const auto models = llama_templates();
  for (const auto& [source, begun] : std::vector<std::pair<std::string, std::string>>{
           {test_data("hermes_thinking.jinja"),
            "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": "},
           {models.at("Qwen3-Coder.jinja"),
            "<tool_call>\n<function=get_weather>\n<parameter=city>\n"},
           {models.at("meta-llama-Llama-3.1-8B-Instruct.jinja"),
            "{\"name\": \"get_weather\", \"parameters\": {\"city\": "}}) {
    for (const char* bracket : {"[", "{\"a\":", "[\"]\","}) {
      const auto parser =
          jinja_answer_format(parser_of(source, true)).make_parser([] { return "id"; });
      std::string said = begun;
      for (int i = 0; i < 100'000; ++i) said += bracket;
      std::string got;
      for (size_t at = 0; at < said.size(); at += 5'000) {
        const auto delta = parser->feed(said.substr(at, 5'000));
        ASSERT_TRUE(delta) << delta.error().what;
        got += delta->content;
      }
      got += parser->finish()->content;
      EXPECT_TRUE(got.ends_with(said.substr(said.size() - 50'000))) << begun << bracket;
    }
  }
}

TEST(JinjaNesting, BracketsInAStringAreText) {
  std::string script;
  for (int i = 0; i < 300; ++i) script += "\\u001b[31m{ [0, 1) \\\" ";
  const auto parser =
      jinja_answer_format(parser_of(test_data("hermes_thinking.jinja"), true)).make_parser([] {
        return "id";
      });
  const auto told =
      parser->feed("<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"" +
                   script + "\"}}\n</tool_call>");
  ASSERT_TRUE(told);
  const auto last = parser->finish();
  ASSERT_TRUE(last);
  EXPECT_EQ(told->tool_calls.size() + last->tool_calls.size(), 1u);
}

TEST(JinjaProse, MarkersThatBeginWithALetterMakeItParseAll) {
  const auto models = llama_templates();
  ASSERT_TRUE(models.contains("fireworks-ai-llama-3-firefunction-v2.jinja"));
  EXPECT_FALSE(parser_of(models.at("fireworks-ai-llama-3-firefunction-v2.jinja"), true)
                   ->markers_are_signs());
  EXPECT_TRUE(parser_of(test_data("hermes_thinking.jinja"), true)->markers_are_signs());
}

}  // namespace
}  // namespace om::prompt
