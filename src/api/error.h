// The one place where errors become HTTP: status, body and stream element, in the shapes of our
// three kinds of clients.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace om::api {

enum class ErrorShape {
  ollama,     // {"error":"text"}; in a stream one NDJSON line.
  openai,     // {"error":{"message","type","param":null,"code"}}; in a stream a data event.
  anthropic,  // {"type":"error","error":{"type","message"},"request_id"}; an `error` event.
};

// 400 invalid_argument, 401, 403, 404, 409 already_exists, 499 cancelled, 501 unsupported,
// 503 overloaded, unavailable and not_leader (clients retry on 503), 504 deadline, 500 the rest.
int http_status(Errc code);

// The `type` word of an OpenAI or Anthropic error. Ollama has none: empty.
std::string_view error_type(ErrorShape shape, int status);

// An error's text for clients of a shape. If the prompt is too long, with the words and the code by
// which they know that they must shorten it; Ollama's clients get the runner's own words.
inline constexpr std::string_view kContextLengthExceeded = "context_length_exceeded";
struct ErrorWords {
  std::string message;
  std::string_view code;  // OpenAI's; empty: none.
};
ErrorWords error_words(ErrorShape shape, std::string_view text);

// The id in the form of Anthropic's ids.
std::string anthropic_request_id(std::string_view request_id);

// A whole response body (application/json). `request_id` goes into Anthropic's.
std::string error_body(ErrorShape shape, int status, std::string_view text,
                       std::string_view request_id);

// The last element of a stream that has begun: an NDJSON line or an SSE event, complete.
std::string error_element(ErrorShape shape, int status, std::string_view text,
                          std::string_view request_id);

}  // namespace om::api
