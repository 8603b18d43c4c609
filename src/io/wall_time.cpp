#include "io/wall_time.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <string>

namespace om::io {
namespace {

// "Z", or "+hh:mm" before or after UTC.
std::optional<int64_t> offset_seconds(std::string_view text) {
  if (text == "Z") return 0;
  if (text.size() != 6 || text[3] != ':' || (text[0] != '+' && text[0] != '-')) return {};
  int64_t numbers[2] = {};
  for (size_t i = 0; i < 2; i++) {
    const char tens = text[1 + 3 * i], ones = text[2 + 3 * i];
    if (tens < '0' || tens > '9' || ones < '0' || ones > '9') return {};
    numbers[i] = (tens - '0') * 10 + (ones - '0');
  }
  return (numbers[0] * 3600 + numbers[1] * 60) * (text[0] == '+' ? 1 : -1);
}

}  // namespace

std::optional<WallTime> parse_rfc3339(std::string_view text) {
  std::tm fields{};
  const std::string copy(text);
  const char* rest = ::strptime(copy.c_str(), "%Y-%m-%dT%H:%M:%S", &fields);
  if (rest == nullptr) return std::nullopt;
  if (*rest == '.') {
    rest++;
    while (*rest >= '0' && *rest <= '9') rest++;
  }
  const auto offset = offset_seconds(rest);
  if (!offset) return std::nullopt;
  // Zero (year 1) and "for ever" of Go's programs lie beyond our clock.
  const auto seconds_of = [](WallTime time) {
    return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
  };
  const int64_t seconds = ::timegm(&fields) - *offset;
  return WallTime(std::chrono::seconds(
      std::clamp(seconds, seconds_of(WallTime::min()), seconds_of(WallTime::max()))));
}

int64_t unix_seconds(WallTime time) {
  return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
}

}  // namespace om::io
