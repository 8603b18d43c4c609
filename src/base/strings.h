// Small questions asked of text everywhere. ASCII only where case or blanks matter; views point
// into the text given.
#pragma once

#include <charconv>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace om {

// Without blanks (space, \t, \r, \n, \v, \f) at both ends.
std::string_view trim(std::string_view text);

// Pieces between separators, empty ones too: "a,,b" has three. "" has one, which is empty.
std::vector<std::string_view> split(std::string_view text, char separator);
// The text before and after the first separator; nothing if there is none.
std::optional<std::pair<std::string_view, std::string_view>> split_once(std::string_view text,
                                                                        std::string_view separator);
std::vector<std::string_view> split_words(std::string_view text);  // By runs of blanks.

std::string join(std::span<const std::string> pieces, std::string_view separator);
char to_lower(char c);
std::string to_lower(std::string_view text);
int hex_value(char c);  // -1: no hexadecimal digit.
std::string replace_all(std::string_view text, std::string_view from, std::string_view to);

bool iequals(std::string_view a, std::string_view b);
bool istarts_with(std::string_view text, std::string_view prefix);

// The whole text as a number, nothing before or after it. No leading '+'.
template <class Number>
std::optional<Number> parse_number(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// Levenshtein distance, or `limit` + 1 as soon as it is known to be more.
size_t edit_distance(std::string_view a, std::string_view b, size_t limit);

// "Did you mean": the candidate nearest to `text`, if it is near enough to be a slip of the hand
// (at most a third of the letters, at least one). Empty if none is. Ignores case; the first of
// equals wins.
std::string_view nearest_word(std::string_view text, std::span<const std::string_view> candidates);

}  // namespace om
