#include "model/modelfile.h"

#include <algorithm>
#include <array>

#include "base/strings.h"
#include "base/utf8.h"
#include "model/json_text.h"
#include "model/options.h"

namespace om::model {
namespace {

constexpr size_t kModelfileBytesMax = 64 << 20;

constexpr std::string_view kCommandError =
    R"(command must be one of "from", "license", "template", "system", "adapter", "draft", )"
    R"("renderer", "parser", "parameter", "message", or "requires")";
constexpr std::string_view kRoleError =
    R"(message role must be one of "system", "user", or "assistant")";
constexpr std::array<std::string_view, 11> kCommands{"from",      "license", "template", "system",
                                                     "adapter",   "draft",   "renderer", "parser",
                                                     "parameter", "message", "requires"};

bool is_space(char c) { return c == ' ' || c == '\t'; }
bool is_newline(char c) { return c == '\n' || c == '\r'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

struct Range {
  char32_t first, last;
};

// Controls, spaces other than the plain one, format characters and private use: what Go's IsPrint
// refuses and a text editor may leave behind unseen.
constexpr Range kNotPrintable[] = {
    {0x00, 0x08},     {0x0B, 0x0C},       {0x0E, 0x1F},       {0x7F, 0xA0},     {0xAD, 0xAD},
    {0x61C, 0x61C},   {0x1680, 0x1680},   {0x180E, 0x180E},   {0x2000, 0x200F}, {0x2028, 0x202F},
    {0x205F, 0x206F}, {0x3000, 0x3000},   {0xE000, 0xF8FF},   {0xFEFF, 0xFEFF}, {0xFFF0, 0xFFFB},
    {0xFFFE, 0xFFFF}, {0xE0000, 0xE00FF}, {0xF0000, 0x10FFFF}};

bool is_printable(char32_t code) {
  return std::ranges::none_of(kNotPrintable, [code](const Range& range) {
    return code >= range.first && code <= range.last;
  });
}

void append_utf16(std::string& out, std::string_view bytes, bool big_endian) {
  const auto unit = [&](size_t i) {
    auto first = static_cast<unsigned char>(bytes[i]);
    auto second = static_cast<unsigned char>(bytes[i + 1]);
    return static_cast<char32_t>(big_endian ? first << 8 | second : second << 8 | first);
  };
  constexpr char32_t kReplacement = 0xFFFD;
  for (size_t i = 0; i + 1 < bytes.size(); i += 2) {
    char32_t code = unit(i);
    if (code >= 0xD800 && code <= 0xDFFF) {
      char32_t low = code <= 0xDBFF && i + 3 < bytes.size() ? unit(i + 2) : 0;
      if (low >= 0xDC00 && low <= 0xDFFF) {
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        i += 2;
      } else {
        code = kReplacement;
      }
    }
    utf8_append(out, code);
  }
  if (bytes.size() % 2 != 0) utf8_append(out, kReplacement);
}

// UTF-8 without a byte order mark, broken parts replaced, the unprintable dropped.
std::string decode(std::string_view bytes) {
  std::string text;
  if (bytes.starts_with("\xFE\xFF")) {
    append_utf16(text, bytes.substr(2), true);
  } else if (bytes.starts_with("\xFF\xFE")) {
    append_utf16(text, bytes.substr(2), false);
  } else {
    text = utf8_repaired(bytes);
  }
  std::string printable;
  printable.reserve(text.size());
  std::string_view rest = text;
  while (!rest.empty()) {
    Utf8Character character = utf8_front(rest);
    if (is_printable(character.code)) printable += rest.substr(0, character.length);
    rest.remove_prefix(character.length);
  }
  return printable;
}

// The text between quotes, or the text itself; nothing while a quote is still open.
std::optional<std::string_view> unquote(std::string_view text) {
  constexpr std::string_view kBlock = R"(""")";
  if (text.starts_with(kBlock)) {
    if (text.size() < 2 * kBlock.size() || !text.ends_with(kBlock)) return std::nullopt;
    return text.substr(3, text.size() - 6);
  }
  if (text.starts_with('"')) {
    if (text.size() < 2 || !text.ends_with('"')) return std::nullopt;
    return text.substr(1, text.size() - 2);
  }
  return text;
}

// Walks over the text, a command at a time.
class Parser {
 public:
  explicit Parser(std::string text) : text_(std::move(text)) {}

