// Answers of /v1/messages: the whole message object, or its events while it grows. Pure.
// Source: https://docs.anthropic.com/en/api/messages-streaming
#pragma once

#include <string>
#include <string_view>

#include "api/openai_gather.h"
#include "base/result.h"
#include "model/chat.h"

namespace om::api {

struct MessageHead {
  std::string id;  // "msg_...", unique.
  std::string model;
  int64_t input_tokens_estimate = 0;  // Until the runner has counted.
};

// The whole message; `content` is never null, and empty only if the model said nothing.
std::string message_reply(const MessageHead& head, const GatheredAnswer& answer);

// end_turn, max_tokens, tool_use or stop_sequence.
std::string_view stop_reason(model::DoneReason reason, bool has_tool_calls,
                             std::string_view stop_sequence);

// Renders one streamed message. Each call returns the events to send now.
class MessageStream {
 public:
  explicit MessageStream(MessageHead head) : head_(std::move(head)) {}
  static constexpr std::string_view kPing = "event: ping\ndata: {\"type\":\"ping\"}\n\n";
  std::string begin();  // message_start, the first time; then nothing.
  static constexpr uint64_t kBeginEvents = 1;
  std::string add(const model::Chunk& chunk);

 private:
  enum class Open { none, thinking, text };
  void open(std::string& out, Open kind);
  void close(std::string& out);
  void delta(std::string& out, std::string_view type, std::string_view member,
             std::string_view text) const;
  void add_call(std::string& out, const model::ToolCall& call);
  void finish(std::string& out, const model::Chunk& chunk);

  MessageHead head_;
  Open open_ = Open::none;
  int index_ = 0;  // Of the open block, or of the next.
  bool begun_ = false;
  bool called_ = false;
};

}  // namespace om::api
