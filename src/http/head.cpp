#include "http/head.h"

#include <algorithm>
#include <charconv>

#include "base/strings.h"

namespace om::http {
namespace {

bool is_token_char(char c) {
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return true;
  return c != '\0' && std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_token_char);
}

constexpr Refusal bad(std::string_view why) { return {400, why}; }

// The next line of a head, without its CRLF.
std::string_view take_line(std::string_view& text) {
  const size_t end = text.find("\r\n");
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 2);
  return line;
}

Refusal parse_version(std::string_view text, int& minor_version) {
  if (text.size() != 8 || !text.starts_with("HTTP/") || text[6] != '.' || text[5] < '0' ||
      text[5] > '9' || text[7] < '0' || text[7] > '9') {
    return bad("malformed HTTP version");
  }
  if (text[5] != '1') return {505, "only HTTP/1.1 and HTTP/1.0 are spoken here"};
  minor_version = text[7] - '0';
  return {};
}

Refusal parse_fields(std::string_view text, const HeadLimits& limits, Headers& headers) {
  while (true) {
    const std::string_view line = take_line(text);
    if (line.empty()) return {};
    if (line[0] == ' ' || line[0] == '\t') return bad("folded header lines are not accepted");
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return bad("a header line without a colon");
    const std::string_view name = line.substr(0, colon);
    const std::string_view value = trim_ows(line.substr(colon + 1));
    if (!valid_field_name(name)) return bad("a bad character in a header name");
    if (!valid_field_value(value)) return bad("a control character in a header");
    if (headers.size() >= limits.fields_max) return {431, "too many header fields"};
    headers.add(name, value);
  }
}

// All Content-Length fields as one number; false if they are malformed or differ.
bool parse_length(const Headers& headers, std::optional<uint64_t>& length) {
  for (const auto& [name, value] : headers) {
    if (!iequals(name, "Content-Length")) continue;
    // Digits only: a sign, a space or a list is how two parsers come to disagree.
    uint64_t number = 0;
    const char* end = value.data() + value.size();
    if (value.empty() || value[0] < '0' || value[0] > '9') return false;
    const auto [stop, error] = std::from_chars(value.data(), end, number);
    if (error != std::errc{} || stop != end || number > (uint64_t{1} << 62)) return false;
    if (length && *length != number) return false;
    length = number;
  }
  return true;
}

enum class Coding { absent, chunked, other };

Coding transfer_coding(const Headers& headers) {
  Coding coding = Coding::absent;
  for (const auto& [name, value] : headers) {
    if (!iequals(name, "Transfer-Encoding")) continue;
    const bool only = coding == Coding::absent && iequals(value, "chunked");
    coding = only ? Coding::chunked : Coding::other;
  }
  return coding;
}

bool keeps_alive(const Headers& headers, int minor_version) {
  if (headers.has_token("Connection", "close")) return false;
  return minor_version >= 1 || headers.has_token("Connection", "keep-alive");
}

Refusal check_target(std::string_view method, std::string_view target) {
  for (const char c : target) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte <= ' ' || byte == 127) return bad("a bad character in the request target");
  }
  if (target.starts_with('/') || target.starts_with("http://") || target.starts_with("https://")) {
    return {};
  }
  if (target == "*" && method == "OPTIONS") return {};
  return bad("the request target is neither a path nor a URL");
}

Refusal check_host(const RequestHead& head) {
  const auto is_host = [](const auto& field) { return iequals(field.first, "Host"); };
  const auto count = std::count_if(head.headers.begin(), head.headers.end(), is_host);
  if (count > 1) return bad("more than one Host header");
  if (count == 0 && head.minor_version >= 1) return bad("missing Host header");
  for (const char c : head.headers.get("Host")) {
    if (c == ' ' || c == '\t' || c == ',' || c == '/' || c == '@')
      return bad("malformed Host header");
  }
  return {};
}

Refusal find_request_framing(RequestHead& head) {
  std::optional<uint64_t> length;
  if (!parse_length(head.headers, length)) return bad("malformed or differing Content-Length");
  const Coding coding = transfer_coding(head.headers);
  if (coding != Coding::absent && length) {
    return bad("both Content-Length and Transfer-Encoding");
  }
  if (coding != Coding::absent && head.minor_version == 0) {
    return bad("Transfer-Encoding in an HTTP/1.0 request");
  }
  if (coding == Coding::other) return {501, "only the chunked transfer coding is supported"};
  if (coding == Coding::chunked) head.framing = Framing::chunked;
  if (length && *length > 0) head.framing = Framing::length;
  head.length = length.value_or(0);
  return {};
}

}  // namespace