  Result<Modelfile> parse() {
    while (skip_to_command()) TRY_VOID(command());
    if (modelfile_.from.empty()) return fail(Errc::invalid_argument, "no FROM line");
    return std::move(modelfile_);
  }

 private:
  bool at_end() const { return at_ == text_.size(); }
  char peek() const { return text_[at_]; }
  void next() {
    // "\r\n" is one line end.
    if (peek() == '\n' || (peek() == '\r' && (at_ + 1 == text_.size() || text_[at_ + 1] != '\n'))) {
      line_++;
    }
    at_++;
  }

  std::unexpected<Error> error(std::string_view what) const {
    return fail(Errc::invalid_argument, "(line {}): {}", line_, what);
  }
  static std::unexpected<Error> end_of_file(std::string_view seen) {
    if (seen.empty()) return fail(Errc::invalid_argument, "unexpected EOF");
    return fail(Errc::invalid_argument, "unexpected EOF: {}", seen);
  }

  // Over blank lines and comments; false at the end.
  bool skip_to_command() {
    while (!at_end()) {
      if (peek() == '#') {
        while (!at_end() && !is_newline(peek())) next();
      } else if (is_space(peek()) || is_newline(peek())) {
        next();
      } else {
        return true;
      }
    }
    return false;
  }

  template <class Predicate>
  std::string_view take_while(Predicate predicate) {
    size_t start = at_;
    while (!at_end() && predicate(peek())) at_++;
    return std::string_view(text_).substr(start, at_ - start);
  }

  Result<void> command() {
    std::string name = to_lower(take_while(is_letter));
    if (at_end()) return end_of_file("");
    if (!is_space(peek()) || std::ranges::find(kCommands, name) == kCommands.end()) {
      return error(kCommandError);
    }
    if (name == "parameter") return parameter();
    if (name == "message") return message();
    TRY(auto value, take_value());
    return set(name, std::move(value));
  }

  Result<void> parameter() {
    take_while(is_space);
    const auto allowed = [](char c) { return is_letter(c) || is_digit(c) || c == '_'; };
    std::string_view name = take_while(allowed);
    if (at_end()) return end_of_file("");
    if (!is_space(peek())) return end_of_file(name);
    TRY(auto text, take_value());
    TRY(auto value, parse_parameter(name, text));
    if (value.is_null()) {
      modelfile_.warnings.push_back(fmt::format("parameter {} is deprecated", name));
    }
    add_parameter(modelfile_.parameters, name, std::move(value));
    return {};
  }

  Result<void> message() {
    take_while(is_space);
    std::string_view role = take_while(is_letter);
    if (at_end()) return end_of_file("");
    if (!is_space(peek())) return end_of_file(role);
    if (role != "system" && role != "user" && role != "assistant") return error(kRoleError);
    TRY(auto content, take_value());
    Message entry;
    entry.role = role;
    entry.content = std::move(content);
    modelfile_.messages.push_back(std::move(entry));
    return {};
  }

  // To the end of the line, or of the line that closes the quote.
  Result<std::string> take_value() {
    size_t start = at_;
    while (true) {
      bool ends = at_end() || is_newline(peek());
      if (ends) {
        auto value = unquote(trim(std::string_view(text_).substr(start, at_ - start)));
        if (value) return std::string(*value);
        if (at_end()) return end_of_file("");
      }
      next();
    }
  }

  Result<void> set(std::string_view name, std::string value) {
    if (name == "from") {
      modelfile_.from.push_back(std::move(value));
    } else if (name == "adapter") {
      modelfile_.adapters.push_back(std::move(value));
    } else if (name == "draft") {
      modelfile_.drafts.push_back(std::move(value));
    } else if (name == "template") {
      modelfile_.template_text = std::move(value);
    } else if (name == "system") {
      modelfile_.system = std::move(value);
    } else if (name == "license") {
      modelfile_.licenses.push_back(std::move(value));
    } else if (name == "renderer") {
      modelfile_.renderer = std::move(value);
    } else if (name == "parser") {
      modelfile_.parser = std::move(value);
    } else {
      return set_requires(value);
    }
    return {};
  }

