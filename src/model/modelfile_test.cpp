#include "model/modelfile.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "model/json_text.h"

namespace om::model {
namespace {

std::string error_of(std::string_view text) {
  auto modelfile = Modelfile::parse(text);
  return modelfile ? "" : modelfile.error().what;
}

TEST(Modelfile, ReadsEveryInstruction) {
  auto parsed = Modelfile::parse(R"(# a comment
FROM ./model.gguf
from ./projector.gguf
ADAPTER lora.gguf
DRAFT draft.gguf
TEMPLATE """{{ .System }}
{{ .Prompt }}"""
SYSTEM You are a "pirate".
PARAMETER temperature 0.5
parameter num_ctx 4096
PARAMETER stop "<|im_end|>"
PARAMETER stop  two words
PARAMETER mirostat 2
LICENSE """
MIT
"""
LICENSE second
MESSAGE user hi
MESSAGE assistant "hello
there"
RENDERER qwen3
PARSER qwen3-thinking
REQUIRES v0.14.0
)");
  ASSERT_TRUE(parsed) << parsed.error().what;
  EXPECT_EQ(parsed->from, (std::vector<std::string>{"./model.gguf", "./projector.gguf"}));
  EXPECT_EQ(parsed->adapters.at(0), "lora.gguf");
  EXPECT_EQ(parsed->drafts.at(0), "draft.gguf");
  EXPECT_EQ(parsed->template_text, "{{ .System }}\n{{ .Prompt }}");
  EXPECT_EQ(parsed->system, "You are a \"pirate\".");
  EXPECT_EQ(write_json(parsed->parameters),
            R"({"temperature":0.5,"num_ctx":4096,"stop":["\u003c|im_end|\u003e","two words"]})");
  EXPECT_EQ(parsed->warnings.at(0), "parameter mirostat is deprecated");
  EXPECT_EQ(parsed->licenses, (std::vector<std::string>{"\nMIT\n", "second"}));
  ASSERT_EQ(parsed->messages.size(), 2u);
  EXPECT_EQ(parsed->messages[0].role, "user");
  EXPECT_EQ(parsed->messages[1].content, "hello\nthere");
  EXPECT_EQ(parsed->renderer, "qwen3");
  EXPECT_EQ(parsed->parser, "qwen3-thinking");
  EXPECT_EQ(parsed->requires_version, "0.14.0");
}

TEST(Modelfile, RefusesInOllamasWords) {
  EXPECT_EQ(error_of(""), "no FROM line");
  EXPECT_EQ(error_of("SYSTEM x"), "no FROM line");
  EXPECT_EQ(error_of("FROM x\n\nBADCOMMAND y\n"),
            R"((line 3): command must be one of "from", "license", "template", "system", )"
            R"("adapter", "draft", "renderer", "parser", "parameter", "message", or "requires")");
  EXPECT_TRUE(error_of("FROM\nx").starts_with("(line 1): command must be one of"));
  EXPECT_TRUE(error_of("FROM x\r\n=\r\n").starts_with("(line 2): command must be one of"));
  EXPECT_EQ(error_of("FROM x\nMESSAGE robot hi"),
            R"((line 2): message role must be one of "system", "user", or "assistant")");
  EXPECT_EQ(error_of("FROM x\nSYSTEM \"\"\"open\nstill open"), "unexpected EOF");
  EXPECT_EQ(error_of("FROM x\nSYSTEM \"open"), "unexpected EOF");
  EXPECT_EQ(error_of("FROM x\nPARAMETER temp-x 1"), "unexpected EOF: temp");
  EXPECT_EQ(error_of("FROM"), "unexpected EOF");
  EXPECT_EQ(error_of("FROM x\nPARAMETER seed"), "unexpected EOF");
  EXPECT_EQ(error_of("FROM x\nPARAMETER tempature 1"), "unknown parameter 'tempature'");
  EXPECT_EQ(error_of("FROM x\nPARAMETER num_ctx 4k"), "invalid int value [4k]");
  for (std::string_view version : {"x", "1.", "01.0.0", "1.2.3.4", "1.2.3-", "1.2-rc"}) {
    EXPECT_EQ(error_of("FROM x\nREQUIRES " + std::string(version)),
              "requires must be a valid semver (e.g. 0.14.0)")
        << version;
  }
  EXPECT_EQ(error_of("FROM x\nREQUIRES 1.2.3-rc.1+b"), "");
}

TEST(Modelfile, QuotesHaveNoEscapes) {
  auto parsed =
      Modelfile::parse("FROM x\nSYSTEM \"a \\\" b\"\nTEMPLATE \"\"\"say \"hi\" \\n\"\"\"");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->system, "a \\\" b");
  EXPECT_EQ(parsed->template_text, "say \"hi\" \\n");
}

TEST(Modelfile, UnderstandsByteOrderMarks) {
  EXPECT_EQ(Modelfile::parse("\xEF\xBB\xBF"
                             "FROM x")
                ->from.at(0),
            "x");
  const std::string_view text = "FROM x\nSYSTEM \xC3\xA9\n";
  std::string little = "\xFF\xFE";
  std::string big = "\xFE\xFF";
  for (char16_t unit : u"FROM x\nSYSTEM \u00E9\n") {
    if (unit == 0) break;
    little += {static_cast<char>(unit & 0xFF), static_cast<char>(unit >> 8)};
    big += {static_cast<char>(unit >> 8), static_cast<char>(unit & 0xFF)};
  }
  for (std::string_view bytes : {std::string_view(little), std::string_view(big), text}) {
    auto parsed = Modelfile::parse(bytes);
    ASSERT_TRUE(parsed) << parsed.error().what;
    EXPECT_EQ(parsed->system, "\xC3\xA9");
  }
}

TEST(Modelfile, DropsWhatCannotBePrinted) {
  auto parsed =
      Modelfile::parse(std::string("FROM\t x\x01\x7F\nSYSTEM a\tb\xE2\x80\x8B"
                                   "c\xFF",
                                   26));
  ASSERT_TRUE(parsed) << parsed.error().what;
  EXPECT_EQ(parsed->from.at(0), "x");
  EXPECT_EQ(parsed->system, "a\tbc\xEF\xBF\xBD");
}

TEST(Modelfile, ShowTellsHowToBuildOnIt) {
  Modelfile modelfile;
  modelfile.from = {"/models/blobs/sha256-ab"};
  modelfile.template_text = "{{ .Prompt }}";
  modelfile.system = "a \"b\"\nc";
  modelfile.parameters = boost::json::parse(R"({"stop":["x "],"seed":1})").as_object();
  EXPECT_EQ(show_modelfile(modelfile, "gemma3:270m"),
            "# Modelfile generated by \"ollama show\"\n"
            "# To build a new Modelfile based on this, replace FROM with:\n"
            "# FROM gemma3:270m\n\n"
            "FROM /models/blobs/sha256-ab\n"
            "TEMPLATE {{ .Prompt }}\n"
            "SYSTEM \"\"\"a \"b\"\nc\"\"\"\n"
            "PARAMETER seed 1\n"
            "PARAMETER stop \"x \"\n");
}

RC_GTEST_PROP(ModelfileProperty, WhatIsWrittenIsReadBack, ()) {
  // Without block quotes inside, which the language cannot express.
  const auto text = [] {
    return *rc::gen::container<std::string>(rc::gen::elementOf(std::string("ab# \n\t'{}.")));
  };
  Modelfile modelfile;
  modelfile.from = {"x"};
  modelfile.system = text();
  modelfile.template_text = "\"" + text() + "\"q";
  modelfile.licenses = {text(), text()};
  Message message;
  message.role = "user";
  message.content = text();
  modelfile.messages.push_back(message);
  auto read = Modelfile::parse(modelfile.to_text());
  RC_ASSERT(read.has_value());
  RC_ASSERT(read->system == modelfile.system);
  RC_ASSERT(read->template_text == modelfile.template_text);
  RC_ASSERT(read->licenses == modelfile.licenses);
  RC_ASSERT(read->messages.at(0).content == message.content);
}

RC_GTEST_PROP(ModelfileProperty, AnyBytesGiveAModelfileOrAnError, (const std::string& text)) {
  if (auto parsed = Modelfile::parse("FROM x\n" + text)) RC_ASSERT(!parsed->to_text().empty());
}

}  // namespace
}  // namespace om::model
