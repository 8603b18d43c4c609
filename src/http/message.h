// The parts of an HTTP message that both sides share.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace om::http {

// Without optional white space (RFC 9110: space, tab) at both ends.
std::string_view trim_ows(std::string_view text);

// Header fields in the order sent; names compare without case.
class Headers {
 public:
  void add(std::string_view name, std::string_view value);
  void set(std::string_view name, std::string_view value);
  void remove(std::string_view name);
  std::string_view get(std::string_view name) const;  // Empty if absent.
  bool has(std::string_view name) const;
  // True if a comma-separated list field has this element: has_token("Connection", "close").
  bool has_token(std::string_view name, std::string_view token) const;
  auto begin() const { return fields_.begin(); }
  auto end() const { return fields_.end(); }
  size_t size() const { return fields_.size(); }
  void clear() { fields_.clear(); }
  // Of the list itself, which clear() keeps.
  size_t memory_bytes() const { return fields_.capacity() * sizeof(fields_[0]); }

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

std::string_view reason_phrase(int status);

// RFC 3986 percent decoding. invalid_argument: a broken escape or a NUL.
Result<std::string> percent_decode(std::string_view text, bool plus_is_space = false);
std::string percent_encode(std::string_view text);

// An absolute URL taken apart.
struct Url {
  std::string scheme;  // "http" or "https".
  std::string host;    // Without brackets.
  uint16_t port = 0;   // The scheme's default if not written.
  std::string target;  // Path and query, at least "/".
  static Result<Url> parse(std::string_view text);
  std::string authority() const;  // host[:port] as a Host header wants it.
  std::string str() const;
};

}  // namespace om::http
