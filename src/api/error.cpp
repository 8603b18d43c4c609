#include "api/error.h"

#include <charconv>

#include "api/json_output.h"

namespace om::api {

namespace {

// "request (N tokens) exceeds the available context size (M tokens)": the runner's words, plain or
// in JSON, also those of a foreign llama-server. Or those about models whose context is not
// shifted, which tell no numbers.
constexpr std::string_view kUnshifted = "the prompt is longer than the context length";
struct Overflow {
  int64_t tokens = 0, context = 0;  // 0: not told.
};

std::optional<int64_t> number_behind(std::string_view text, std::string_view words) {
  const size_t found = text.find(words);
  if (found == text.npos) return std::nullopt;
  const char* digits = text.data() + found + words.size();
  int64_t number = 0;
  const auto read = std::from_chars(digits, text.data() + text.size(), number);
  return read.ec == std::errc{} ? std::optional(number) : std::nullopt;
}

std::optional<Overflow> overflow_in(std::string_view text) {
  if (text.find(kUnshifted) != text.npos) return Overflow{};
  const auto tokens = number_behind(text, "request (");
  const auto context = number_behind(text, " tokens) exceeds the available context size (");
  if (!tokens || !context) return std::nullopt;
  return Overflow{*tokens, *context};
}

}  // namespace

int http_status(Errc code) {
  switch (code) {
    case Errc::invalid_argument:
      return 400;
    case Errc::unauthenticated:
      return 401;
    case Errc::forbidden:
      return 403;
    case Errc::not_found:
      return 404;
    case Errc::already_exists:
      return 409;
    case Errc::cancelled:
      return 499;
    case Errc::unsupported:
      return 501;
    case Errc::overloaded:
    case Errc::unavailable:
    case Errc::not_leader:
      return 503;
    case Errc::deadline_exceeded:
      return 504;
    case Errc::corrupt:
    case Errc::io_failed:
    case Errc::internal:
      break;
  }
  return 500;
}

std::string_view error_type(ErrorShape shape, int status) {
  if (shape == ErrorShape::ollama) return {};
  const bool anthropic = shape == ErrorShape::anthropic;
  switch (status) {
    case 400:
    case 408:
    case 415:
    case 499:
      return "invalid_request_error";
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return anthropic ? "request_too_large" : "invalid_request_error";
    case 429:
      return anthropic ? "rate_limit_error" : "rate_limit_exceeded";
    case 503:
    case 529:
      return anthropic ? "overloaded_error" : "api_error";
    default:
      return "api_error";
  }
}

ErrorWords error_words(ErrorShape shape, std::string_view text) {
  const auto overflow = overflow_in(text);
  if (shape == ErrorShape::ollama || !overflow) return {std::string(text), {}};
  const auto [tokens, context] = *overflow;
  const bool counted = tokens > 0;
  if (shape == ErrorShape::anthropic) {
    return {counted ? fmt::format("prompt is too long: {} tokens > {} maximum", tokens, context)
                    : "prompt is too long: more tokens than the maximum",
            {}};
  }
  const std::string lengths =
      counted ? fmt::format(
                    "This model's maximum context length is {} tokens. However, your "
                    "messages resulted in {} tokens.",
                    context, tokens)
              : "Your messages are longer than this model's maximum context length.";
  return {lengths + " Please reduce their length, or raise num_ctx.", kContextLengthExceeded};
}

std::string anthropic_request_id(std::string_view request_id) {
  return request_id.starts_with("req_") ? std::string(request_id)
                                        : fmt::format("req_{}", request_id);
}

std::string error_body(ErrorShape shape, int status, std::string_view text,
                       std::string_view request_id) {
  const ErrorWords words = error_words(shape, text);
  const std::string_view message = words.message;
  std::string body;
  JsonWriter writer(body);
  writer.begin_object();
  if (shape == ErrorShape::ollama) {
    writer.member("error", message);
  } else if (shape == ErrorShape::openai) {
    writer.key("error").begin_object();
    writer.member("message", message).member("type", error_type(shape, status));
    writer.key("param").null().key("code");
    if (words.code.empty()) {
      writer.null();
    } else {
      writer.value(words.code);
    }
    writer.end_object();
  } else {
    writer.member("type", "error").key("error").begin_object();
    writer.member("type", error_type(shape, status)).member("message", message);
    writer.end_object();
    writer.member("request_id", anthropic_request_id(request_id));
  }
  writer.end_object();
  return body;
}

std::string error_element(ErrorShape shape, int status, std::string_view text,
                          std::string_view request_id) {
  std::string body = error_body(shape, status, text, request_id);
  switch (shape) {
    case ErrorShape::ollama:
      return body + "\n";
    case ErrorShape::openai:
      return "data: " + body + "\n\n";
    case ErrorShape::anthropic:
      break;
  }
  return "event: error\ndata: " + body + "\n\n";
}

}  // namespace om::api
