// The parts that lexer, parser and evaluator of Go templates share. Private to this room.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "prompt/value.h"

namespace om::prompt::go {

inline constexpr int kNestingMax = 100;

struct Token {
  enum class Kind {
    text,
    left,        // {{
    right,       // }}
    identifier,  // Also keywords.
    field,       // .Name, without the dot.
    variable,    // $name or $, with the dollar.
    dot,
    text_literal,  // A string, unquoted already.
    number,
    character,
    pipe,
    comma,
    open,
    close,
    declare,  // :=
    assign,   // =
    end,
  };
  Kind kind = Kind::end;
  std::string text;
  int line = 1;
  bool space_before = false;
};

// invalid_argument with Go's message.
Result<std::vector<Token>> tokenize(std::string_view text);

struct Pipe;

struct Operand {
  enum class Kind { dot, nil, field, variable, function, literal, pipe };
  Kind kind = Kind::dot;
  std::string name;                 // Of a variable (with $) or function.
  std::vector<std::string> fields;  // The chain after it, or the field itself.
  Value literal;
  std::shared_ptr<const Pipe> pipe;  // In parentheses.
};

struct Command {
  std::vector<Operand> operands;  // The first is the function if it is one.
};

struct Pipe {
  std::vector<std::string> variables;
  bool declares = false;  // := rather than =.
  std::vector<Command> commands;
  int line = 1;
};

struct Node;
using Nodes = std::vector<std::shared_ptr<const Node>>;

struct Node {
  enum class Kind { text, action, if_, range, with, template_, break_, continue_ };
  Kind kind = Kind::text;
  std::string text;  // Or the name of the template to call.
  std::shared_ptr<const Pipe> pipe;
  Nodes body, otherwise;
  int line = 1;
};

using Templates = std::map<std::string, Nodes, std::less<>>;

// The main template has the empty name.
Result<Templates> parse(std::vector<Token> tokens);

bool is_function(std::string_view name);

struct Call {
  std::vector<Value> arguments;
  int64_t now_seconds = 0;
  size_t text_bytes_max = 0;  // A text of many arguments that has become longer ends there.
  size_t bytes_read = 0;      // Told by the call: what was compared and searched through.
};

// What it takes to find a name among so many, in the worst case.
inline size_t bytes_searched(size_t names, std::string_view name) {
  constexpr size_t kBytesOfEach = 16;
  return names * (name.size() + kBytesOfEach);
}

// Errors are without a position; the evaluator adds it. `and` and `or` are not here: they do not
// evaluate all their arguments.
Result<Value> call_function(std::string_view name, Call& call);

}  // namespace om::prompt::go
