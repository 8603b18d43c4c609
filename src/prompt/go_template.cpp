#include "prompt/go_template.h"

#include "prompt/go_ast.h"
#include "prompt/go_program.h"

namespace om::prompt {

namespace go {
namespace {

constexpr int kCallsMax = 100;
constexpr size_t kBytesPerStep = 256;  // Compared or searched through in the time of a step.

enum class Flow { next, break_, continue_ };

class Evaluator {
 public:
  Evaluator(const Templates& templates, const GoLimits& limits, GoWork& work, int64_t now_seconds)
      : templates_(templates), limits_(limits), work_(work), now_seconds_(now_seconds) {}

  Result<std::string> run(const Value& data) {
    variables_.emplace_back("$", data);
    TRY_VOID(list(templates_.find("")->second, data));
    return std::move(out_);
  }

 private:
  template <class... Args>
  std::unexpected<Error> error(int line, fmt::format_string<Args...> format, Args&&... args) const {
    return fail(Errc::invalid_argument, "template: :{}: {}", line,
                fmt::format(format, std::forward<Args>(args)...));
  }

  Result<void> step(size_t count = 1) {
    work_.steps += count;
    if (work_.steps > limits_.steps_max) {
      return fail(Errc::invalid_argument, "template: more than {} steps", limits_.steps_max);
    }
    return {};
  }

  // Texts made on the way count too, or print would double a variable without end.
  Result<void> count_text(const Value& value) {
    const auto* text = value.as_string();
    work_.made_bytes += text ? text->size() : 0;
    if (work_.made_bytes > limits_.output_bytes_max) {
      return fail(Errc::invalid_argument, "template: makes more than {} bytes of text",
                  limits_.output_bytes_max);
    }
    return {};
  }

  Result<void> write(std::string_view text) {
    if (text.size() > limits_.output_bytes_max - work_.output_bytes) {
      return fail(Errc::invalid_argument, "template: output exceeds {} bytes",
                  limits_.output_bytes_max);
    }
    work_.output_bytes += text.size();
    out_ += text;
    return {};
  }

  Result<void> print(const Value& value) {
    const auto* text = value.as_string();
    return text ? write(*text) : write(value.print());
  }

  Result<Flow> list(const Nodes& nodes, const Value& dot) {
    size_t scope = variables_.size();
    Flow flow = Flow::next;
    for (const auto& node : nodes) {
      TRY(flow, execute(*node, dot));
      if (flow != Flow::next) break;
    }
    variables_.resize(scope);
    return flow;
  }

  Result<Flow> execute(const Node& node, const Value& dot) {
    TRY_VOID(step());
    switch (node.kind) {
      case Node::Kind::text:
        TRY_VOID(write(node.text));
        return Flow::next;
      case Node::Kind::action: {
        TRY(Value value, pipeline(*node.pipe, dot));
        if (node.pipe->variables.empty()) TRY_VOID(print(value));
        return Flow::next;
      }
      case Node::Kind::if_:
      case Node::Kind::with: {
        size_t scope = variables_.size();
        TRY(Value value, pipeline(*node.pipe, dot));
        const Value& inner = node.kind == Node::Kind::with ? value : dot;
        auto flow = value.truthy() ? list(node.body, inner) : list(node.otherwise, dot);
        variables_.resize(scope);
        return flow;
      }
      case Node::Kind::range:
        return range(node, dot);
      case Node::Kind::template_:
        return call(node, dot);
      case Node::Kind::break_:
        return Flow::break_;
      case Node::Kind::continue_:
        return Flow::continue_;
    }
    return Flow::next;
  }

  Result<Flow> call(const Node& node, const Value& dot) {
    auto found = templates_.find(node.text);
    if (found == templates_.end()) {
      return error(node.line, "template \"{}\" not defined", node.text);
    }
    if (calls_ >= kCallsMax) return error(node.line, "exceeded maximum template depth");
    Value data;
    if (node.pipe) {
      TRY(data, pipeline(*node.pipe, dot));
    }
    auto outer = std::exchange(variables_, {});
    variables_.emplace_back("$", data);
    ++calls_;
    auto flow = list(found->second, data);
    --calls_;
    variables_ = std::move(outer);
    if (!flow) return flow;
    return Flow::next;
  }

