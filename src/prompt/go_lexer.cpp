#include <charconv>

#include "prompt/go_ast.h"

namespace om::prompt::go {

namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_word(char c) {
  return c == '_' || is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         static_cast<unsigned char>(c) >= 0x80;
}

void append_utf8(std::string& out, uint32_t point) {
  if (point > 0x10FFFF || (point >= 0xD800 && point < 0xE000)) point = 0xFFFD;
  if (point < 0x80) {
    out += static_cast<char>(point);
  } else if (point < 0x800) {
    out += static_cast<char>(0xC0 | (point >> 6));
    out += static_cast<char>(0x80 | (point & 0x3F));
  } else if (point < 0x10000) {
    out += static_cast<char>(0xE0 | (point >> 12));
    out += static_cast<char>(0x80 | ((point >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (point & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (point >> 18));
    out += static_cast<char>(0x80 | ((point >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((point >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (point & 0x3F));
  }
}

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  Result<std::vector<Token>> run() {
    while (at_ < text_.size()) {
      size_t open = text_.find("{{", at_);
      std::string_view plain = text_.substr(at_, open == text_.npos ? text_.npos : open - at_);
      int line = line_;
      count_lines(plain);
      if (trim_next_) plain = trim_left(plain);
      trim_next_ = false;
      if (open == text_.npos) {
        add_text(plain, line);
        break;
      }
      at_ = open + 2;
      if (at_ + 1 < text_.size() && text_[at_] == '-' && is_space(text_[at_ + 1])) {
        plain = trim_right(plain);
        ++at_;
      }
      add_text(plain, line);
      TRY_VOID(action());
    }
    add(Token::Kind::end, "");
    return std::move(tokens_);
  }

 private:
  static std::string_view trim_left(std::string_view text) {
    while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
    return text;
  }
  static std::string_view trim_right(std::string_view text) {
    while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
    return text;
  }
  void count_lines(std::string_view text) {
    for (char c : text) line_ += c == '\n';
  }
  void add(Token::Kind kind, std::string text) {
    tokens_.push_back(Token{kind, std::move(text), line_, space_});
    space_ = false;
  }
  void add_text(std::string_view text, int line) {
    if (text.empty()) return;
    tokens_.push_back(Token{Token::Kind::text, std::string(text), line, false});
  }
  char peek(size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }
  bool starts(std::string_view prefix) const { return text_.substr(at_).starts_with(prefix); }
  template <class... Args>
  std::unexpected<Error> error(fmt::format_string<Args...> format, Args&&... args) const {
    return fail(Errc::invalid_argument, "template: :{}: {}", line_,
                fmt::format(format, std::forward<Args>(args)...));
  }

  // Everything from behind "{{" to behind "}}".
  Result<void> action() {
    size_t start = at_;
    while (start < text_.size() && is_space(text_[start])) ++start;
    if (text_.substr(start).starts_with("/*")) {
      // Only a trim marker may stand before a comment.
      if (start == at_ || text_[at_ - 1] == '-') {
        at_ = start;
        return comment();
      }
    }
    add(Token::Kind::left, "");
    while (true) {
      if (take_right()) return {};
      if (at_ >= text_.size()) return error("unclosed action");
      if (is_space(peek())) {
        line_ += peek() == '\n';
        space_ = true;
        ++at_;
        continue;
      }
      TRY_VOID(token());
    }
  }

  bool take_right() {
    if (is_space(peek()) && peek(1) == '-' && peek(2) == '}' && peek(3) == '}') {
      line_ += peek() == '\n';
      at_ += 4;
      trim_next_ = true;
    } else if (space_ && starts("-}}")) {
      at_ += 3;
      trim_next_ = true;
    } else if (starts("}}")) {
      at_ += 2;
    } else {
      return false;
    }
    space_ = false;
    add(Token::Kind::right, "");
    return true;
  }

  Result<void> comment() {
    size_t close = text_.find("*/", at_);
    if (close == text_.npos) return error("unclosed comment");
    count_lines(text_.substr(at_, close - at_));
    at_ = close + 2;
    if (is_space(peek()) && peek(1) == '-' && peek(2) == '}' && peek(3) == '}') {
      at_ += 4;
      trim_next_ = true;
    } else if (starts("}}")) {
      at_ += 2;
    } else {
      return error("comment ends before closing delimiter");
    }
    return {};
  }

  Result<void> token() {
    char c = peek();
    switch (c) {
      case '"':
      case '\'':
        return quoted(c);
      case '`':
        return raw();
      case '|':
        return single(Token::Kind::pipe);
      case ',':
        return single(Token::Kind::comma);
      case '(':
        return single(Token::Kind::open);
      case ')':
        return single(Token::Kind::close);
      case '=':
        return single(Token::Kind::assign);
      case ':':
        if (peek(1) != '=') return error("expected :=");
        at_ += 2;
        add(Token::Kind::declare, ":=");
        return {};
      default:
        break;
    }
    if (c == '.' && !is_digit(peek(1))) return word(Token::Kind::field);
    if (c == '$') return word(Token::Kind::variable);
    if (is_digit(c) || c == '.' ||
        ((c == '+' || c == '-') && (is_digit(peek(1)) || peek(1) == '.')))
      return number();
    if (is_word(c)) return word(Token::Kind::identifier);
    return error("unexpected bad character U+{:04X} '{}' in command", static_cast<unsigned char>(c),
                 c);
  }

  Result<void> single(Token::Kind kind) {
    add(kind, std::string(1, text_[at_++]));
    return {};
  }

  Result<void> word(Token::Kind kind) {
    size_t start = at_;
    if (kind != Token::Kind::identifier) ++at_;
    while (is_word(peek()) && at_ < text_.size()) ++at_;
    std::string name(text_.substr(start, at_ - start));
    if (kind == Token::Kind::field) {
      if (name.size() == 1) {
        add(Token::Kind::dot, ".");
        return ends_word();
      }
      name.erase(0, 1);
    }
    add(kind, std::move(name));
    return ends_word();
  }

  // A word must be followed by something that cannot be meant as its continuation.
  Result<void> ends_word() {
    char c = peek();
    if (at_ >= text_.size() || is_space(c) || starts("}}")) return {};
    if (std::string_view(".,|:=()").find(c) != std::string_view::npos) return {};
    return error("bad character U+{:04X} '{}'", static_cast<unsigned char>(c), c);
  }

  Result<void> number() {
    size_t start = at_;
    if (peek() == '+' || peek() == '-') ++at_;
    while (is_word(peek()) || peek() == '.' ||
           ((peek() == '+' || peek() == '-') && (text_[at_ - 1] == 'e' || text_[at_ - 1] == 'E'))) {
      ++at_;
    }
    add(Token::Kind::number, std::string(text_.substr(start, at_ - start)));
    return {};
  }

  Result<void> raw() {
    size_t close = text_.find('`', at_ + 1);
    if (close == text_.npos) return error("unterminated raw quoted string");
    std::string body(text_.substr(at_ + 1, close - at_ - 1));
    add(Token::Kind::text_literal, body);
    count_lines(body);
    std::erase(tokens_.back().text, '\r');
    at_ = close + 1;
    return {};
  }

  Result<void> quoted(char quote) {
    std::string_view kind = quote == '"' ? "quoted string" : "character constant";
    ++at_;
    std::string out;
    while (true) {
      if (at_ >= text_.size() || peek() == '\n') return error("unterminated {}", kind);
      char c = text_[at_++];
      if (c == quote) break;
      if (c != '\\') {
        out += c;
        continue;
      }
      TRY_VOID(escape(out));
    }
    add(quote == '"' ? Token::Kind::text_literal : Token::Kind::character, std::move(out));
    return {};
  }

  Result<void> escape(std::string& out) {
    static constexpr std::string_view kFrom = "abfnrtv\\'\"";
    static constexpr std::string_view kTo = "\a\b\f\n\r\t\v\\'\"";
    char c = peek();
    ++at_;
    if (size_t index = kFrom.find(c); c != '\0' && index != kFrom.npos) {
      out += kTo[index];
      return {};
    }
    int digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    int base = 16;
    if (c >= '0' && c <= '7') {
      digits = 3;
      base = 8;
      --at_;
    }
    std::string_view body = text_.substr(std::min(at_, text_.size()), digits);
    uint32_t point = 0;
    auto [end, code] = std::from_chars(body.data(), body.data() + body.size(), point, base);
    if (digits == 0 || code != std::errc() || end != body.data() + digits) {
      return error("invalid escape in string");
    }
    at_ += digits;
    if (c == 'x' || base == 8) {
      out += static_cast<char>(point);
    } else {
      append_utf8(out, point);
    }
    return {};
  }

  std::string_view text_;
  size_t at_ = 0;
  int line_ = 1;
  bool trim_next_ = false;
  bool space_ = false;
  std::vector<Token> tokens_;
};

}  // namespace

Result<std::vector<Token>> tokenize(std::string_view text) { return Lexer(text).run(); }

}  // namespace om::prompt::go
