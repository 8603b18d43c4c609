#include "prompt/grammar.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>

namespace om::prompt {

namespace {

bool is_name(char c) {
  return c == '-' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// Renames the rules: what stands outside of literals, character classes, counts and comments.
template <class Rename>
std::string rename_rules(const std::string& grammar, Rename rename) {
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
      out += rename(word);
      i = end;
      continue;
    }
    if (c == '"') inside = '"';
    if (c == '[') inside = ']';
    if (c == '{') inside = '}';
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

// How llama.cpp names rules.
constexpr std::string_view kTalk = "until-", kCall = "tool-call", kSpace = "space";

struct Range {
  size_t begin = 0, end = 0;
};

// Of the right side of the rule "root"; empty if there is none.
Range root_of(std::string_view grammar) {
  constexpr std::string_view kRoot = "root ::= ";
  const size_t at = grammar.starts_with(kRoot) ? 0 : grammar.find("\nroot ::= ");
  if (at == grammar.npos) return {};
  return {grammar.find_first_not_of('\n', at) + kRoot.size(),
          std::min(grammar.find('\n', at + 1), grammar.size())};
}

// A name, or a literal, class or parenthesis without `text`; with what repeats it.
struct Token {
  size_t begin = 0, end = 0;  // With the blank behind it.
  std::string_view text;
  bool optional = false;
};

// Of one rule's right side.
class Tokens {
 public:
  Tokens(std::string_view line, size_t at) : line_(line), at_(at) {}

  int depth() const { return depth_; }  // Of parentheses.

  std::optional<Token> next() {
    while (at_ < line_.size() && line_[at_] == ' ') at_++;
    if (at_ >= line_.size()) return std::nullopt;
    Token token{.begin = at_};
    const char first = line_[at_];
    if (is_name(first)) {
      while (at_ < line_.size() && is_name(line_[at_])) at_++;
      token.text = line_.substr(token.begin, at_ - token.begin);
    } else {
      at_++;
      if (first == '(') depth_++;
      if (first == ')') depth_--;
      if (first == '"' || first == '[') skip_to(first == '"' ? '"' : ']');
    }
    for (; at_ < line_.size() && std::string_view("?*+").contains(line_[at_]); at_++) {
      token.optional |= line_[at_] != '+';
    }
    if (at_ < line_.size() && line_[at_] == ' ') at_++;
    token.end = at_;
    return token;
  }

 private:
  void skip_to(char last) {
    while (at_ < line_.size() && line_[at_] != last) at_ += line_[at_] == '\\' ? 2 : 1;
    at_ = std::min(at_ + 1, line_.size());
  }

  std::string_view line_;
  size_t at_;
  int depth_ = 0;
};

}  // namespace

std::string with_rules_named(const std::string& grammar, std::string_view prefix) {
  return rename_rules(
      grammar, [prefix](std::string_view rule) { return fmt::format("{}{}", prefix, rule); });
}

std::string grammar_literal(std::string_view text) { return literal(decode(text)); }

std::string either_grammar(const std::string& first, const std::string& second) {
  return "root ::= om-first-root | om-second-root\n" + with_rules_named(first, "om-first-") + '\n' +
         with_rules_named(second, "om-second-");
}

std::string answer_grammar(const std::string& grammar, const GoTags& tags, bool open) {
  std::string out = rename_rules(grammar, [](std::string_view rule) {
    return rule == "root" ? std::string_view("om-answer") : rule;
  });
  if (!out.ends_with('\n')) out += '\n';
  out += "om-space ::= [ \\t\\n\\r]{0,16}\n";
  if (tags.empty()) return "root ::= om-space om-answer\n" + out;
  out += until(decode(tags.close));
  if (open) return "root ::= om-thought-0 om-space om-answer\n" + out;
  return fmt::format("root ::= om-space ({} om-thought-0 om-space)? om-answer\n",
                     literal(decode(tags.open))) +
         out;
}

std::string call_grammar(std::string grammar) {
  const auto [begin, end] = root_of(grammar);
  Tokens tokens(std::string_view(grammar).substr(0, end), begin);
  std::optional<Token> talk;
  while (const auto token = tokens.next()) {
    const std::string_view name = token->text;
    if (talk && tokens.depth() == 0 && name.starts_with(kCall)) {
      const std::string rule = fmt::format("\n{} ::= |", talk->text);  // It may be left out.
      if (!talk->optional && !grammar.contains(rule)) return grammar;
      grammar.erase(talk->begin, talk->end - talk->begin);
      return grammar;
    }
    if (name == kSpace) continue;
    talk.reset();
    if (tokens.depth() == 0 && name.starts_with(kTalk)) talk = token;
  }
  return grammar;
}

bool talks_before_call(const std::string& grammar) {
  const auto [begin, end] = root_of(grammar);
  Tokens tokens(std::string_view(grammar).substr(0, end), begin);
  bool talks = false;
  while (const auto token = tokens.next()) {
    const std::string_view name = token->text;
    if (talks && name.starts_with(kCall)) return true;
    if (name != kSpace) talks = name.starts_with(kTalk);
  }
  return false;
}

}  // namespace om::prompt
