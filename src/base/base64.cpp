#include "base/base64.h"

#include <array>
#include <cstdint>

namespace om {
namespace {

constexpr std::string_view kStandard =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kUrl =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr uint8_t kNoDigit = 0xFF;

constexpr std::array<uint8_t, 256> reverse(std::string_view alphabet) {
  std::array<uint8_t, 256> values{};
  values.fill(kNoDigit);
  for (size_t i = 0; i < alphabet.size(); i++) {
    values[static_cast<uint8_t>(alphabet[i])] = static_cast<uint8_t>(i);
  }
  return values;
}
constexpr auto kStandardValues = reverse(kStandard);
constexpr auto kUrlValues = reverse(kUrl);

std::unexpected<Error> illegal(size_t at) {
  return fail(Errc::invalid_argument, "illegal base64 data at input byte {}", at);
}

size_t skip_line_breaks(std::string_view text, size_t at) {
  while (at < text.size() && (text[at] == '\n' || text[at] == '\r')) at++;
  return at;
}

// Appends the bytes that `count` digits (2, 3 or 4) stand for.
void append_group(std::string& out, uint32_t digits, size_t count) {
  digits <<= 6 * (4 - count);
  for (size_t i = 0; i + 1 < count; i++) out += static_cast<char>(digits >> (16 - 8 * i));
}

// The text from the first '=' on, after `count` digits of the last group. Error positions as in Go.
Result<void> check_padding(std::string_view text, size_t at, size_t count) {
  if (count < 2) return illegal(at);
  at++;
  if (count == 2) {
    at = skip_line_breaks(text, at);
    if (at == text.size()) return illegal(at);
    if (text[at] != '=') return illegal(at - 1);
    at++;
  }
  at = skip_line_breaks(text, at);
  if (at < text.size()) return illegal(at);
  return {};
}

}  // namespace

std::string base64_encode(std::string_view bytes, Base64 form) {
  const auto alphabet = form == Base64::standard ? kStandard : kUrl;
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = 0;
    for (size_t j = 0; j < 3; j++) {
      group = group << 8 | (j < count ? static_cast<uint8_t>(bytes[i + j]) : 0u);
    }
    for (size_t j = 0; j <= count; j++) out += alphabet[group >> (18 - 6 * j) & 0x3F];
    if (form == Base64::standard) out.append(3 - count, '=');
  }
  return out;
}

Result<std::string> base64_decode(std::string_view text, Base64 form) {
  const auto& values = form == Base64::standard ? kStandardValues : kUrlValues;
  const bool padded = form == Base64::standard;
  std::string out;
  out.reserve(text.size() / 4 * 3 + 2);
  uint32_t digits = 0;
  size_t count = 0;
  for (size_t i = 0; i < text.size(); i++) {
    const char c = text[i];
    const uint8_t value = values[static_cast<uint8_t>(c)];
    if (value != kNoDigit) {
      digits = digits << 6 | value;
      if (++count < 4) continue;
      append_group(out, digits, 4);
      digits = 0;
      count = 0;
    } else if (c == '=' && padded) {
      TRY_VOID(check_padding(text, i, count));
      append_group(out, digits, count);
      return out;
    } else if (c != '\n' && c != '\r') {
      return illegal(i);
    }
  }
  if (count == 0) return out;
  if (padded || count == 1) return illegal(text.size() - count);
  append_group(out, digits, count);
  return out;
}

}  // namespace om
