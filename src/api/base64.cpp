#include "api/json_input.h"

namespace om::api {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int sextet(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  if (c == '/') return 63;
  return -1;
}

bool is_line_end(char c) { return c == '\n' || c == '\r'; }

std::unexpected<Error> illegal(size_t at) {
  return fail(Errc::invalid_argument, "illegal base64 data at input byte {}", at);
}

}  // namespace

Result<std::string> decode_base64(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  uint32_t group = 0;
  int digits = 0, padding = 0;
  for (size_t i = 0; i < text.size(); i++) {
    const char c = text[i];
    if (is_line_end(c)) continue;
    if (c == '=') {
      if (digits + padding < 2 || digits + padding >= 4 || digits == 0) return illegal(i);
      padding++;
      continue;
    }
    const int value = sextet(c);
    if (value < 0 || padding > 0) return illegal(i);
    group = group << 6 | static_cast<uint32_t>(value);
    if (++digits < 4) continue;
    bytes += static_cast<char>(group >> 16);
    bytes += static_cast<char>(group >> 8 & 0xFF);
    bytes += static_cast<char>(group & 0xFF);
    group = 0;
    digits = 0;
  }
  if (digits == 0 && padding == 0) return bytes;
  if (digits + padding != 4) return illegal(text.size());
  group <<= 6 * padding;
  bytes += static_cast<char>(group >> 16 & 0xFF);
  if (padding == 1) bytes += static_cast<char>(group >> 8 & 0xFF);
  return bytes;
}

std::string encode_base64(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    for (size_t j = 0; j < 3; j++) {
      group = group << 8 | (j < count ? static_cast<unsigned char>(bytes[i + j]) : 0u);
    }
    for (size_t j = 0; j < 4; j++) {
      text += j <= count ? kAlphabet[group >> (18 - 6 * j) & 63] : '=';
    }
  }
  return text;
}

}  // namespace om::api
