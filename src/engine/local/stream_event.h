// The events of llama-server's streamed /completion answer, taken out of its bytes.
// https://github.com/ggml-org/llama.cpp/tree/master/tools/server (README, "POST /completion")
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"

namespace om::engine {

// One event. `piece` carries a token, `progress` tells how far the prompt is, `final` ends a
// complete answer, `error` ends a failed one.
struct StreamEvent {
  enum class Kind { piece, progress, final, error } kind = Kind::piece;
  std::string text;  // For `error`: the runner's own words.
  std::vector<Token> tokens;
  std::vector<model::Logprob> logprobs;
  int64_t predicted = 0;  // Tokens produced so far.
  int64_t evaluated = 0;  // Tokens of the prompt.

  PromptProgress progress;
  int64_t processed = 0;  // Tokens of the prompt, cached ones included.

  // final
  std::string stop_type, stop_word;
  int64_t cached = 0;
  double prompt_ms = 0, eval_ms = 0;
  // error
  int code = 0;
};

// Reads the event in the JSON text after "data: ". The common token event is scanned without
// building a document; everything else goes through Boost.JSON. corrupt: not such an event.
Result<StreamEvent> read_stream_event(std::string_view json);

// The two ways apart, so that a test can compare them. The scanner gives nullopt if it is not sure.
std::optional<StreamEvent> scan_token_event(std::string_view json);
Result<StreamEvent> parse_event(std::string_view json);

// The message of an error answer: {"error":{"message":...}}, or the text itself.
std::string error_message(std::string_view body);

inline constexpr size_t kStreamLineMax = 1 << 20;

// Cuts server-sent events out of a growing buffer.
class EventLines {
 public:
  // Bytes of the response body are appended here.
  std::string& buffer() { return buffer_; }

  // The next event's data, valid until the next call; nullopt: more bytes are needed.
  // corrupt: a line that is no event, or longer than kStreamLineMax.
  Result<std::optional<std::string_view>> next();

 private:
  Result<std::optional<std::string_view>> data_of(std::string_view line);

  std::string buffer_;
  size_t start_ = 0;    // Of the line being looked for.
  size_t scanned_ = 0;  // No line end before this.
};

}  // namespace om::engine
