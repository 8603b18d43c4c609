#include <algorithm>
#include <charconv>
#include <optional>

#include "prompt/go_ast.h"

namespace om::prompt::go {

namespace {

using Kind = Token::Kind;

Result<Value> parse_number(const std::string& text, int line) {
  std::string digits;
  for (char c : text) {
    if (c != '_') digits += c;
  }
  const char* begin = digits.data() + (digits.starts_with('+') ? 1 : 0);
  const char* end = digits.data() + digits.size();
  bool negative = begin != end && *begin == '-';
  std::string_view body(begin + negative, static_cast<size_t>(end - begin - negative));
  int base = 10;
  if (body.size() > 2 && body[0] == '0') {
    base = body[1] == 'x' || body[1] == 'X'   ? 16
           : body[1] == 'o' || body[1] == 'O' ? 8
           : body[1] == 'b' || body[1] == 'B' ? 2
                                              : 10;
    if (base != 10) body.remove_prefix(2);
  }
  int64_t whole = 0;
  auto read = std::from_chars(body.data(), body.data() + body.size(), whole, base);
  if (read.ec == std::errc() && read.ptr == end && !body.starts_with('-')) {
    return Value(negative ? -whole : whole);
  }
  double number = 0;
  auto real = std::from_chars(begin, end, number);
  if (real.ec == std::errc() && real.ptr == end) return Value(number);
  return fail(Errc::invalid_argument, "template: :{}: bad number syntax: \"{}\"", line, text);
}

// The Unicode code point of a character constant.
std::optional<int64_t> code_point(std::string_view text) {
  if (text.empty()) return std::nullopt;
  auto first = static_cast<unsigned char>(text[0]);
  size_t length = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  if (text.size() != length) return text.size() == 1 ? std::optional<int64_t>(first) : std::nullopt;
  int64_t point = length == 1 ? first : first & (0xFF >> (length + 1));
  for (size_t i = 1; i < length; ++i) point = (point << 6) | (text[i] & 0x3F);
  return point;
}

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  Result<Templates> run() {
    Nodes main;
    TRY(auto stop, list(main, 0));
    if (stop != "") return error("unexpected {{{{{}}}}}", stop);
    templates_[""] = std::move(main);
    return std::move(templates_);
  }