  Result<Flow> range(const Node& node, const Value& dot) {
    size_t scope = variables_.size();
    TRY(Value over, pipeline(*node.pipe, dot, true));
    const auto& names = node.pipe->variables;
    size_t inner = variables_.size();
    auto turn = [&](const Value& key, const Value& item) -> Result<Flow> {
      TRY_VOID(step());
      variables_.resize(inner);
      if (names.size() == 1) TRY_VOID(bind(*node.pipe, names[0], item));
      if (names.size() == 2) {
        TRY_VOID(bind(*node.pipe, names[0], key));
        TRY_VOID(bind(*node.pipe, names[1], item));
      }
      return list(node.body, item);
    };
    bool any = false;
    if (const auto* list = over.as_list()) {
      for (size_t i = 0; i < list->items.size(); ++i) {
        any = true;
        TRY(Flow flow, turn(Value(static_cast<int64_t>(i)), list->items[i]));
        if (flow == Flow::break_) break;
      }
    } else if (const auto* map = over.as_map()) {
      for (const auto& [key, item] : map->fields) {
        any = true;
        TRY_VOID(step(key.size() / kBytesPerStep));  // Copied.
        TRY(Flow flow, turn(Value(key), item));
        if (flow == Flow::break_) break;
      }
    } else if (const auto* count = over.as_int()) {
      for (int64_t i = 0; i < *count; ++i) {
        any = true;
        TRY(Flow flow, turn(Value(i), Value(i)));
        if (flow == Flow::break_) break;
      }
    } else if (!over.is_null()) {
      return error(node.line, "range can't iterate over {}", over.print());
    }
    variables_.resize(scope);
    if (!any) return list(node.otherwise, dot);
    return Flow::next;
  }

  Result<void> bind(const Pipe& pipe, const std::string& name, const Value& value) {
    if (pipe.declares) {
      variables_.emplace_back(name, value);
      return {};
    }
    TRY(Value * found, variable(name));
    if (found) *found = value;
    return {};
  }

  // The innermost one of the name; null: there is none.
  Result<Value*> variable(std::string_view name) {
    size_t at = variables_.size();
    while (at > 0 && variables_[at - 1].first != name) --at;
    TRY_VOID(step(bytes_searched(variables_.size() - at, name) / kBytesPerStep));
    return at > 0 ? &variables_[at - 1].second : nullptr;
  }

  // `range` binds its variables itself, once a turn.
  Result<Value> pipeline(const Pipe& pipe, const Value& dot, bool for_range = false) {
    TRY_VOID(step());
    Value value;
    for (size_t i = 0; i < pipe.commands.size(); ++i) {
      if (i > 0) TRY_VOID(step());
      TRY(value, command(pipe.commands[i], dot, i > 0 ? &value : nullptr, pipe.line));
    }
    if (!for_range) {
      for (const auto& name : pipe.variables) TRY_VOID(bind(pipe, name, value));
    }
    return value;
  }

  Result<Value> command(const Command& command, const Value& dot, const Value* last, int line) {
    const Operand& first = command.operands[0];
    if (first.kind == Operand::Kind::function) return function(command, dot, last, line);
    if (command.operands.size() > 1 || last) {
      return error(line, "can't give argument to non-function {}", describe(first));
    }
    if (first.kind == Operand::Kind::nil) return error(line, "nil is not a command");
    return operand(first, dot, line);
  }

  static std::string describe(const Operand& operand) {
    std::string out =
        operand.kind == Operand::Kind::literal ? operand.literal.json() : operand.name;
    for (const auto& field : operand.fields) out += "." + field;
    return out;
  }

