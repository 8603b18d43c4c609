// Answers of /v1/chat/completions and /v1/completions as JSON text, whole or as server-sent events.
// Pure: no io, no clock. Source: https://platform.openai.com/docs/api-reference/chat/streaming
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/openai_gather.h"
#include "base/result.h"
#include "model/chat.h"

namespace om::api {

// Repeated in all pieces of one reply.
struct ReplyHead {
  std::string id;  // "chatcmpl-..." or "cmpl-...", unique.
  std::string model;
  int64_t created = 0;  // Unix seconds.
};

// Tokens of all choices together; a prompt counts once however many choices it has.
struct UsageSum {
  int64_t prompt_tokens = 0, cached_tokens = 0, output_tokens = 0, reasoning_tokens = 0;
  void add(const model::Usage& usage, bool count_prompt);
};

// One choice of /v1/completions: the text echoed before the answer, and the answer.
struct CompletionChoice {
  std::string echo;
  GatheredAnswer answer;
};

std::string chat_reply(const ReplyHead& head, const std::vector<GatheredAnswer>& choices,
                       const UsageSum& usage);
std::string completion_reply(const ReplyHead& head, const std::vector<CompletionChoice>& choices,
                             const UsageSum& usage);

// {"object":"list","data":[..],"model","usage"}; base64: little-endian float32, as OpenAI sends it.
std::string embeddings_reply(std::string_view model, const model::Embedding& embedding,
                             bool base64);

// stop, length, or tool_calls.
std::string_view finish_reason(model::DoneReason reason, bool has_tool_calls);
void write_usage(std::string& out, const UsageSum& usage);

// Renders a streamed chat, choice after choice. Each call returns the events to send now, perhaps
// none.
class ChatStream {
 public:
  ChatStream(ReplyHead head, bool include_usage);
  void add(std::string& out, int choice, const model::Chunk& chunk);  // Appends.
  std::string add(int choice, const model::Chunk& chunk);
  std::string end(const UsageSum& usage);  // The usage, if asked for, and [DONE].

 private:
  void write_delta(std::string& out, int choice, std::string_view members,
                   const std::vector<model::Logprob>& logprobs, std::string_view finish);

  std::string open_, close_;  // The text around `choices` in every event.
  bool include_usage_ = false;
  int started_choice_ = -1;  // The choice that has had its role.
  int tool_calls_ = 0;       // Of that choice.
};

// The same for /v1/completions.
class CompletionStream {
 public:
  CompletionStream(ReplyHead head, bool include_usage);
  std::string echo(int choice, std::string_view prompt);
  std::string add(int choice, const model::Chunk& chunk);
  std::string end(const UsageSum& usage);

 private:
  std::string event(int choice, std::string_view text, const std::vector<model::Logprob>& logprobs,
                    std::string_view finish);

  std::string open_, close_;
  bool include_usage_ = false;
  int started_choice_ = -1;
  size_t offset_ = 0;  // Of the next token in the choice's text.
};

}  // namespace om::api
