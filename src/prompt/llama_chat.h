// The only door to llama.cpp's llama-common: jinja templates, grammars, answer parsers. Its
// exceptions end here. It is pinned to the same commit as the runner (docs/dependencies.md).
// Private to this room.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "prompt/render.h"

namespace om::prompt::llama {

struct Parsed {
  std::string content, thinking;
  std::vector<model::ToolCall> tool_calls;  // The last may be unfinished.
};

// Letters, digits, and the signs that no marker may begin with if markers_are_signs().
bool is_prose_character(char c);

// Parses the output for one rendered prompt. Immutable.
class OutputParser {
 public:
  virtual ~OutputParser() = default;
  // internal: the text is not what the template's grammar says.
  virtual Result<Parsed> parse(const std::string& text, bool partial) const = 0;
  virtual bool plain() const = 0;  // All text is content.
  // All texts that mean something to it are known, and none begins as prose goes on.
  virtual bool markers_are_signs() const = 0;
};

struct Applied {
  std::string prompt;
  Constraint constraint;
  std::vector<std::string> stops;
  std::shared_ptr<const OutputParser> parser;
  bool thinks = false;
};

// A compiled jinja template; apply it from any thread.
class ChatTemplate {
 public:
  virtual ~ChatTemplate() = default;
  // invalid_argument: the template refused, or schema or tools are wrong.
  virtual Result<Applied> apply(const ChatInput& input) const = 0;
  // Of a turn's calls it tells the first only, or refuses a second one.
  virtual bool takes_one_call() const = 0;
};

// `text` empty: the built-in ChatML.
Result<std::shared_ptr<const ChatTemplate>> compile(const std::string& text,
                                                    const std::string& bos_token,
                                                    const std::string& eos_token);

// `schema` is JSON that was checked before.
Result<std::string> schema_grammar(const std::string& schema);

}  // namespace om::prompt::llama
