#include "api/error.h"

#include "api/json_output.h"

namespace om::api {

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

std::string error_body(ErrorShape shape, int status, std::string_view text,
                       std::string_view request_id) {
  std::string body;
  JsonWriter writer(body);
  writer.begin_object();
  if (shape == ErrorShape::ollama) {
    writer.member("error", text);
  } else if (shape == ErrorShape::openai) {
    writer.key("error").begin_object();
    writer.member("message", text).member("type", error_type(shape, status));
    writer.key("param").null().key("code").null();
    writer.end_object();
  } else {
    writer.member("type", "error").key("error").begin_object();
    writer.member("type", error_type(shape, status)).member("message", text);
    writer.end_object();
    std::string id(request_id);
    if (!id.starts_with("req_")) id.insert(0, "req_");
    writer.member("request_id", id);
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