  Result<Value> function(const Command& command, const Value& dot, const Value* last, int line) {
    const std::string& name = command.operands[0].name;
    if (name == "and" || name == "or") {
      size_t count = command.operands.size() - 1 + (last != nullptr);
      if (count == 0)
        return error(line, "wrong number of args for {}: want at least 1 got 0", name);
      // Later arguments are evaluated only if the earlier ones have not decided.
      for (size_t i = 1; i < command.operands.size(); ++i) {
        TRY(Value value, operand(command.operands[i], dot, line));
        if (value.truthy() == (name == "or") || i == count) return value;
      }
      return Value(*last);
    }
    Call call{.now_seconds = now_seconds_,
              .text_bytes_max = limits_.output_bytes_max - work_.made_bytes};
    for (size_t i = 1; i < command.operands.size(); ++i) {
      TRY(Value value, operand(command.operands[i], dot, line));
      call.arguments.push_back(std::move(value));
    }
    if (last) call.arguments.push_back(*last);
    auto result = call_function(name, call);
    if (!result) return error(line, "executing \"\" at <{}>: {}", name, result.error().what);
    TRY_VOID(step(call.bytes_read / kBytesPerStep));
    TRY_VOID(count_text(*result));
    return result;
  }

  Result<Value> operand(const Operand& operand, const Value& dot, int line) {
    TRY_VOID(step());
    switch (operand.kind) {
      case Operand::Kind::dot:
        return Value(dot);
      case Operand::Kind::nil:
        return Value();
      case Operand::Kind::literal:
        return Value(operand.literal);
      case Operand::Kind::field:
        return chain(dot, operand.fields, line);
      case Operand::Kind::variable:
        return variable_chain(operand, line);
      case Operand::Kind::function: {
        Call call{.now_seconds = now_seconds_};
        auto result = call_function(operand.name, call);
        if (!result)
          return error(line, "executing \"\" at <{}>: {}", operand.name, result.error().what);
        return result;
      }
      case Operand::Kind::pipe: {
        TRY(Value value, pipeline(*operand.pipe, dot));
        return chain(std::move(value), operand.fields, line);
      }
    }
    return Value();
  }

  Result<Value> variable_chain(const Operand& operand, int line) {
    TRY(const Value* found, variable(operand.name));
    if (!found) return error(line, "undefined variable: {}", operand.name);
    return chain(*found, operand.fields, line);
  }

  Result<Value> chain(Value value, const std::vector<std::string>& fields, int line) {
    for (const auto& field : fields) {
      if (value.is_null()) return value;
      const auto* map = value.as_map();
      if (!map) {
        return error(line, "executing \"\" at <.{}>: can't evaluate field {} in type {}", field,
                     field, value.type_name());
      }
      TRY_VOID(step(bytes_searched(map->fields.size(), field) / kBytesPerStep));
      const Value* found = map->find(field);
      value = found ? Value(*found) : Value();
    }
    return value;
  }

  const Templates& templates_;
  const GoLimits& limits_;
  GoWork& work_;
  const int64_t now_seconds_;
  std::string out_;
  std::vector<std::pair<std::string_view, Value>> variables_;  // Named in the template, or "$".
  int calls_ = 0;
};

}  // namespace
}  // namespace go

namespace {

constexpr size_t kGoTemplateBytesMax = 512 * 1024;

}  // namespace

GoTemplate::GoTemplate() : GoTemplate(std::make_shared<const Program>(Program{{{"", {}}}})) {}
GoTemplate::GoTemplate(std::shared_ptr<const Program> program) : program_(std::move(program)) {}
GoTemplate::~GoTemplate() = default;
GoTemplate::GoTemplate(GoTemplate&&) noexcept = default;
GoTemplate& GoTemplate::operator=(GoTemplate&&) noexcept = default;

Result<GoTemplate> GoTemplate::parse(std::string_view text) {
  if (text.size() > kGoTemplateBytesMax) {
    return fail(Errc::invalid_argument, "template: larger than {} bytes", kGoTemplateBytesMax);
  }
  TRY(auto tokens, go::tokenize(text));
  TRY(auto templates, go::parse(std::move(tokens)));
  return GoTemplate(std::make_shared<const Program>(Program{std::move(templates)}));
}

Result<std::string> GoTemplate::execute(const Value& data, int64_t now_seconds,
                                        const GoLimits& limits) const {
  GoWork work;
  return execute(data, now_seconds, limits, work);
}

Result<std::string> GoTemplate::execute(const Value& data, int64_t now_seconds,
                                        const GoLimits& limits, GoWork& work) const {
  return go::Evaluator(program_->templates, limits, work, now_seconds).run(data);
}

}  // namespace om::prompt
