#include "prompt/grammar.h"

#include <fmt/format.h>

#include <set>
#include <vector>

namespace om::prompt {

namespace {

bool is_name(char c) {
  return c == '-' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// Renames the rule root outside of literals, character classes and comments.
std::string rename_root(const std::string& grammar, std::string_view name) {
  std::string out;
  char inside = '\0';
  for (size_t i = 0; i < grammar.size();) {
    char c = grammar[i];
    if (inside != '\0') {
      out += c;
      ++i;
      if (c == '\\' && inside != '\n' && i < grammar.size()) out += grammar[i++];
      if (c == inside) inside = '\0';
      continue;
    }
    if (is_name(c)) {
      size_t end = i;
      while (end < grammar.size() && is_name(grammar[end])) ++end;
      std::string_view word(grammar.data() + i, end - i);
      out += word == "root" ? name : word;
      i = end;
      continue;
    }
    if (c == '"') inside = '"';
    if (c == '[') inside = ']';
    if (c == '#') inside = '\n';
    out += c;
    ++i;
  }
  return out;
}

std::u32string decode(std::string_view text) {
  std::u32string out;
  for (size_t i = 0; i < text.size();) {
    auto first = static_cast<unsigned char>(text[i]);
    size_t length = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    char32_t point = length == 1 ? first : first & (0xFF >> (length + 1));
    for (size_t k = 1; k < length && i + k < text.size(); ++k) {
      point = (point << 6) | (static_cast<unsigned char>(text[i + k]) & 0x3F);
    }
    out += point;
    i += length;
  }
  return out;
}

std::string escaped(char32_t point) {
  return fmt::format("\\U{:08X}", static_cast<uint32_t>(point));
}

std::string literal(const std::u32string& text) {
  std::string out = "\"";
  for (char32_t point : text) out += escaped(point);
  return out + '"';
}

// Rules that accept any text up to and with `end`: one per length of the part of `end` that the
// text so far ends with (the automaton of Knuth, Morris and Pratt).
std::string until(const std::u32string& end) {
  auto advance = [&](size_t matched, char32_t point) {
    std::u32string seen = end.substr(0, matched) + point;
    for (size_t length = std::min(seen.size(), end.size()); length > 0; --length) {
      if (seen.ends_with(end.substr(0, length))) return length;
    }
    return size_t{0};
  };
  std::set<char32_t> points(end.begin(), end.end());
  std::string out;
  for (size_t state = 0; state < end.size(); ++state) {
    std::string others = "[^";
    out += fmt::format("om-thought-{} ::= ", state);
    for (char32_t point : points) {
      size_t next = advance(state, point);
      out += next == end.size() ? fmt::format("[{}] | ", escaped(point))
                                : fmt::format("[{}] om-thought-{} | ", escaped(point), next);
      others += escaped(point);
    }
    out += others + "] om-thought-0\n";
  }
  return out;
}

}  // namespace

std::string answer_grammar(const std::string& grammar, const GoTags& tags, bool open) {
  std::string out = rename_root(grammar, "om-answer");
  if (!out.ends_with('\n')) out += '\n';
  out += "om-space ::= [ \\t\\n\\r]{0,16}\n";
  if (tags.empty()) return "root ::= om-space om-answer\n" + out;
  out += until(decode(tags.close));
  if (open) return "root ::= om-thought-0 om-space om-answer\n" + out;
  return fmt::format("root ::= om-space ({} om-thought-0 om-space)? om-answer\n",
                     literal(decode(tags.open))) +
         out;
}

}  // namespace om::prompt
