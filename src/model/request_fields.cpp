#include "model/request_fields.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "model/json_text.h"
#include "model/options.h"

namespace om::model {
namespace {

using std::chrono::nanoseconds;

struct Unit {
  std::string_view name;
  uint64_t nanoseconds;
};

constexpr std::array kUnits{Unit{"ns", 1},
                            Unit{"us", 1'000},
                            Unit{"\xC2\xB5s", 1'000},
                            Unit{"\xCE\xBCs", 1'000},
                            Unit{"ms", 1'000'000},
                            Unit{"s", 1'000'000'000},
                            Unit{"m", 60'000'000'000},
                            Unit{"h", 3'600'000'000'000}};

constexpr uint64_t kMagnitudeMax = uint64_t{1} << 63;  // Of the most negative duration.

std::string_view take_digits(std::string_view& text) {
  size_t count = 0;
  while (count < text.size() && text[count] >= '0' && text[count] <= '9') count++;
  std::string_view digits = text.substr(0, count);
  text.remove_prefix(count);
  return digits;
}

// value * unit, plus the fraction's share; false if it does not fit.
bool scale(std::string_view digits, std::string_view fraction, uint64_t unit, uint64_t& result) {
  uint64_t whole = 0;
  if (!digits.empty()) {
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), whole);
    if (error != std::errc()) return false;
  }
  if (__builtin_mul_overflow(whole, unit, &result)) return false;
  double share = 0;
  double place = 0.1;
  // Digits beyond a nanosecond cannot matter.
  for (char digit : fraction.substr(0, 18)) {
    share += (digit - '0') * place;
    place /= 10;
  }
  // Half of the smallest double step is added so that 0.1s is 100 000 000, not one less.
  auto extra = static_cast<uint64_t>(share * static_cast<double>(unit) + 1e-3);
  return !__builtin_add_overflow(result, extra, &result);
}

std::string_view type_name(const boost::json::value& value) {
  switch (value.kind()) {
    case boost::json::kind::bool_:
      return "bool";
    case boost::json::kind::array:
      return "[]interface {}";
    case boost::json::kind::object:
      return "map[string]interface {}";
    default:
      return "<nil>";
  }
}

nanoseconds from_seconds(double seconds) {
  double whole = std::trunc(seconds);
  if (whole < 0 || whole >= 9.2e9) return kForever;
  return nanoseconds(static_cast<int64_t>(whole) * 1'000'000'000);
}

}  // namespace

Result<nanoseconds> parse_go_duration(std::string_view text) {
  const auto invalid = [text] {
    return fail(Errc::invalid_argument, "time: invalid duration {}", go_quote(text));
  };
  std::string_view rest = text;
  bool negative = !rest.empty() && rest.front() == '-';
  if (!rest.empty() && (rest.front() == '-' || rest.front() == '+')) rest.remove_prefix(1);
  if (rest == "0") return nanoseconds(0);
  if (rest.empty()) return invalid();

  uint64_t total = 0;
  while (!rest.empty()) {
    std::string_view digits = take_digits(rest);
    std::string_view fraction;
    bool has_point = !rest.empty() && rest.front() == '.';
    if (has_point) {
      rest.remove_prefix(1);
      fraction = take_digits(rest);
    }
    if (digits.empty() && fraction.empty()) return invalid();
    std::string_view name = rest.substr(0, rest.find_first_of(".0123456789"));
    if (name.empty()) {
      return fail(Errc::invalid_argument, "time: missing unit in duration {}", go_quote(text));
    }
    rest.remove_prefix(name.size());
    auto unit = std::ranges::find(kUnits, name, &Unit::name);
    if (unit == kUnits.end()) {
      return fail(Errc::invalid_argument, "time: unknown unit {} in duration {}", go_quote(name),
                  go_quote(text));
    }
    uint64_t part = 0;
    if (!scale(digits, fraction, unit->nanoseconds, part)) return invalid();
    if (__builtin_add_overflow(total, part, &total) || total > kMagnitudeMax) return invalid();
  }
  if (negative) return nanoseconds(static_cast<int64_t>(0 - total));
  if (total == kMagnitudeMax) return invalid();
  return nanoseconds(static_cast<int64_t>(total));
}

Result<KeepAlive> parse_keep_alive(const boost::json::value& value) {
  KeepAlive keep_alive;
  if (value.is_null()) return keep_alive;
  if (value.is_number()) {
    keep_alive.duration = from_seconds(value.to_number<double>());
    return keep_alive;
  }
  if (!value.is_string()) {
    return fail(Errc::invalid_argument, "Unsupported type: '{}'", type_name(value));
  }
  TRY(auto duration, parse_go_duration(value.get_string()));
  keep_alive.duration = duration < nanoseconds(0) ? kForever : duration;
  return keep_alive;
}

Result<nanoseconds> parse_keep_alive_text(std::string_view text) {
  int64_t seconds = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error == std::errc() && end == text.data() + text.size()) {
    return from_seconds(static_cast<double>(seconds));
  }
  TRY(auto duration, parse_go_duration(text));
  return duration < nanoseconds(0) ? kForever : duration;
}

Result<Think> parse_think(const boost::json::value& value) {
  Think think;
  if (value.is_null()) return think;
  think.is_set = true;
  if (value.is_bool()) {
    think.enabled = value.get_bool();
    return think;
  }
  if (!value.is_string()) {
    return fail(Errc::invalid_argument,
                "think must be a boolean or string (\"high\", \"medium\", \"low\", \"max\", true, "
                "or false)");
  }
  std::string_view text = value.get_string();
  if (text == "true" || text == "false") {
    think.enabled = text == "true";
    return think;
  }
  if (text != "low" && text != "medium" && text != "high" && text != "max") {
    return fail(Errc::invalid_argument,
                "invalid think value: {} (must be \"high\", \"medium\", \"low\", \"max\", true, or "
                "false)",
                go_quote(text));
  }
  think.enabled = true;
  think.level = text;
  return think;
}

Result<Format> parse_format(const boost::json::value& value) {
  Format format;
  if (value.is_null()) return format;
  if (value.is_object()) {
    format.kind = Format::Kind::schema;
    format.schema = write_json(value);
    return format;
  }
  if (value.is_string() && value.get_string().empty()) return format;
  if (value.is_string() && value.get_string() == "json") {
    format.kind = Format::Kind::json;
    return format;
  }
  return fail(Errc::invalid_argument,
              "invalid format: {}; expected \"json\" or a valid JSON Schema object",
              go_quote(write_json(value)));
}

}  // namespace om::model
