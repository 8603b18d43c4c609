#include "base/utf8.h"

#include <algorithm>
#include <cstdint>

namespace om {
namespace {

bool continuation(char c) { return (static_cast<uint8_t>(c) & 0xC0) == 0x80; }

// Length promised by a first byte, and the range its second byte must lie in (RFC 3629 section 4);
// the range is what shuts out overlong forms, surrogates and codes above U+10FFFF.
struct Lead {
  size_t length = 0;
  uint8_t low = 0x80;
  uint8_t high = 0xBF;
};

Lead lead_of(char c) {
  const auto byte = static_cast<uint8_t>(c);
  if (byte < 0x80) return {1};
  if (byte >= 0xC2 && byte <= 0xDF) return {2};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte >= 0xE1 && byte <= 0xEF) return {3};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte >= 0xF1 && byte <= 0xF3) return {4};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {};
}

// How many bytes at the front fit the character that the first byte promises.
size_t fitting(std::string_view text, const Lead& lead) {
  if (lead.length == 0) return 0;
  size_t count = 1;
  while (count < lead.length && count < text.size()) {
    const auto byte = static_cast<uint8_t>(text[count]);
    const bool fits =
        count == 1 ? byte >= lead.low && byte <= lead.high : continuation(text[count]);
    if (!fits) break;
    count++;
  }
  return count;
}

}  // namespace

Utf8Character utf8_front(std::string_view text) {
  if (text.empty()) return {};
  const Lead lead = lead_of(text[0]);
  if (lead.length == 0 || fitting(text, lead) < lead.length) return {};
  const auto first = static_cast<uint8_t>(text[0]);
  char32_t code = lead.length == 1 ? first : first & (0x7Fu >> lead.length);
  for (size_t i = 1; i < lead.length; i++)
    code = code << 6 | (static_cast<uint8_t>(text[i]) & 0x3F);
  return {code, lead.length};
}

bool utf8_valid(std::string_view text) {
  while (!text.empty()) {
    const auto front = utf8_front(text);
    if (front.length == 0) return false;
    text.remove_prefix(front.length);
  }
  return true;
}

size_t utf8_incomplete_tail(std::string_view text) {
  const size_t look_back_max = std::min<size_t>(3, text.size());
  for (size_t back = 1; back <= look_back_max; back++) {
    const auto tail = text.substr(text.size() - back);
    if (continuation(tail[0])) continue;
    const Lead lead = lead_of(tail[0]);
    return lead.length > back && fitting(tail, lead) == back ? back : 0;
  }
  return 0;
}

std::string_view utf8_prefix(std::string_view text, size_t bytes_max) {
  if (text.size() <= bytes_max) return text;
  const auto cut = text.substr(0, bytes_max);
  return cut.substr(0, cut.size() - utf8_incomplete_tail(cut));
}

std::string utf8_repaired(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const auto front = utf8_front(text);
    if (front.length > 0) {
      out += text.substr(0, front.length);
      text.remove_prefix(front.length);
      continue;
    }
    utf8_append(out, 0xFFFD);
    text.remove_prefix(std::max<size_t>(1, fitting(text, lead_of(text[0]))));
  }
  return out;
}

void utf8_append(std::string& out, char32_t code) {
  if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) code = 0xFFFD;
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | code >> 6);
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | code >> 18);
    out += static_cast<char>(0x80 | (code >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

}  // namespace om
