#include "prompt/go_call.h"

#include "prompt/constraint.h"
#include "prompt/go_tools.h"
#include "prompt/grammar.h"
#include "prompt/tool_schema.h"
#include "prompt/value.h"

namespace om::prompt {

namespace {

namespace json = boost::json;

constexpr std::string_view kName = "om_probe_name", kArguments = R"({"om_probe_key":1})";
constexpr size_t kShapeBytesMax = 512;  // As far behind its tag ToolScanner looks for a call.

// Closes the brackets that are open at the end of the text.
std::string closing(std::string_view text) {
  std::string open;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string && c == '\\') ++i;
    if (c == '"') in_string = !in_string;
    if (in_string) continue;
    if (c == '{' || c == '[') open.insert(open.begin(), c == '{' ? '}' : ']');
    if (!open.empty() && c == open.front()) open.erase(open.begin());
  }
  return open;
}

CallShape usual_shape(std::string_view tag) {
  const std::string begin = tag == "{" ? "" : tag == "[" ? "[" : std::string(tag) + "\n";
  return {begin + R"({"name": ")", R"(", "arguments": )", tag == "[" ? "}]" : "}"};
}

Result<std::string> parameters_grammar(const json::object& function, SchemaBudget& budget) {
  model::Format format{.kind = model::Format::Kind::schema,
                       .schema = R"({"type":"object","properties":{}})"};
  const auto* parameters = function.if_contains("parameters");
  if (parameters && parameters->is_object() && !parameters->get_object().empty()) {
    format.schema = json::serialize(usable_parameters(*parameters, budget));
  }
  return format_grammar(format);
}

}  // namespace

std::vector<model::Message> conversation_with_call() {
  std::vector<model::Message> messages(4);
  messages[0].role = messages[3].role = "user";
  messages[0].content = messages[3].content = "?";
  messages[1].role = "assistant";
  messages[1].tool_calls.push_back({"", std::string(kName), std::string(kArguments)});
  messages[2].role = "tool";
  messages[2].content = "!";
  return messages;
}

CallShape call_shape(std::string_view rendered, std::string_view tag) {
  const size_t name = rendered.find(kName);
  if (name == rendered.npos) return usual_shape(tag);
  const size_t arguments = rendered.find(kArguments, name);
  const size_t begin = rendered.rfind(tag, name);
  if (arguments == rendered.npos || begin == rendered.npos || arguments - begin > kShapeBytesMax) {
    return usual_shape(tag);
  }
  CallShape shape;
  shape.before_name = rendered.substr(begin, name - begin);
  shape.before_arguments = rendered.substr(name + kName.size(), arguments - name - kName.size());
  shape.behind = closing(shape.before_name + shape.before_arguments);
  return shape;
}

Result<std::string> forced_call_grammar(const CallShape& shape,
                                        const std::vector<json::value>& tools,
                                        std::string_view tool_choice) {
  std::string root, rules;
  SchemaBudget budget;
  for (size_t i = 0; i < tools.size(); ++i) {
    TRY(const ToolFunction function, function_of(tools[i]));
    if (tool_choice != "required" && function.name != tool_choice) continue;
    TRY(const std::string parameters, parameters_grammar(*function.object, budget));
    const std::string prefix = fmt::format("om-{}-", i);
    rules += with_rules_named(parameters, prefix) + "\n";
    if (rules.size() > kGrammarBytesMax) {
      return fail(Errc::invalid_argument, "the tools need a grammar of more than {} bytes",
                  kGrammarBytesMax);
    }
    std::string quoted = json_quoted(function.name);
    quoted = quoted.substr(1, quoted.size() - 2);
    root += fmt::format("{}{} {}root {}", root.empty() ? "" : " | ",
                        grammar_literal(shape.before_name + quoted + shape.before_arguments),
                        prefix, shape.behind.empty() ? "" : grammar_literal(shape.behind));
  }
  if (root.empty()) {
    return fail(Errc::invalid_argument, "tool_choice '{}' fits none of the tools", tool_choice);
  }
  return "root ::= " + root + "\n" + rules;
}

}  // namespace om::prompt
