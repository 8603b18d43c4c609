// The growing answer of /v1/responses: its events and the response object. Pure.
// Source: https://platform.openai.com/docs/api-reference/responses-streaming
#pragma once

#include <boost/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/openai_reply.h"
#include "api/responses_tools.h"
#include "base/result.h"
#include "model/chat.h"

namespace om::api {

// One response. add() returns events to send at once; callers that do not stream drop them and
// send response() at the end. Output items stand in the order in which the model made them:
// reasoning, message, calls.
class ResponseStream {
 public:
  // `head.id` is "resp_..."; the ids of its items are made of it.
  ResponseStream(ReplyHead head, boost::json::object echo, ClientTools tools = {});

  // response.created and response.in_progress, the first time; then nothing.
  std::string begin();
  static constexpr uint64_t kBeginEvents = 2;
  // Says that the answer is still being made, as an event: clients do not count comments.
  std::string keepalive();
  std::string add(const model::Chunk& chunk);  // The last one closes the response.
  std::string fail(std::string_view message);  // error and response.failed.
  std::string response() const;                // The response object as it stands.

  // Output items that are finished.
  struct Item {
    std::string id;
    std::string text;  // Its JSON.
  };
  const std::vector<Item>& items() const { return items_; }

 private:
  enum class Open { none, reasoning, message };

  // One event: its type and number come first, then `members`.
  void event(std::string& out, std::string_view type, std::string_view members);
  void response_event(std::string& out, std::string_view type);
  void item_event(std::string& out, std::string_view type, std::string_view item);
  std::string place() const;  // "item_id":..,"output_index":.. of the open item.

  void open(std::string& out, Open kind);
  void close(std::string& out);
  void add_thinking(std::string& out, std::string_view text);
  void add_content(std::string& out, const model::Chunk& chunk);
  void add_call(std::string& out, const model::ToolCall& call);
  void finish(std::string& out, const model::Chunk& chunk);
  std::string open_item(std::string_view status) const;  // JSON of the open item.
  std::string text_part() const;

  ReplyHead head_;
  boost::json::object echo_;
  ClientTools tools_;
  std::string status_ = "in_progress";
  std::optional<int64_t> completed_;  // Unix seconds.
  std::string failure_;               // Code and message of a failed response, as JSON members.
  std::vector<Item> items_;
  Open open_ = Open::none;
  std::string item_id_;  // Of the open item.
  std::string text_;     // Of the open item.
  std::vector<model::Logprob> logprobs_;
  UsageSum usage_;
  int sequence_ = 0;  // 0: not begun.
};

}  // namespace om::api
