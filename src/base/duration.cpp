#include "base/duration.h"

#include <array>
#include <limits>
#include <optional>

#include "base/strings.h"

namespace om {
namespace {

using std::chrono::nanoseconds;

constexpr uint64_t kNanosecondsMax = uint64_t{1} << 63;  // The most negative duration.

struct Unit {
  std::string_view name;
  uint64_t nanoseconds = 0;
};
constexpr std::array<Unit, 8> kUnits = {{{"ns", 1},
                                         {"us", 1'000},
                                         {"\xC2\xB5s", 1'000},  // Micro sign.
                                         {"\xCE\xBCs", 1'000},  // Greek mu.
                                         {"ms", 1'000'000},
                                         {"s", 1'000'000'000},
                                         {"m", 60'000'000'000},
                                         {"h", 3'600'000'000'000}}};

// Go's quoting in these messages: bytes outside printable ASCII as \xNN.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte >= 0x80) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out += '"';
}

bool digit(char c) { return c >= '0' && c <= '9'; }

// One "12.5h" taken from the front of `rest`.
struct Piece {
  uint64_t whole = 0;
  uint64_t fraction = 0;  // fraction / scale of a unit.
  double scale = 1;
  bool overflow = false;
  bool any_digit = false;
};

Piece take_number(std::string_view& rest) {
  Piece piece;
  for (; !rest.empty() && digit(rest[0]); rest.remove_prefix(1)) {
    piece.any_digit = true;
    if (piece.whole > kNanosecondsMax / 10) piece.overflow = true;
    if (!piece.overflow) piece.whole = piece.whole * 10 + static_cast<uint64_t>(rest[0] - '0');
    if (piece.whole > kNanosecondsMax) piece.overflow = true;
  }
  if (piece.overflow || rest.empty() || rest[0] != '.') return piece;
  rest.remove_prefix(1);
  // Digits beyond what fits are too small to matter.
  bool full = false;
  for (; !rest.empty() && digit(rest[0]); rest.remove_prefix(1)) {
    piece.any_digit = true;
    if (full || piece.fraction > (kNanosecondsMax - 1) / 10) {
      full = true;
      continue;
    }
    const uint64_t next = piece.fraction * 10 + static_cast<uint64_t>(rest[0] - '0');
    if (next > kNanosecondsMax) {
      full = true;
      continue;
    }
    piece.fraction = next;
    piece.scale *= 10;
  }
  return piece;
}

std::string_view take_unit(std::string_view& rest) {
  size_t length = 0;
  while (length < rest.size() && rest[length] != '.' && !digit(rest[length])) length++;
  const auto name = rest.substr(0, length);
  rest.remove_prefix(length);
  return name;
}

std::optional<uint64_t> unit_nanoseconds(std::string_view name) {
  for (const auto& unit : kUnits) {
    if (unit.name == name) return unit.nanoseconds;
  }
  return std::nullopt;
}

// The piece in nanoseconds; nothing when it does not fit.
std::optional<uint64_t> scaled(const Piece& piece, uint64_t unit) {
  if (piece.whole > kNanosecondsMax / unit) return std::nullopt;
  uint64_t value = piece.whole * unit;
  if (piece.fraction > 0) {
    const double part = static_cast<double>(unit) / piece.scale;
    value += static_cast<uint64_t>(static_cast<double>(piece.fraction) * part);
    if (value > kNanosecondsMax) return std::nullopt;
  }
  return value;
}

// "1.5" from 1500000000 and 9 digits, without trailing zeros.
std::string decimal(uint64_t value, int fraction_digits) {
  uint64_t scale = 1;
  for (int i = 0; i < fraction_digits; i++) scale *= 10;
  std::string out = fmt::format("{}", value / scale);
  if (value % scale == 0) return out;
  auto fraction = fmt::format("{:0{}}", value % scale, fraction_digits);
  fraction.erase(fraction.find_last_not_of('0') + 1);
  return out + "." + fraction;
}

}  // namespace

Result<nanoseconds> parse_duration(std::string_view text) {
  const auto invalid = [&] {
    return fail(Errc::invalid_argument, "time: invalid duration {}", quoted(text));
  };
  auto rest = text;
  const bool negative = rest.starts_with('-');
  if (negative || rest.starts_with('+')) rest.remove_prefix(1);
  if (rest == "0") return nanoseconds{0};
  if (rest.empty()) return invalid();
  uint64_t total = 0;
  while (!rest.empty()) {
    const auto piece = take_number(rest);
    if (piece.overflow || !piece.any_digit) return invalid();
    const auto name = take_unit(rest);
    if (name.empty()) {
      return fail(Errc::invalid_argument, "time: missing unit in duration {}", quoted(text));
    }
    const auto unit = unit_nanoseconds(name);
    if (!unit) {
      return fail(Errc::invalid_argument, "time: unknown unit {} in duration {}", quoted(name),
                  quoted(text));
    }
    const auto value = scaled(piece, *unit);
    if (!value) return invalid();
    total += *value;
    if (total > kNanosecondsMax) return invalid();
  }
  if (!negative && total == kNanosecondsMax) return invalid();
  return nanoseconds{static_cast<int64_t>(negative ? ~total + 1 : total)};
}

Result<nanoseconds> parse_duration_or_seconds(std::string_view text) {
  const auto seconds = parse_number<int64_t>(text);
  if (!seconds) return parse_duration(text);
  constexpr int64_t kSecondsMax = std::numeric_limits<int64_t>::max() / 1'000'000'000;
  if (*seconds > kSecondsMax) return nanoseconds::max();
  if (*seconds < -kSecondsMax) return nanoseconds::min();
  return nanoseconds{*seconds * 1'000'000'000};
}

std::string format_duration(nanoseconds duration) {
  const int64_t count = duration.count();
  const uint64_t size =
      count < 0 ? ~static_cast<uint64_t>(count) + 1 : static_cast<uint64_t>(count);
  const std::string sign = count < 0 ? "-" : "";
  if (size == 0) return "0s";
  if (size < 1'000) return fmt::format("{}{}ns", sign, size);
  if (size < 1'000'000) return fmt::format("{}{}\xC2\xB5s", sign, decimal(size, 3));
  if (size < 1'000'000'000) return fmt::format("{}{}ms", sign, decimal(size, 6));
  const uint64_t minutes = size / 60'000'000'000;
  const auto seconds = decimal(size % 60'000'000'000, 9);
  if (minutes == 0) return fmt::format("{}{}s", sign, seconds);
  if (minutes < 60) return fmt::format("{}{}m{}s", sign, minutes, seconds);
  return fmt::format("{}{}h{}m{}s", sign, minutes / 60, minutes % 60, seconds);
}

std::string format_size(uint64_t bytes) {
  constexpr std::array<std::pair<uint64_t, std::string_view>, 4> kSizes = {
      {{1'000'000'000'000, "TB"}, {1'000'000'000, "GB"}, {1'000'000, "MB"}, {1'000, "KB"}}};
  for (const auto& [size, name] : kSizes) {
    if (bytes < size) continue;
    const double value = static_cast<double>(bytes) / static_cast<double>(size);
    // One decimal only below ten, and none for whole numbers.
    if (bytes / size >= 10 || bytes % size == 0) return fmt::format("{} {}", bytes / size, name);
    return fmt::format("{:.1f} {}", value, name);
  }
  return fmt::format("{} B", bytes);
}

std::string format_count(uint64_t count) {
  const auto value = static_cast<double>(count);
  if (count >= 1'000'000'000) {
    const bool whole = count % 1'000'000'000 == 0;
    return fmt::format("{:.{}f}B", value / 1e9, whole ? 0 : 1);
  }
  if (count >= 1'000'000) {
    const bool whole = count % 1'000'000 == 0;
    return fmt::format("{:.{}f}M", value / 1e6, whole ? 0 : 2);
  }
  if (count >= 1'000) return fmt::format("{:.0f}K", value / 1e3);
  return fmt::format("{}", count);
}

}  // namespace om
