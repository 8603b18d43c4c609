// UTF-8 as RFC 3629 defines it: no overlong forms, no surrogates, nothing above U+10FFFF.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace om {

// One character at the front of some text. `length` 0: the text is empty or does not start with a
// valid character.
struct Utf8Character {
  char32_t code = 0;
  size_t length = 0;
};
Utf8Character utf8_front(std::string_view text);

bool utf8_valid(std::string_view text);

// How many bytes at the end are the beginning of a character whose rest may still come (0..3).
// 0 for a tail that can never become valid: waiting would not mend it.
size_t utf8_incomplete_tail(std::string_view text);

// The longest prefix of at most `bytes_max` bytes that does not cut a character in two.
std::string_view utf8_prefix(std::string_view text, size_t bytes_max);

// The text with every byte that is part of no valid character replaced by U+FFFD, one for each
// maximal broken piece, as browsers do.
std::string utf8_repaired(std::string_view text);

void utf8_append(std::string& out, char32_t code);

}  // namespace om
