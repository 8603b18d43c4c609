#include "prompt/llama_direct.h"

#include <chat-auto-parser.h>
#include <fmt/chrono.h>

#include <chrono>

namespace om::prompt::llama {
namespace {

using Json = common_json;

// The library trims the messages of templates with these words (StepFun's).
constexpr std::string_view kTrimmed =
    "You have access to the following functions in JSONSchema format";

void parse_arguments(Json& message) {
  for (auto& call : message["tool_calls"]) {
    if (!call.contains("function") || !call["function"].contains("arguments")) continue;
    auto& arguments = call["function"]["arguments"];
    if (arguments.is_string()) arguments = Json::parse(arguments.get<std::string>());
  }
}

// Templates without a place for it get the system message before the first one of the user.
void merge_system_message(Json& messages) {
  if (messages.empty() || messages.front().at("role") != "system") return;
  if (messages.size() > 1) {
    messages[1]["content"] = messages.front().at("content").get<std::string>() + "\n" +
                             messages[1].at("content").get<std::string>();
  }
  messages.erase(0);
}

Json messages_for(const common_chat_templates_inputs& inputs, const jinja::caps& caps) {
  Json messages = Json::array();
  for (const common_chat_msg& message : inputs.messages) {
    messages.push_back(message.to_json_oaicompat(false));
  }
  for (auto& message : messages) {
    if (message.contains("role") && message["role"] == "developer") message["role"] = "system";
  }
  if (!caps.supports_system_role) merge_system_message(messages);
  for (auto& message : messages) {
    if (!message.contains("tool_calls")) continue;
    if (caps.supports_tool_calls && !message.contains("content")) message["content"] = "";
    if (caps.supports_object_arguments) parse_arguments(message);
  }
  return messages;
}

Json extra_context(const common_chat_templates_inputs& inputs) {
  Json context = Json::object();
  // The library asks the machine's clock here.
  const std::tm now = fmt::localtime(std::chrono::system_clock::to_time_t(inputs.now));
  context["datetime"] = fmt::format("{:%b %d %Y}", now);
  context["date_string"] = fmt::format("{:%d %b %Y}", now);
  for (const auto& [name, value] : inputs.chat_template_kwargs) {
    context[name] = Json::parse(value);
  }
  return context;
}

}  // namespace

std::optional<DirectRenderer> DirectRenderer::make(const std::string& text,
                                                   const std::string& bos_token,
                                                   const std::string& eos_token) {
  if (text.find(kTrimmed) != text.npos) return std::nullopt;
  auto compiled = std::make_shared<const common_chat_template>(text, bos_token, eos_token);
  autoparser::generation_params sample;
  sample.messages = Json::array();
  sample.messages.push_back({{"role", "user"}, {"content", "Hello"}});
  try {
    if (common_chat_try_specialized_template(*compiled, text, sample)) return std::nullopt;
  } catch (const std::exception&) {
    return std::nullopt;
  }
  return DirectRenderer(std::move(compiled));
}

std::string DirectRenderer::render(const common_chat_templates_inputs& inputs) const {
  autoparser::generation_params params;
  params.tools = common_chat_tools_to_json_oaicompat(inputs.tools);
  params.messages = messages_for(inputs, template_->original_caps());
  params.tool_choice = inputs.tool_choice;
  params.enable_thinking = inputs.enable_thinking;
  params.now = inputs.now;
  params.add_generation_prompt = inputs.add_generation_prompt;
  params.extra_context = extra_context(inputs);
  return common_chat_template_direct_apply(*template_, params);
}

}  // namespace om::prompt::llama
