#include "api/responses_request.h"

#include "api/openai_content.h"
#include "api/openai_fields.h"
#include "api/openai_request.h"
#include "api/request_limits.h"
#include "api/responses_past.h"

namespace om::api {

namespace json = boost::json;

namespace {

// Whether the last message is a turn that has shown nothing but its reasoning so far.
bool only_thoughts(const std::vector<model::Message>& messages) {
  return !messages.empty() && messages.back().content.empty() && messages.back().tool_calls.empty();
}

Result<void> add_parts(const Fields& fields, std::string_view name, model::Message& message) {
  const json::value* content = fields.find(name);
  if (!content) return fail(Errc::invalid_argument, "'{}' is required", fields.where(name));
  if (content->is_string()) {
    message.content = std::string(content->get_string());
    return {};
  }
  TRY(auto parts, fields.array(name));
  for (size_t i = 0; i < parts->size(); i++) {
    TRY(auto part, Fields::of((*parts)[i], fmt::format("{}[{}]", fields.where(name), i)));
    TRY_VOID(add_openai_part(part, message));
  }
  return {};
}

Result<void> add_message(const Fields& item, std::vector<model::Message>& messages) {
  model::Message message;
  TRY(message.role, item.required_string("role"));
  if (message.role == "developer") message.role = "system";
  TRY_VOID(add_parts(item, "content", message));
  if (message.role == "assistant") {
    last_turn(messages, only_thoughts(messages)).content = std::move(message.content);
  } else {
    messages.push_back(std::move(message));
  }
  return {};
}

Result<std::string> called_name(const Fields& item) {
  TRY(std::string name, item.required_string("name"));
  TRY(const auto name_space, item.string("namespace"));
  return name_space.value_or("").empty() ? name : name_in_space(*name_space, name);
}

Result<void> add_call(const Fields& item, bool is_custom, std::vector<model::Message>& messages) {
  model::ToolCall call;
  TRY(call.id, item.required_string("call_id"));
  TRY(call.name, called_name(item));
  if (is_custom) {
    TRY(const std::string input, item.required_string("input"));
    call.arguments = custom_arguments(input);
  } else {
    call.arguments = past_arguments(item.find("arguments"));
  }
  last_turn(messages, true).tool_calls.push_back(std::move(call));
  return {};
}

Result<void> add_function_output(const Fields& item, std::vector<model::Message>& messages) {
  model::Message message{.role = "tool"};
  TRY(message.tool_call_id, item.required_string("call_id"));
  TRY_VOID(add_parts(item, "output", message));
  messages.push_back(std::move(message));
  return {};
}

Result<void> add_reasoning(const Fields& item, std::vector<model::Message>& messages) {
  std::string text;
  for (std::string_view name : {"summary", "content"}) {
    TRY(auto parts, item.array(name));
    if (!parts || !text.empty()) continue;
    for (size_t i = 0; i < parts->size(); i++) {
      TRY(auto part, Fields::of((*parts)[i], fmt::format("{}[{}]", item.where(name), i)));
      TRY(auto piece, part.required_string("text"));
      text += piece;
    }
  }
  if (!text.empty()) last_turn(messages, only_thoughts(messages)).thinking += text;
  return {};
}

Result<void> add_item(const Fields& item, std::vector<model::Message>& messages) {
  TRY(auto type, item.string("type"));
  std::string kind = type.value_or("message");
  if (kind == "message") return add_message(item, messages);
  if (kind == "function_call" || kind == "custom_tool_call") {
    return add_call(item, kind == "custom_tool_call", messages);
  }
  if (kind == "function_call_output" || kind == "custom_tool_call_output") {
    return add_function_output(item, messages);
  }
  if (kind == "reasoning") return add_reasoning(item, messages);
  TRY(const bool known, add_past_item(item, kind, messages));
  if (known) return {};
  return fail(Errc::invalid_argument, "{}: unknown input item type: \"{}\"", item.where("type"),
              kind);
}

Result<void> parse_tools(const Fields& fields, ResponsesCall& call) {
  TRY(auto tools, parse_responses_tools(fields));
  call.request.tools = std::move(tools.functions);
  call.request.tool_choice = std::move(tools.choice);
  call.tools = std::move(tools.client);
  call.echo["tools"] = std::move(tools.as_told);
  TRY(auto parallel, fields.boolean("parallel_tool_calls"));
  call.request.parallel_tool_calls = parallel.value_or(true);
  return {};
}

Result<model::Format> parse_text_format(const Fields& fields) {
  TRY(auto text, fields.object("text"));
  if (!text) return model::Format{};
  TRY(auto format, text->object("format"));
  if (!format) return model::Format{};
  TRY(auto type, format->required_string("type"));
  if (type == "text") return model::Format{};
  if (type == "json_object") return model::Format{.kind = model::Format::Kind::json};
  if (type == "json_schema") return parse_schema(*format, "schema");
  return fail(Errc::invalid_argument,
              "'text.format.type' must be \"text\", \"json_object\" or \"json_schema\", not \"{}\"",
              type);
}

Result<void> parse_options(const Fields& fields, model::RequestCommon& common) {
  TRY_VOID(parse_local_members(fields, common.keep_alive, common.options));
  TRY_VOID(fields.copy_number("temperature", common.options, "temperature"));
  TRY_VOID(fields.copy_number("top_p", common.options, "top_p"));
  TRY_VOID(fields.copy_number("frequency_penalty", common.options, "frequency_penalty"));
  TRY_VOID(fields.copy_number("presence_penalty", common.options, "presence_penalty"));
  TRY_VOID(copy_token_limit(fields, {"max_output_tokens"}, common.options));
  TRY(common.format, parse_text_format(fields));
  TRY(common.think, parse_effort(fields));
  TRY(auto include, fields.strings("include"));
  TRY(auto top, fields.integer("top_logprobs"));
  TRY_VOID(check_top_logprobs(top.value_or(0)));
  common.logprobs.enabled =
      std::ranges::find(include, "message.output_text.logprobs") != include.end();
  if (common.logprobs.enabled) common.logprobs.top = static_cast<int>(top.value_or(0));
  TRY(auto truncation, fields.string("truncation"));
  common.truncate = truncation.value_or("disabled") == "auto";
  TRY(auto stream, fields.boolean("stream"));
  common.stream = stream.value_or(false);
  return {};
}

Result<void> refuse_state(const Fields& fields) {
  for (std::string_view name : {"previous_response_id", "conversation", "prompt"}) {
    if (fields.has(name)) {
      return fail(Errc::invalid_argument,
                  "'{}' is not supported: no response is stored here; send the whole input", name);
    }
  }
  TRY(auto background, fields.boolean("background"));
  if (background.value_or(false)) {
    return fail(Errc::invalid_argument, "'background' is not supported");
  }
  return {};
}

// What the reply repeats of the request, defaults filled in.
void fill_echo(const json::object& body, ResponsesCall& call) {
  auto copy = [&](std::string_view name, const json::value& otherwise) {
    const json::value* value = body.if_contains(name);
    call.echo[name] = value && !value->is_null() ? *value : otherwise;
  };
  call.echo["background"] = false;
  copy("frequency_penalty", 0);
  copy("instructions", nullptr);
  copy("max_output_tokens", nullptr);
  copy("max_tool_calls", nullptr);
  copy("parallel_tool_calls", true);
  copy("presence_penalty", 0);
  call.echo["previous_response_id"] = nullptr;
  copy("prompt_cache_key", nullptr);
  copy("reasoning", json::object{{"effort", nullptr}, {"summary", nullptr}});
  copy("safety_identifier", nullptr);
  call.echo["service_tier"] = "default";
  call.echo["store"] = false;
  copy("temperature", nullptr);
  copy("text", json::object{{"format", json::object{{"type", "text"}}}});
  copy("tool_choice", "auto");
  copy("top_logprobs", 0);
  copy("top_p", nullptr);
  copy("truncation", "disabled");
  copy("metadata", json::object());
  copy("user", nullptr);
}

}  // namespace

model::Message& last_turn(std::vector<model::Message>& messages, bool fits) {
  if (messages.empty() || messages.back().role != "assistant" || !fits) {
    messages.push_back(model::Message{.role = "assistant"});
  }
  return messages.back();
}

Result<std::vector<model::Message>> parse_input_items(const json::array& items) {
  std::vector<model::Message> messages;
  for (size_t i = 0; i < items.size(); i++) {
    TRY(auto item, Fields::of(items[i], fmt::format("input[{}]", i)));
    TRY_VOID(add_item(item, messages));
  }
  name_tool_results(messages);
  return messages;
}

Result<ResponsesCall> parse_responses(const json::object& body) {
  Fields fields(body);
  ResponsesCall call;
  TRY(call.request.common.model, parse_model(fields));
  TRY_VOID(refuse_state(fields));
  const json::value* input = fields.find("input");
  if (!input) return fail(Errc::invalid_argument, "'input' is required");
  if (input->is_string()) {
    call.request.messages.push_back(
        model::Message{.role = "user", .content = std::string(input->get_string())});
  } else {
    TRY(auto items, fields.array("input"));
    TRY_VOID(check_list_size(*items, kMessagesMax, "input"));
    TRY(call.request.messages, parse_input_items(*items));
    TRY_VOID(check_messages(call.request.messages));
    if (call.request.messages.empty()) {
      return fail(Errc::invalid_argument, "[] is too short - 'input'");
    }
  }
  TRY(auto instructions, fields.string("instructions"));
  if (instructions) {
    call.request.messages.insert(call.request.messages.begin(),
                                 model::Message{.role = "system", .content = *instructions});
  }
  TRY_VOID(parse_tools(fields, call));
  TRY_VOID(parse_options(fields, call.request.common));
  TRY(auto store, fields.boolean("store"));
  call.store = store.value_or(true);
  fill_echo(body, call);
  return call;
}

}  // namespace om::api
