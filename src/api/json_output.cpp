#include "api/json_output.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <iterator>
#include <limits>

#include "base/check.h"
#include "model/json_text.h"

namespace om::api {

void JsonWriter::separate() {
  if (comma_) out_ += ',';
  comma_ = true;
}

JsonWriter& JsonWriter::begin_object() {
  separate();
  out_ += '{';
  comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::end_object() {
  out_ += '}';
  comma_ = true;
  return *this;
}

JsonWriter& JsonWriter::begin_array() {
  separate();
  out_ += '[';
  comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::end_array() {
  out_ += ']';
  comma_ = true;
  return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
  separate();
  out_.append("\"").append(name).append("\":");
  comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::value(std::string_view text) {
  separate();
  model::write_json_string(out_, text);
  return *this;
}

JsonWriter& JsonWriter::value(bool flag) {
  separate();
  out_ += flag ? "true" : "false";
  return *this;
}

JsonWriter& JsonWriter::value(int64_t number) {
  separate();
  fmt::format_to(std::back_inserter(out_), "{}", number);
  return *this;
}

JsonWriter& JsonWriter::value(uint64_t number) {
  separate();
  fmt::format_to(std::back_inserter(out_), "{}", number);
  return *this;
}

JsonWriter& JsonWriter::value(double number) {
  separate();
  out_ += model::write_number(number);
  return *this;
}

JsonWriter& JsonWriter::value(float number) {
  separate();
  if (!std::isfinite(number)) {
    out_ += "null";
    return *this;
  }
  const float magnitude = std::abs(number);
  const bool scientific = magnitude != 0 && (magnitude < 1e-6f || magnitude >= 1e21f);
  std::array<char, 48> buffer;
  const auto [end, error] =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), number,
                    scientific ? std::chars_format::scientific : std::chars_format::fixed);
  CHECK(error == std::errc());
  out_.append(buffer.data(), end);
  return *this;
}

JsonWriter& JsonWriter::value(const boost::json::value& document) {
  separate();
  model::write_json(out_, document);
  return *this;
}

JsonWriter& JsonWriter::null() { return raw("null"); }

JsonWriter& JsonWriter::raw(std::string_view json) {
  separate();
  out_ += json;
  return *this;
}

JsonWriter& JsonWriter::member_if(std::string_view name, std::string_view text) {
  return text.empty() ? *this : member(name, text);
}

JsonWriter& JsonWriter::member_if(std::string_view name, int64_t number) {
  return number == 0 ? *this : member(name, number);
}

namespace {

// The last second asked for: the chunks of all streams come many times a second.
struct FormattedSecond {
  int64_t second = std::numeric_limits<int64_t>::min();
  std::string text;  // "2023-11-14T22:13:20".
};

}  // namespace

void append_time(std::string& out, io::WallTime time) {
  thread_local FormattedSecond last;
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  const std::time_t stamp = seconds.time_since_epoch().count();
  if (last.second != stamp) {
    last.text = fmt::format("{:%Y-%m-%dT%H:%M:%S}", fmt::gmtime(stamp));
    last.second = stamp;
  }
  out += last.text;
  auto rest = std::chrono::duration_cast<std::chrono::nanoseconds>(time - seconds).count();
  if (rest != 0) {
    std::array<char, 10> digits;
    digits[0] = '.';
    size_t length = 1;
    for (size_t i = 9; i > 0; i--) {
      digits[i] = static_cast<char>('0' + rest % 10);
      if (length == 1 && digits[i] != '0') length = i + 1;
      rest /= 10;
    }
    out.append(digits.data(), length);
  }
  out += 'Z';
}

std::string format_time(io::WallTime time) {
  std::string text;
  append_time(text, time);
  return text;
}

JsonWriter& JsonWriter::value(io::WallTime time) {
  separate();
  out_ += '"';
  append_time(out_, time);
  out_ += '"';
  return *this;
}

}  // namespace om::api