  // Semantic version: one to three numbers, then -pre or +build after the third.
  Result<void> set_requires(std::string_view value) {
    if (value.starts_with('v')) value.remove_prefix(1);
    std::string_view rest = value;
    bool valid = true;
    for (int part = 0; part < 3 && valid; part++) {
      size_t digits = 0;
      while (digits < rest.size() && is_digit(rest[digits])) digits++;
      valid = digits > 0 && (digits == 1 || rest.front() != '0');
      rest.remove_prefix(digits);
      if (part < 2) {
        if (rest.empty()) break;
        valid = valid && rest.front() == '.';
        rest.remove_prefix(1);
      }
    }
    const auto allowed = [](char c) {
      return is_letter(c) || is_digit(c) || c == '-' || c == '.' || c == '+';
    };
    bool suffix =
        rest.empty() || (rest.size() > 1 && (rest.front() == '-' || rest.front() == '+') &&
                         std::ranges::all_of(rest, allowed));
    if (!valid || !suffix) {
      return fail(Errc::invalid_argument, "requires must be a valid semver (e.g. 0.14.0)");
    }
    modelfile_.requires_version = value;
    return {};
  }

  const std::string text_;
  size_t at_ = 0;
  int line_ = 1;
  Modelfile modelfile_;
};

// Quoted where the parser would otherwise not give the same text back.
std::string quote(std::string_view text) {
  bool plain = text.find_first_of("\r\n") == text.npos && trim(text) == text && !text.empty() &&
               !text.starts_with('"');
  if (plain) return std::string(text);
  if (text.find('"') == text.npos) return fmt::format("\"{}\"", text);
  return fmt::format(R"("""{}""")", text);
}

void add_parameters(std::string& out, const boost::json::object& parameters) {
  std::vector<std::string_view> names;
  for (const auto& [name, value] : parameters) names.emplace_back(name);
  std::ranges::sort(names);
  const auto add = [&out](std::string_view name, const boost::json::value& value) {
    std::string text = value.is_string() ? quote(value.get_string()) : write_json(value);
    out += fmt::format("PARAMETER {} {}\n", name, text);
  };
  for (std::string_view name : names) {
    const auto& value = parameters.at(name);
    if (const auto* list = value.if_array()) {
      for (const auto& element : *list) add(name, element);
    } else {
      add(name, value);
    }
  }
}

}  // namespace

Result<Modelfile> Modelfile::parse(std::string_view bytes) {
  if (bytes.size() > kModelfileBytesMax) {
    return fail(Errc::invalid_argument, "the Modelfile is larger than {} bytes",
                kModelfileBytesMax);
  }
  return Parser(decode(bytes)).parse();
}

std::string Modelfile::to_text() const {
  std::string out;
  const auto add = [&out](std::string_view command, std::string_view value) {
    out += fmt::format("{} {}\n", command, quote(value));
  };
  for (const auto& value : from) add("FROM", value);
  for (const auto& value : adapters) add("ADAPTER", value);
  for (const auto& value : drafts) add("DRAFT", value);
  if (template_text) add("TEMPLATE", *template_text);
  if (system) add("SYSTEM", *system);
  if (!renderer.empty()) add("RENDERER", renderer);
  if (!parser.empty()) add("PARSER", parser);
  if (!requires_version.empty()) add("REQUIRES", requires_version);
  add_parameters(out, parameters);
  for (const auto& value : licenses) add("LICENSE", value);
  for (const auto& message : messages) add("MESSAGE " + message.role, message.content);
  return out;
}

std::string show_modelfile(const Modelfile& modelfile, std::string_view name) {
  return fmt::format(
      "# Modelfile generated by \"ollama show\"\n"
      "# To build a new Modelfile based on this, replace FROM with:\n"
      "# FROM {}\n\n{}",
      name, modelfile.to_text());
}

}  // namespace om::model
