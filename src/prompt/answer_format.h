// The kinds of answer parsers behind AnswerFormat. Private to this room.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "prompt/answer_parser.h"
#include "prompt/go_template.h"
#include "prompt/llama_chat.h"

namespace om::prompt {

class AnswerFormat::Impl {
 public:
  virtual ~Impl() = default;
  virtual std::unique_ptr<AnswerParser> make(ToolCallId ids) const = 0;
  virtual bool plain() const { return false; }
};

// How answers to a Go template look.
struct TagFormat {
  GoTags thinking;             // Empty: none.
  bool thinking_open = false;  // The prompt ends inside the thought.
  std::string tool_tag;        // Empty: no tools.
  std::vector<std::string> tool_names;
  bool only_call = false;  // Nothing but a call, and white space around it, can come.
};

AnswerFormat tag_answer_format(TagFormat format);
AnswerFormat jinja_answer_format(std::shared_ptr<const llama::OutputParser> parser);

}  // namespace om::prompt