 private:
  const Token& peek() const { return tokens_[at_]; }
  const Token& next() {
    const Token& token = tokens_[at_];
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  bool at_keyword(std::string_view word) const {
    return peek().kind == Kind::identifier && peek().text == word;
  }
  template <class... Args>
  std::unexpected<Error> error(fmt::format_string<Args...> format, Args&&... args) const {
    return fail(Errc::invalid_argument, "template: :{}: {}", peek().line,
                fmt::format(format, std::forward<Args>(args)...));
  }
  std::unexpected<Error> unexpected_token(std::string_view context) const {
    const Token& token = peek();
    if (token.kind == Kind::right || token.kind == Kind::end) {
      return token.kind == Kind::end ? error("unexpected EOF")
                                     : error("unexpected \"}}}}\" in {}", context);
    }
    std::string shown = token.kind == Kind::field ? "." + token.text : token.text;
    return error("unexpected \"{}\" in {}", shown, context);
  }
  Result<void> expect_right(std::string_view context) {
    if (peek().kind != Kind::right) return unexpected_token(context);
    next();
    return {};
  }

  // Reads nodes up to {{end}}, {{else ...}} or the end of the text, and tells which it was: "end",
  // "else" (its {{else taken, the rest not) or "".
  Result<std::string> list(Nodes& out, int depth) {
    if (depth > kNestingMax) return error("nested too deeply");
    while (true) {
      const Token& token = next();
      if (token.kind == Kind::end) return std::string();
      if (token.kind == Kind::text) {
        auto node = std::make_shared<Node>();
        node->text = token.text;
        node->line = token.line;
        out.push_back(std::move(node));
        continue;
      }
      if (at_keyword("end")) {
        next();
        TRY_VOID(expect_right("end"));
        return std::string("end");
      }
      if (at_keyword("else")) {
        next();
        return std::string("else");
      }
      TRY_VOID(action(out, depth));
    }
  }

  // One action that is not end or else, behind its "{{".
  Result<void> action(Nodes& out, int depth) {
    if (peek().kind == Kind::identifier) {
      const std::string word = peek().text;
      if (word == "if") return control(out, Node::Kind::if_, depth);
      if (word == "range") return control(out, Node::Kind::range, depth);
      if (word == "with") return control(out, Node::Kind::with, depth);
      if (word == "define") return define(depth);
      if (word == "block") return block(out, depth);
      if (word == "template") return call_template(out);
      if (word == "break" || word == "continue") return jump(out, word);
    }
    auto node = std::make_shared<Node>();
    node->kind = Node::Kind::action;
    node->line = peek().line;
    TRY(node->pipe, pipeline("command", Kind::right, 0));
    out.push_back(std::move(node));
    return {};
  }

  Result<void> control(Nodes& out, Node::Kind kind, int depth) {
    auto node = std::make_shared<Node>();
    node->kind = kind;
    node->line = peek().line;
    std::string word = next().text;
    size_t scope = variables_.size();
    TRY(node->pipe, pipeline(word, Kind::right, 0, kind == Node::Kind::range));
    loops_ += kind == Node::Kind::range;
    auto stop = list(node->body, depth + 1);
    loops_ -= kind == Node::Kind::range;
    if (!stop) return fail(std::move(stop).error());
    if (*stop == "else") {
      if (peek().kind == Kind::right) {
        next();
        TRY(stop, list(node->otherwise, depth + 1));
        if (*stop == "else") return error("expected end; found {{{{else}}}}");
      } else if ((kind == Node::Kind::if_ && at_keyword("if")) ||
                 (kind == Node::Kind::with && at_keyword("with"))) {
        // {{else if x}} is an if inside the else; it takes the one {{end}} for both.
        TRY_VOID(control(node->otherwise, kind, depth + 1));
        stop = std::string("end");
      } else {
        return unexpected_token("else");
      }
    }
    if (*stop != "end") return error("unexpected EOF");
    variables_.resize(scope);
    out.push_back(std::move(node));
    return {};
  }

  Result<std::string> template_name(std::string_view context) {
    next();
    if (peek().kind != Kind::text_literal) return unexpected_token(context);
    return next().text;
  }

  Result<void> define(int depth) {
    if (depth > 0) return error("unexpected {{{{define}}}}");
    TRY(auto name, template_name("define clause"));
    TRY_VOID(expect_right("define clause"));
    return body_of(name, depth);
  }

  // The nodes of define or block, with their own variables.
  Result<void> body_of(const std::string& name, int depth) {
    auto outer = std::exchange(variables_, {"$"});
    int loops = std::exchange(loops_, 0);
    Nodes body;
    TRY(auto stop, list(body, depth + 1));
    if (stop != "end") return error("unexpected {}", stop.empty() ? "EOF" : "{{else}}");
    variables_ = std::move(outer);
    loops_ = loops;
    templates_[name] = std::move(body);
    return {};
  }

  Result<void> block(Nodes& out, int depth) {
    auto node = std::make_shared<Node>();
    node->kind = Node::Kind::template_;
    node->line = peek().line;
    TRY(node->text, template_name("block clause"));
    TRY(node->pipe, pipeline("block clause", Kind::right, 0));
    TRY_VOID(body_of(node->text, depth));
    out.push_back(std::move(node));
    return {};
  }

  Result<void> call_template(Nodes& out) {
    auto node = std::make_shared<Node>();
    node->kind = Node::Kind::template_;
    node->line = peek().line;
    TRY(node->text, template_name("template clause"));
    if (peek().kind == Kind::right) {
      next();
    } else {
      TRY(node->pipe, pipeline("template clause", Kind::right, 0));
    }
    out.push_back(std::move(node));
    return {};
  }

  Result<void> jump(Nodes& out, const std::string& word) {
    if (loops_ == 0) return error("{{{{{}}}}} outside {{{{range}}}}", word);
    auto node = std::make_shared<Node>();
    node->kind = word == "break" ? Node::Kind::break_ : Node::Kind::continue_;
    node->line = next().line;
    TRY_VOID(expect_right(word));
    out.push_back(std::move(node));
    return {};
  }

  // The variables before := or =, if there are any.
  Result<void> declarations(Pipe& pipe, bool two_allowed) {
    if (peek().kind != Kind::variable) return {};
    size_t start = at_;
    std::vector<std::string> names{next().text};
    if (two_allowed && peek().kind == Kind::comma) {
      next();
      if (peek().kind != Kind::variable) return unexpected_token("range");
      names.push_back(next().text);
    }
    if (peek().kind != Kind::declare && peek().kind != Kind::assign) {
      if (names.size() > 1) return unexpected_token("range");
      at_ = start;
      return {};
    }
    pipe.declares = next().kind == Kind::declare;
    for (const std::string& name : names) {
      if (pipe.declares) continue;
      TRY_VOID(known(name));
    }
    pipe.variables = std::move(names);
    return {};
  }

  Result<void> known(const std::string& name) const {
    if (std::find(variables_.begin(), variables_.end(), name) != variables_.end()) return {};
    return error("undefined variable \"{}\"", name);
  }

  Result<std::shared_ptr<const Pipe>> pipeline(std::string_view context, Kind stop, int depth,
                                               bool range = false) {
    if (depth > kNestingMax) return error("nested too deeply");
    auto pipe = std::make_shared<Pipe>();
    pipe->line = peek().line;
    TRY_VOID(declarations(*pipe, range));
    while (true) {
      TRY(auto command, operands(context, depth));
      pipe->commands.push_back(std::move(command));
      if (peek().kind == Kind::pipe) {
        next();
        continue;
      }
      break;
    }
    if (peek().kind != stop) {
      if (stop == Kind::close && peek().kind != Kind::end) return error("unclosed left paren");
      return unexpected_token(context);
    }
    next();
    for (size_t i = 1; i < pipe->commands.size(); ++i) {
      auto kind = pipe->commands[i].operands[0].kind;
      if (kind == Operand::Kind::literal || kind == Operand::Kind::nil ||
          kind == Operand::Kind::dot) {
        return error("non executable command in pipeline stage {}", i + 1);
      }
    }
    if (pipe->declares) {
      variables_.insert(variables_.end(), pipe->variables.begin(), pipe->variables.end());
    }
    return pipe;
  }

  Result<Command> operands(std::string_view context, int depth) {
    Command command;
    while (true) {
      switch (peek().kind) {
        case Kind::right:
        case Kind::close:
        case Kind::pipe:
        case Kind::end:
          if (command.operands.empty()) {
            if (peek().kind == Kind::right) return error("missing value for {}", context);
            return unexpected_token(context);
          }
          return command;
        default:
          break;
      }
      if (!command.operands.empty() && !peek().space_before && peek().kind != Kind::open) {
        return unexpected_token("operand");
      }
      TRY(auto operand, one_operand(depth));
      command.operands.push_back(std::move(operand));
    }
  }

  Result<Operand> one_operand(int depth) {
    Operand operand;
    const Token token = peek();
    switch (token.kind) {
      case Kind::dot:
        next();
        return operand;
      case Kind::field:
        operand.kind = Operand::Kind::field;
        break;
      case Kind::variable:
        operand.kind = Operand::Kind::variable;
        operand.name = token.text;
        TRY_VOID(known(token.text));
        next();
        break;
      case Kind::text_literal:
        operand.kind = Operand::Kind::literal;
        operand.literal = Value(token.text);
        next();
        return operand;
      case Kind::number: {
        operand.kind = Operand::Kind::literal;
        TRY(operand.literal, parse_number(token.text, token.line));
        next();
        return operand;
      }
      case Kind::character: {
        auto point = code_point(token.text);
        if (!point) return error("malformed character constant: '{}'", token.text);
        operand.kind = Operand::Kind::literal;
        operand.literal = Value(*point);
        next();
        return operand;
      }
      case Kind::open: {
        next();
        operand.kind = Operand::Kind::pipe;
        TRY(operand.pipe, pipeline("parenthesized pipeline", Kind::close, depth + 1));
        break;
      }
      case Kind::identifier:
        return identifier();
      default:
        return unexpected_token("operand");
    }
    bool first = operand.kind == Operand::Kind::field;
    while (peek().kind == Kind::field && (first || !peek().space_before)) {
      operand.fields.push_back(next().text);
      first = false;
    }
    return operand;
  }

  Result<Operand> identifier() {
    Operand operand;
    const std::string word = peek().text;
    operand.kind = Operand::Kind::literal;
    if (word == "true" || word == "false") {
      operand.literal = Value(word == "true");
    } else if (word == "nil") {
      operand.kind = Operand::Kind::nil;
    } else if (is_function(word)) {
      operand.kind = Operand::Kind::function;
      operand.name = word;
    } else {
      return error("function \"{}\" not defined", word);
    }
    next();
    return operand;
  }

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int loops_ = 0;
  std::vector<std::string> variables_{"$"};
  Templates templates_;
};

}  // namespace

Result<Templates> parse(std::vector<Token> tokens) { return Parser(std::move(tokens)).run(); }

}  // namespace om::prompt::go
