#include "prompt/go_render.h"

#include "prompt/answer_format.h"
#include "prompt/go_call.h"
#include "prompt/go_tools.h"
#include "prompt/grammar.h"
#include "prompt/media.h"

namespace om::prompt {

namespace {

Result<Value> arguments_value(const model::ToolCall& call) {
  if (call.arguments.empty()) return Value::map({}, "{}");
  boost::system::error_code code;
  auto json = boost::json::parse(call.arguments, code);
  if (code || !json.is_object()) {
    return fail(Errc::invalid_argument, "arguments of the call to '{}' are not a JSON object",
                call.name);
  }
  Value value = Value::from_json(json);  // In the order in which the model said them.
  return Value::map(value.as_map()->fields, value.json());
}

Result<Value> calls_value(const std::vector<model::ToolCall>& calls) {
  std::vector<Value> items;
  std::string list = "[";
  for (size_t i = 0; i < calls.size(); ++i) {
    TRY(Value arguments, arguments_value(calls[i]));
    std::string text = fmt::format(R"({{"function":{{"index":{},"name":{},"arguments":{}}}}})", i,
                                   json_quoted(calls[i].name), arguments.json());
    list += (i > 0 ? "," : "") + text;
    Value function = Value::map({{"Index", Value(static_cast<int64_t>(i))},
                                 {"Name", Value(calls[i].name)},
                                 {"Arguments", std::move(arguments)}});
    items.push_back(Value::map({{"ID", Value(calls[i].id)}, {"Function", std::move(function)}},
                               std::move(text)));
  }
  return Value::list(std::move(items), calls.empty() ? std::string() : list + "]");
}

Result<Value> message_value(const model::Message& message) {
  TRY(Value calls, calls_value(message.tool_calls));
  return Value::map({{"Role", Value(message.role)},
                     {"Content", Value(message.content)},
                     {"Thinking", Value(message.thinking)},
                     {"Images", Value::list(std::vector<Value>(message.images.size()))},
                     {"ToolCalls", std::move(calls)},
                     {"ToolName", Value(message.tool_name)},
                     {"ToolCallID", Value(message.tool_call_id)}});
}

// Turns of one role that follow each other become one; tool results stay apart.
std::vector<model::Message> collate(const std::vector<model::Message>& messages,
                                    const std::string& marker) {
  std::vector<model::Message> out;
  for (const auto& message : messages) {
    model::Message copy = message;
    copy.content = with_media_markers(message, marker);
    bool joins = !out.empty() && out.back().role == copy.role && copy.role != "tool" &&
                 copy.tool_calls.empty() && out.back().tool_calls.empty();
    if (!joins) {
      out.push_back(std::move(copy));
      continue;
    }
    auto& before = out.back();
    if (!copy.content.empty()) {
      if (!before.content.empty()) before.content += "\n\n";
      before.content += copy.content;
    }
    before.thinking += copy.thinking;
    before.images.insert(before.images.end(), copy.images.begin(), copy.images.end());
  }
  return out;
}

std::string_view trim_right(std::string_view text) {
  size_t last = text.find_last_not_of(" \t\r\n");
  return last == text.npos ? std::string_view() : text.substr(0, last + 1);
}

bool is_forced(std::string_view tool_choice) {
  return !tool_choice.empty() && tool_choice != "auto" && tool_choice != "none";
}

Result<std::vector<std::string>> tool_names(const std::vector<boost::json::value>& tools) {
  std::vector<std::string> names;
  names.reserve(tools.size());
  for (const auto& tool : tools) {
    TRY(const ToolFunction function, function_of(tool));
    names.emplace_back(function.name);
  }
  return names;
}

}  // namespace

Result<GoTemplate> parse_model_template(std::string_view text) {
  TRY(auto parsed, GoTemplate::parse(text));
  if (parsed.mentions("Messages") || parsed.mentions("Response")) return parsed;
  return GoTemplate::parse(std::string(text) + "{{ .Response }}");
}

GoRenderer::GoRenderer(GoTemplate parsed)
    : template_(std::move(parsed)),
      cut_(template_.cut_after("Response")),
      names_messages_(template_.mentions("Messages")),
      thinking_(template_.thinking_tags()),
      tool_tag_(template_.tool_call_tag()) {
  capabilities_.tools = template_.mentions("Tools");
  capabilities_.insert = template_.mentions("Suffix");
  capabilities_.thinking = !thinking_.empty();
}

Result<std::string> GoRenderer::execute(const GoTemplate& chosen, Value::Fields fields,
                                        const model::Think& think, int64_t now_seconds,
                                        GoWork& work) const {
  std::string level = !think.level.empty() ? think.level : think.enabled ? "medium" : "";
  fields.emplace_back("Think", Value(think.enabled));
  fields.emplace_back("ThinkLevel", Value(level));
  fields.emplace_back("IsThinkSet", Value(think.is_set));
  return chosen.execute(Value::map(std::move(fields)), now_seconds,
                        {.output_bytes_max = kPromptBytesMax}, work);
}

Result<std::string> GoRenderer::render_messages(const ChatInput& input) const {
  auto messages = collate(input.messages, input.media_marker);
  std::string system;
  std::vector<Value> items;
  for (const auto& message : messages) {
    if (message.role == "system") {
      if (!system.empty()) system += "\n\n";
      system += message.content;
    }
    TRY(Value item, message_value(message));
    items.push_back(std::move(item));
  }
  Value tools;
  if (input.tool_choice != "none") {
    TRY(tools, tools_value(input.tools));
  }
  GoWork work;
  return execute(template_,
                 {{"System", Value(system)},
                  {"Messages", Value::list(std::move(items))},
                  {"Tools", std::move(tools)},
                  {"Response", Value("")}},
                 input.think, input.now_seconds, work);
}

// A template without .Messages knows one turn: it is rendered once for each, and the last time only
// up to the place of the answer.
Result<std::string> GoRenderer::render_turns(const ChatInput& input) const {
  std::string out, system, prompt, response;
  GoWork work;
  auto turn = [&](const GoTemplate& chosen) -> Result<void> {
    TRY(auto text, execute(chosen,
                           {{"System", Value(std::exchange(system, {}))},
                            {"Prompt", Value(std::exchange(prompt, {}))},
                            {"Response", Value(std::exchange(response, {}))}},
                           input.think, input.now_seconds, work));
    out += text;
    return {};
  };
  for (auto& message : collate(input.messages, input.media_marker)) {
    if (message.role == "system") {
      if (!prompt.empty() || !response.empty()) TRY_VOID(turn(template_));
      system = std::move(message.content);
    } else if (message.role == "user") {
      if (!response.empty()) TRY_VOID(turn(template_));
      prompt = std::move(message.content);
    } else if (message.role == "assistant") {
      response = std::move(message.content);
    }
  }
  TRY_VOID(turn(cut_));
  return out;
}

Result<Rendered> GoRenderer::chat(const ChatInput& input) const {
  if (!input.tools.empty() && !capabilities_.tools) {
    return fail(Errc::unsupported, "the model's template has no place for tools");
  }
  Rendered rendered;
  TRY(rendered.prompt, names_messages_ ? render_messages(input) : render_turns(input));
  if (!input.said.empty()) append_said(rendered.prompt, input.said);
  return finish(std::move(rendered), input);
}

// Not as a last turn of the assistant: most templates would close it, and open the next one.
void GoRenderer::append_said(std::string& prompt, std::string_view said) const {
  const bool thinks = !thinking_.empty() && trim_right(prompt).ends_with(thinking_.open);
  if (thinks) prompt += thinking_.close + "\n\n";
  prompt += said;
}

Result<Rendered> GoRenderer::raw(const GenerateInput& input) const {
  Rendered rendered;
  rendered.prompt = input.prompt;
  if (!input.said.empty()) append_said(rendered.prompt, input.said);
  ChatInput as_chat;
  as_chat.think = input.think;
  as_chat.format = input.format;
  return finish(std::move(rendered), as_chat);
}

Result<Rendered> GoRenderer::generate(const GenerateInput& input) const {
  ChatInput chat_input;
  chat_input.said = input.said;
  chat_input.think = input.think;
  chat_input.format = input.format;
  chat_input.media_marker = input.media_marker;
  chat_input.now_seconds = input.now_seconds;
  if (!input.suffix.empty()) {
    if (!capabilities_.insert) {
      return fail(Errc::unsupported, "the model's template has no place for a suffix");
    }
    Rendered rendered;
    GoWork work;
    TRY(rendered.prompt, execute(template_,
                                 {{"Prompt", Value(input.prompt)},
                                  {"Suffix", Value(input.suffix)},
                                  {"System", Value(input.system)},
                                  {"Response", Value("")}},
                                 input.think, input.now_seconds, work));
    return finish(std::move(rendered), chat_input);
  }
  if (!input.system.empty())
    chat_input.messages.push_back({.role = "system", .content = input.system});
  chat_input.messages.insert(chat_input.messages.end(), input.history.begin(), input.history.end());
  model::Message user{.role = "user", .content = input.prompt};
  user.images.resize(input.images);
  chat_input.messages.push_back(std::move(user));
  TRY(auto rendered, chat(chat_input));
  rendered.prompt.insert(0, input.context_text);
  return rendered;
}

// Of the call that must come, written as the template writes calls.
Result<std::string> GoRenderer::forced_call(const ChatInput& input,
                                            std::string_view tool_choice) const {
  ChatInput probe;
  probe.messages = conversation_with_call();
  probe.think = input.think;
  if (!input.tools.empty()) probe.tools = {input.tools.front()};
  // The usual shape, where the template refuses the conversation.
  const std::string rendered = render_messages(probe).value_or("");
  return forced_call_grammar(call_shape(rendered, tool_tag_), input.tools, tool_choice);
}

// Adds what constrains and parses the answer.
Result<Rendered> GoRenderer::finish(Rendered rendered, const ChatInput& input) const {
  TagFormat format;
  format.thinking = thinking_;
  format.thinking_open =
      !thinking_.empty() && trim_right(rendered.prompt).ends_with(thinking_.open);
  if (!input.tools.empty() && input.tool_choice != "none") {
    format.tool_tag = tool_tag_;
    TRY(format.tool_names, tool_names(input.tools));
  }
  auto& constraint = rendered.constraint;
  for (const auto& token : {thinking_.open, thinking_.close, format.tool_tag}) {
    // Only what looks like a special token; the runner ignores what is not one token.
    if (token.size() > 2) constraint.preserved_tokens.push_back(token);
  }
  const bool must_call = is_forced(input.tool_choice);
  format.only_call = must_call;
  TRY(std::string grammar,
      must_call ? forced_call(input, input.tool_choice) : format_grammar(input.format));
  if (!grammar.empty()) {
    if (!must_call && !format.tool_tag.empty()) {
      // A call has no need to be of the format. Without a grammar of calls, none can come: all is
      // content then, whatever it looks like.
      if (auto calls = forced_call(input, "required")) {
        grammar = either_grammar(grammar, *calls);
      } else {
        format.tool_tag.clear();
      }
    }
    constraint.grammar = answer_grammar(grammar, thinking_, format.thinking_open);
    constraint.tool_grammar = constraint.space_allowed = true;
  }
  rendered.answer = tag_answer_format(std::move(format));
  return rendered;
}

}  // namespace om::prompt
