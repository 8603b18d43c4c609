// Splits a model's raw output into content, thinking and tool calls while it streams.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/chat.h"

namespace om::prompt {

// Bytes of output one parser takes; more is refused (overloaded). Far above any real context.
inline constexpr size_t kAnswerBytesMax = 8 * 1024 * 1024;

// What the latest text added. Joined over an answer it does not depend on how the text was sliced.
struct AnswerDelta {
  std::string content;
  std::string thinking;
  std::vector<model::ToolCall> tool_calls;  // Complete ones only.

  bool empty() const { return content.empty() && thinking.empty() && tool_calls.empty(); }
};

// Gives ids to tool calls that the model's own format has none for.
using ToolCallId = std::function<std::string()>;

// "call_" and 8 of [a-z0-9], from 64 random bits.
std::string tool_call_id(uint64_t random);

// State is a function of the text fed so far: after a runner change go on feeding the new runner's
// text to the same parser; or feed a fresh one the whole text again. Not thread-safe.
class AnswerParser {
 public:
  virtual ~AnswerParser() = default;
  // overloaded: more than kAnswerBytesMax were fed; the parser stays as it was.
  virtual Result<AnswerDelta> feed(std::string_view text) = 0;
  // The answer is complete: gives out what was held back, as content if it never became more.
  virtual Result<AnswerDelta> finish() = 0;
  // Whether a tool call was given out so far.
  virtual bool called_tools() const = 0;
};

// How to parse the answers to one rendered prompt. Immutable and cheap to copy; from any thread.
class AnswerFormat {
 public:
  AnswerFormat();  // Plain: everything is content.
  class Impl;
  explicit AnswerFormat(std::shared_ptr<const Impl> impl);

  std::unique_ptr<AnswerParser> make_parser(ToolCallId ids) const;
  bool plain() const;  // Text passes through untouched.

 private:
  std::shared_ptr<const Impl> impl_;
};

}  // namespace om::prompt
