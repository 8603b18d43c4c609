// What counts as blank in prompts and answers: JSON's four, not \v and \f as in base/strings.h.
#pragma once

#include <string_view>

namespace om::prompt {

inline constexpr std::string_view kBlanks = " \t\r\n";

// Without blanks at both ends.
inline std::string_view trim_blanks(std::string_view text) {
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) + 1 - first);
}

}  // namespace om::prompt
