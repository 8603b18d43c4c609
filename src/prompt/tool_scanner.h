// Finds tool calls in an answer by the tag that announces them. Private to this room.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/chat.h"

namespace om::prompt {

// After the tag comes a known tool's name, in a JSON object or before one; the arguments are the
// object's "arguments" or "parameters", or the object itself. An object may hold several calls. The
// tags "{" and "[" count only as the first visible output. What turns out to be no call is content.
// Its state is a function of the text fed; each byte is looked at a bounded number of times.
class ToolScanner {
 public:
  // `tag` empty: all text is content.
  ToolScanner(std::string tag, std::vector<std::string> names);

  void feed(std::string_view text);
  void finish();
  std::string take_content() { return std::exchange(content_, {}); }
  std::vector<model::ToolCall> take_calls() { return std::exchange(calls_, {}); }

 private:
  enum class State { content, call, after_call };

  bool advance();
  bool search_tag();
  bool search_object();
  bool search_more();
  bool search_name(size_t start);
  void begin_call(size_t prefix);
  void accept_object(size_t end);
  void give_up(size_t bytes);
  std::vector<model::ToolCall> calls_in(std::string_view object, std::string_view before) const;
  bool bare_tag() const { return tag_ == "{" || tag_ == "["; }

  std::string tag_;
  std::vector<std::string> names_;
  State state_ = State::content;
  std::string held_;    // Not yet given out, from the tag on.
  size_t prefix_ = 0;   // Bytes of held_ that are the tag.
  size_t scanned_ = 0;  // Bytes of held_ the brace counter has seen.
  size_t object_ = 0;   // Where the object begins.
  int depth_ = 0;
  bool in_string_ = false, escaped_ = false, visible_ = false, fenced_ = false;
  bool ended_ = false;
  std::string content_;
  std::vector<model::ToolCall> calls_;
};

// Length of the longest proper prefix of `tag` that `text` ends with.
size_t overlap(std::string_view text, std::string_view tag);

}  // namespace om::prompt
