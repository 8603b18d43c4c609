#include "model/json_text.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>

#include "base/check.h"
#include "base/utf8.h"

namespace om::model {
namespace {

void write_ascii(std::string& out, char c) {
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\b':
      out += "\\b";
      return;
    case '\f':
      out += "\\f";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      break;
  }
  if (c < 0x20 || c == '<' || c == '>' || c == '&') {
    out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
  } else {
    out += c;
  }
}

}  // namespace

void write_json_string(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    size_t length = utf8_front(text).length;
    std::string_view character = text.substr(0, std::max<size_t>(length, 1));
    if (length == 0) {
      out += "\\ufffd";
    } else if (length == 1) {
      write_ascii(out, text.front());
    } else if (character == "\xE2\x80\xA8") {
      out += "\\u2028";  // These two end a line in JavaScript.
    } else if (character == "\xE2\x80\xA9") {
      out += "\\u2029";
    } else {
      out += character;
    }
    text.remove_prefix(character.size());
  }
  out += '"';
}

std::string write_number(double number) {
  if (!std::isfinite(number)) return "null";
  double magnitude = std::abs(number);
  bool scientific = magnitude != 0 && (magnitude < 1e-6 || magnitude >= 1e21);
  std::array<char, 64> buffer;  // The longest: 21 digits, or "0.", zeros and 17 digits.
  auto [end, error] =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), number,
                    scientific ? std::chars_format::scientific : std::chars_format::fixed);
  CHECK(error == std::errc());
  std::string text(buffer.data(), end);
  // Go writes negative exponents without a leading zero.
  if (size_t at = text.find("e-0"); at != text.npos) text.erase(at + 2, 1);
  return text;
}

void write_json(std::string& out, const boost::json::value& value) {
  switch (value.kind()) {
    case boost::json::kind::null:
      out += "null";
      return;
    case boost::json::kind::bool_:
      out += value.get_bool() ? "true" : "false";
      return;
    case boost::json::kind::int64:
      out += fmt::format("{}", value.get_int64());
      return;
    case boost::json::kind::uint64:
      out += fmt::format("{}", value.get_uint64());
      return;
    case boost::json::kind::double_:
      out += write_number(value.get_double());
      return;
    case boost::json::kind::string:
      write_json_string(out, std::string_view(value.get_string()));
      return;
    case boost::json::kind::array: {
      char before = '[';
      for (const auto& element : value.get_array()) {
        out += before;
        write_json(out, element);
        before = ',';
      }
      out += before == '[' ? "[]" : "]";
      return;
    }
    case boost::json::kind::object: {
      char before = '{';
      for (const auto& [key, element] : value.get_object()) {
        out += before;
        write_json_string(out, std::string_view(key));
        out += ':';
        write_json(out, element);
        before = ',';
      }
      out += before == '{' ? "{}" : "}";
      return;
    }
  }
}

std::string write_json(const boost::json::value& value) {
  std::string out;
  write_json(out, value);
  return out;
}

Result<boost::json::object> parse_json_object(std::string_view text, std::string_view what) {
  boost::system::error_code error;
  auto value = boost::json::parse(text, error);
  if (error) return fail(Errc::corrupt, "{} is not JSON: {}", what, error.message());
  if (!value.is_object()) return fail(Errc::corrupt, "{} is not a JSON object", what);
  return std::move(value.get_object());
}

}  // namespace om::model
