// Message heads of RFC 9112: finding their end in arriving bytes, and taking them apart strictly.
#pragma once

#include <cstdint>
#include <string_view>

#include "http/message.h"

namespace om::http {

// Why a head is refused: the status to answer and a sentence for people. status 0: it is not.
struct Refusal {
  int status = 0;
  std::string_view why;
  explicit operator bool() const { return status != 0; }
};

struct HeadLimits {
  size_t bytes_max = 32 * 1024;
  size_t target_bytes_max = 8 * 1024;
  size_t fields_max = 100;
};

// Finds the blank line. Looks at each byte once, however often it is asked.
class HeadScanner {
 public:
  explicit HeadScanner(HeadLimits limits) : limits_(limits) {}

  // `input`: everything since the end of the last message. The length of the head with its blank
  // line, or 0: more is needed, or refused(). Empty lines before a request are skipped (and
  // counted in the length), as section 2.2 asks.
  size_t scan(std::string_view input);
  const Refusal& refused() const { return refused_; }
  void reset() { *this = HeadScanner(limits_); }

 private:
  HeadLimits limits_;
  size_t position_ = 0;  // Bytes looked at.
  size_t line_start_ = 0;
  size_t lines_ = 0;  // Lines with something on them.
  bool after_cr_ = false;
  Refusal refused_;
};

enum class Framing { none, length, chunked, until_close };

// What a head says about the message.
struct RequestHead {
  std::string_view method, target;
  int minor_version = 1;
  Headers headers;
  Framing framing = Framing::none;
  uint64_t length = 0;  // With Framing::length.
  bool keep_alive = true;
  bool expects_continue = false;
};

struct ResponseHead {
  int status = 0;
  int minor_version = 1;
  Headers headers;
  Framing framing = Framing::none;  // As if the request was not HEAD.
  uint64_t length = 0;
  bool keep_alive = true;
};

// `text`: one whole head as HeadScanner found it. The views in `head` point into it.
Refusal parse_request_head(std::string_view text, const HeadLimits& limits, RequestHead& head);
Refusal parse_response_head(std::string_view text, const HeadLimits& limits, ResponseHead& head);

bool valid_field_name(std::string_view name);
bool valid_field_value(std::string_view value);

}  // namespace om::http