bool valid_field_name(std::string_view name) { return is_token(name); }

bool valid_field_value(std::string_view value) {
  return std::none_of(value.begin(), value.end(), [](char c) {
    const auto byte = static_cast<uint8_t>(c);
    return (byte < ' ' && c != '\t') || byte == 127;
  });
}

size_t HeadScanner::scan(std::string_view input) {
  while (position_ < input.size() && !refused_) {
    const char c = input[position_++];
    if (after_cr_ && c != '\n') {
      refused_ = bad("a carriage return without a line feed");
    } else if (c == '\n') {
      if (!after_cr_) {
        refused_ = bad("a line feed without a carriage return");
        break;
      }
      after_cr_ = false;
      const bool blank = position_ - line_start_ == 2;
      line_start_ = position_;
      if (blank && lines_ > 0) return position_;
      if (!blank) lines_++;
    } else if (c == '\r') {
      after_cr_ = true;
    } else if (c == '\0') {
      refused_ = bad("a NUL character in the head");
    } else if (lines_ == 0 && position_ - line_start_ > limits_.target_bytes_max + 64) {
      refused_ = {414, "the request target is too long"};
    }
    if (position_ >= limits_.bytes_max && !refused_) {
      refused_ = {431, "the request head is too large"};
    }
  }
  return 0;
}

Refusal parse_request_head(std::string_view text, const HeadLimits& limits, RequestHead& head) {
  while (text.starts_with("\r\n")) text.remove_prefix(2);
  const std::string_view line = take_line(text);
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return bad("malformed request line");
  head.method = line.substr(0, first);
  head.target = line.substr(first + 1, last - first - 1);
  if (!is_token(head.method) || head.method.size() > 32) return bad("malformed request method");
  if (head.target.size() > limits.target_bytes_max) return {414, "the request target is too long"};
  if (auto refusal = parse_version(line.substr(last + 1), head.minor_version)) return refusal;
  if (auto refusal = check_target(head.method, head.target)) return refusal;
  if (auto refusal = parse_fields(text, limits, head.headers)) return refusal;
  if (auto refusal = check_host(head)) return refusal;
  if (auto refusal = find_request_framing(head)) return refusal;
  head.keep_alive = keeps_alive(head.headers, head.minor_version);
  if (head.headers.has("Expect") && head.minor_version >= 1) {
    if (!iequals(head.headers.get("Expect"), "100-continue")) {
      return {417, "only 'Expect: 100-continue' is known here"};
    }
    head.expects_continue = head.framing != Framing::none;
  }
  return {};
}

Refusal parse_response_head(std::string_view text, const HeadLimits& limits, ResponseHead& head) {
  while (text.starts_with("\r\n")) text.remove_prefix(2);
  const std::string_view line = take_line(text);
  if (line.size() < 12 || line[8] != ' ' || (line.size() > 12 && line[12] != ' ')) {
    return bad("malformed status line");
  }
  if (auto refusal = parse_version(line.substr(0, 8), head.minor_version)) return refusal;
  for (const char c : line.substr(9, 3)) {
    if (c < '0' || c > '9') return bad("malformed status code");
    head.status = head.status * 10 + (c - '0');
  }
  if (head.status < 100 || head.status > 599) return bad("status code out of range");
  if (auto refusal = parse_fields(text, limits, head.headers)) return refusal;
  head.keep_alive = keeps_alive(head.headers, head.minor_version);

  std::optional<uint64_t> length;
  if (!parse_length(head.headers, length)) return bad("malformed or differing Content-Length");
  const Coding coding = transfer_coding(head.headers);
  if (coding == Coding::other) return bad("unknown transfer coding");
  const bool bodyless = head.status < 200 || head.status == 204 || head.status == 304;
  if (bodyless) {
    head.framing = Framing::none;
  } else if (coding == Coding::chunked) {
    head.framing = Framing::chunked;
    // Section 6.3: the coding wins, and the connection is not to be trusted any further.
    if (length) head.keep_alive = false;
  } else if (length) {
    head.framing = *length == 0 ? Framing::none : Framing::length;
    head.length = *length;
  } else {
    head.framing = Framing::until_close;
    head.keep_alive = false;
  }
  return {};
}

}  // namespace om::http
