#include "prompt/llama_inputs.h"

#include <stdexcept>

#include "prompt/constraint.h"
#include "prompt/media.h"
#include "prompt/member_budget.h"
#include "prompt/tool_schema.h"
#include "prompt/turns.h"

namespace om::prompt::llama {
namespace {

common_chat_msg convert(const model::Message& message, const std::string& marker) {
  common_chat_msg out;
  out.role = message.role;
  out.content = with_media_markers(message, marker);
  out.reasoning_content = message.thinking;
  out.tool_name = message.tool_name;
  out.tool_call_id = message.tool_call_id;
  for (const auto& call : message.tool_calls) {
    out.tool_calls.push_back({call.name, call.arguments.empty() ? "{}" : call.arguments, call.id});
  }
  return out;
}

// Clients write null for what is not there, where the library wants a text or nothing, and leave
// out the type, of which there is one.
boost::json::value usable(boost::json::value tool) {
  boost::json::object* object = tool.if_object();
  boost::json::value* member = object ? object->if_contains("function") : nullptr;
  const boost::json::object* function = member ? member->if_object() : nullptr;
  if (!function) return tool;
  boost::json::object kept;
  for (const auto& [name, value] : *function) {
    if (!value.is_null()) kept[name] = value;
  }
  *member = std::move(kept);
  (*object)["type"] = "function";
  return tool;
}

void charge(MemberBudget& budget, std::string_view json) {
  if (auto few = budget.add_text(json); !few) throw std::invalid_argument(few.error().what);
}

// A large result is nothing to refuse: what begins so is no JSON to the library, which tells the
// model the text then.
void keep_as_text_if_costly(std::string& result, MemberBudget& budget) {
  const size_t start = result.find_first_not_of(" \t\r\n");
  if (start == result.npos || (result[start] != '{' && result[start] != '[')) return;
  if (!budget.add_text(result)) result.insert(0, "JSON: ");
}

std::vector<common_chat_tool> convert_tools(const ChatInput& input, MemberBudget& budget) {
  std::vector<common_chat_tool> tools;
  for (const auto& tool : input.tools) {
    const std::string text = boost::json::serialize(usable(tool));
    charge(budget, text);
    auto json = common_json::array();
    json.push_back(common_json::parse(text));
    auto parsed = common_chat_tools_parse_oaicompat(json);
    if (parsed.front().name.size() > kNameBytesMax) {
      throw std::invalid_argument(
          fmt::format("a tool's name has more than {} bytes", kNameBytesMax));
    }
    tools.insert(tools.end(), parsed.begin(), parsed.end());
  }
  return tools;
}

void choose_tools(const ChatInput& input, MemberBudget& budget,
                  common_chat_templates_inputs& inputs) {
  inputs.tools = convert_tools(input, budget);
  inputs.parallel_tool_calls = input.parallel_tool_calls;
  const std::string& choice = input.tool_choice;
  if (choice.empty() || choice == "auto") return;
  if (choice == "none") {
    inputs.tool_choice = COMMON_CHAT_TOOL_CHOICE_NONE;
    return;
  }
  inputs.tool_choice = COMMON_CHAT_TOOL_CHOICE_REQUIRED;
  if (choice == "required") {
    if (inputs.tools.empty()) throw std::invalid_argument("tool_choice needs tools");
    return;
  }
  std::erase_if(inputs.tools, [&](const auto& tool) { return tool.name != choice; });
  if (inputs.tools.empty()) {
    throw std::invalid_argument("tool_choice names the unknown function '" + choice + "'");
  }
}

// A call that must come is of its tool's form.
void choose_format(const model::Format& format, common_chat_templates_inputs& inputs) {
  if (inputs.tool_choice == COMMON_CHAT_TOOL_CHOICE_REQUIRED) return;
  if (format.kind == model::Format::Kind::json) {
    // An empty schema would mean no constraint to the library.
    inputs.json_schema = R"({"type":"object"})";
  } else if (format.kind == model::Format::Kind::schema) {
    auto schema = usable_schema(format.schema);
    if (!schema) throw std::invalid_argument(schema.error().what);
    inputs.json_schema = std::move(*schema);
  }
}

void choose_thinking(const model::Think& think, common_chat_templates_inputs& inputs) {
  inputs.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
  if (!think.is_set) return;
  inputs.enable_thinking = think.enabled;
  inputs.chat_template_kwargs["enable_thinking"] = think.enabled ? "true" : "false";
  if (think.enabled && !think.level.empty()) {
    inputs.chat_template_kwargs["reasoning_effort"] = "\"" + think.level + "\"";
  }
}

}  // namespace

bool reads_results(std::string_view text) {
  return text.contains("'<|tool_call>call:'") && !text.contains("{#- OpenAI Chat Completions:");
}

common_chat_templates_inputs to_inputs(const ChatInput& input, bool read_results) {
  common_chat_templates_inputs inputs;
  MemberBudget budget, of_results;
  for (const auto& message : input.messages) {
    for (const auto& call : message.tool_calls) charge(budget, call.arguments);
    inputs.messages.push_back(convert(message, input.media_marker));
    if (read_results && message.role == "tool") {
      keep_as_text_if_costly(inputs.messages.back().content, of_results);
    }
  }
  inputs.now = std::chrono::system_clock::time_point(std::chrono::seconds(input.now_seconds));
  inputs.add_generation_prompt = !continues(input);
  if (continues(input)) inputs.continue_final_message = COMMON_CHAT_CONTINUATION_AUTO;
  choose_tools(input, budget, inputs);
  choose_format(input.format, inputs);
  choose_thinking(input.think, inputs);
  return inputs;
}

bool may_be_tried(const std::vector<boost::json::value>& tools) {
  SchemaBudget budget;
  return std::ranges::all_of(tools, [&](const boost::json::value& tool) {
    boost::system::error_code error;
    const auto* parameters = tool.find_pointer("/function/parameters", error);
    return !parameters || budget.take(*parameters);
  });
}

bool mend_tools(common_chat_templates_inputs& inputs) {
  SchemaBudget budget;
  bool changed = false;
  for (common_chat_tool& tool : inputs.tools) {
    boost::json::parse_options options;
    options.max_depth = kSchemaDepthMax;
    boost::system::error_code error;
    const auto parameters = boost::json::parse(tool.parameters, error, {}, options);
    const auto usable =
        error ? boost::json::value{{"type", "object"}} : usable_parameters(parameters, budget);
    if (!error && usable == parameters) continue;
    tool.parameters = boost::json::serialize(usable);
    changed = true;
  }
  return changed;
}

}  // namespace om::prompt::llama
