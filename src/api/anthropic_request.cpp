#include "api/anthropic_request.h"

#include <algorithm>

#include "api/json_input.h"
#include "api/openai_content.h"
#include "api/openai_fields.h"
#include "api/openai_request.h"
#include "api/request_limits.h"
#include "base/base64.h"
#include "model/json_text.h"

namespace om::api {

namespace json = boost::json;

namespace {

// Claude Code begins its system text with a note to its maker that is another one in each request:
// no prompt would begin as the one before it did, and all of it would be read anew. The note is
// made of members "name=value;", and some write the text right behind them.
std::string_view without_billing_note(std::string_view text) {
  constexpr std::string_view kNote = "x-anthropic-billing-header:";
  if (!text.starts_with(kNote)) return text;
  const auto skip = [&text](std::string_view characters) {
    text.remove_prefix(std::min(text.find_first_not_of(characters), text.size()));
  };
  text.remove_prefix(kNote.size());
  for (skip(" ");; skip(" ")) {
    const size_t equals = text.find_first_of("=; \r\n");
    if (equals == text.npos || text[equals] != '=') break;
    text.remove_prefix(std::min(text.find_first_of(";\r\n", equals), text.size()));
    if (text.starts_with(';')) text.remove_prefix(1);
  }
  skip(" \r\n");
  return text;
}

void add_text(std::string_view text, model::Message& message) {
  if (message.role == "system") text = without_billing_note(text);
  if (text.empty()) return;
  if (!message.content.empty()) message.content += '\n';
  message.content += text;
}

// In the place of what no model here can read. It may stand in the history of every request to
// come: the rest of the conversation stays usable, and the model can tell what it has not seen.
void add_unreadable(std::string_view what, model::Message& message) {
  add_text(fmt::format("[{} that this model cannot read]", what), message);
}

Result<void> add_image(const Fields& block, model::Message& message) {
  TRY(auto source, block.object("source"));
  if (!source) return fail(Errc::invalid_argument, "'{}' is required", block.where("source"));
  TRY(auto type, source->required_string("type"));
  if (type != "base64") {
    if (message.role == "tool") {
      add_unreadable("an image", message);
      return {};
    }
    return fail(Errc::invalid_argument,
                "'{}' is \"{}\": only base64 images are supported, nothing is fetched",
                source->where("type"), type);
  }
  TRY(auto data, source->required_string("data"));
  TRY(auto bytes, base64_decode(data));
  message.add_image(std::move(bytes));
  return {};
}

// What a block holds in its "content": a text, or blocks of texts and images.
Result<void> add_inner_content(const Fields& holder, model::Message& message) {
  const json::value* content = holder.find("content");
  if (!content) return {};
  if (content->is_string()) {
    add_text(content->get_string(), message);
    return {};
  }
  TRY(auto blocks, holder.array("content"));
  for (size_t i = 0; i < blocks->size(); i++) {
    TRY(auto block, Fields::of((*blocks)[i], fmt::format("{}[{}]", holder.where("content"), i)));
    TRY(auto type, block.required_string("type"));
    TRY(auto text, block.string("text"));
    if (type == "image") {
      TRY_VOID(add_image(block, message));
    } else if (text) {
      add_text(*text, message);
    } else {
      add_unreadable("a part", message);
    }
  }
  return {};
}

// What is text is part of the prompt; anything else would need a reader.
Result<void> add_document(const Fields& block, model::Message& message) {
  TRY(auto source, block.object("source"));
  if (!source) return fail(Errc::invalid_argument, "'{}' is required", block.where("source"));
  TRY(auto type, source->required_string("type"));
  if (type == "content") return add_inner_content(*source, message);
  if (type == "text") {
    TRY(auto text, source->required_string("data"));
    add_text(text, message);
    return {};
  }
  TRY(auto media, source->string("media_type"));
  add_unreadable(media == "application/pdf" ? "a PDF" : "a document", message);
  return {};
}

Result<void> add_search_result(const Fields& block, model::Message& message) {
  TRY(auto title, block.string("title"));
  TRY(auto source, block.string("source"));
  add_text(fmt::format("{} ({})", title.value_or(""), source.value_or("")), message);
  return add_inner_content(block, message);
}

// What may stand in a message and in a tool's result.
Result<void> add_plain_block(const Fields& block, std::string_view type, model::Message& message) {
  if (type == "image") return add_image(block, message);
  if (type == "document") return add_document(block, message);
  if (type == "search_result") return add_search_result(block, message);
  if (type == "text") {
    TRY(auto text, block.required_string("text"));
    add_text(text, message);
  } else if (type == "tool_reference") {
    TRY(auto name, block.required_string("tool_name"));
    add_text(fmt::format("[the tool {} can be called]", name), message);
  } else {
    add_unreadable(fmt::format("a block of type \"{}\"", type), message);
  }
  return {};
}

Result<void> add_tool_use(const Fields& block, model::Message& message) {
  model::ToolCall call;
  TRY(call.id, block.required_string("id"));
  TRY(call.name, block.required_string("name"));
  const json::value* input = block.find("input");
  if (input && !input->is_object()) {
    return fail(Errc::invalid_argument, "'{}' must be an object, not {}", block.where("input"),
                kind_name(*input));
  }
  call.arguments = input ? model::write_json(*input) : "{}";
  message.tool_calls.push_back(std::move(call));
  return {};
}

bool is_tool_use(std::string_view type) {
  return type == "tool_use" || type == "server_tool_use" || type == "mcp_tool_use";
}

// Tools of Anthropic's own servers have types of their own ("web_search_tool_result").
bool is_tool_result(std::string_view type) {
  return type == "tool_result" || type.ends_with("_tool_result");
}

// What came back from a tool, as a message of its own.
Result<model::Message> parse_tool_result(const Fields& block, std::string_view type) {
  model::Message result{.role = "tool"};
  TRY(result.tool_call_id, block.required_string("tool_use_id"));
  const json::value* content = block.find("content");
  if (!content) return result;
  const bool has_blocks = type == "tool_result" || type == "mcp_tool_result";
  if (content->is_string()) {
    result.content = std::string(content->get_string());
  } else if (!has_blocks) {
    result.content = model::write_json(*content);
  } else {
    TRY(auto blocks, block.array("content"));
    for (size_t i = 0; i < blocks->size(); i++) {
      TRY(auto inner, Fields::of((*blocks)[i], fmt::format("{}[{}]", block.where("content"), i)));
      TRY(auto inner_type, inner.required_string("type"));
      TRY_VOID(add_plain_block(inner, inner_type, result));
    }
  }
  TRY(auto is_error, block.boolean("is_error"));
  if (is_error.value_or(false)) {
    constexpr std::string_view kError = "Error: ";
    result.content.insert(0, kError);
    for (size_t& place : result.image_places) place += kError.size();
  }
  return result;
}

bool is_empty(const model::Message& message) {
  return message.content.empty() && message.thinking.empty() && message.images.empty() &&
         message.tool_calls.empty();
}

// One message becomes several where results of tools stand between its other blocks: each is a
// "tool" message of its own, in its place.
Result<void> add_blocks(const json::array& blocks, const std::string& where,
                        const std::string& role, std::vector<model::Message>& messages) {
  model::Message message{.role = role};
  for (size_t i = 0; i < blocks.size(); i++) {
    TRY(auto block, Fields::of(blocks[i], fmt::format("{}[{}]", where, i)));
    TRY(auto type, block.required_string("type"));
    if (is_tool_result(type)) {
      TRY(auto result, parse_tool_result(block, type));
      if (!is_empty(message)) messages.push_back(std::exchange(message, {.role = role}));
      messages.push_back(std::move(result));
    } else if (is_tool_use(type)) {
      TRY_VOID(add_tool_use(block, message));
    } else if (type == "thinking") {
      TRY(auto thinking, block.required_string("thinking"));
      message.thinking += thinking;
    } else if (type != "redacted_thinking") {  // Nobody but its author can read that one.
      TRY_VOID(add_plain_block(block, type, message));
    }
  }
  if (!is_empty(message)) messages.push_back(std::move(message));
  return {};
}

Result<void> add_message(const Fields& fields, std::vector<model::Message>& messages) {
  TRY(auto role, fields.required_string("role"));
  if (role != "user" && role != "assistant" && role != "system") {
    return fail(Errc::invalid_argument, "'{}' must be \"user\" or \"assistant\", not \"{}\"",
                fields.where("role"), role);
  }
  const json::value* content = fields.find("content");
  if (!content) return fail(Errc::invalid_argument, "'{}' is required", fields.where("content"));
  if (content->is_string()) {
    model::Message message{.role = role};
    add_text(content->get_string(), message);
    if (role != "system" || !is_empty(message)) messages.push_back(std::move(message));
    return {};
  }
  TRY(auto blocks, fields.array("content"));
  return add_blocks(*blocks, fields.where("content"), role, messages);
}

Result<void> add_system(const Fields& fields, std::vector<model::Message>& messages) {
  const json::value* system = fields.find("system");
  if (!system) return {};
  model::Message message{.role = "system"};
  if (system->is_string()) {
    add_text(system->get_string(), message);
  } else {
    TRY(auto blocks, fields.array("system"));
    for (size_t i = 0; i < blocks->size(); i++) {
      TRY(auto block, Fields::of((*blocks)[i], fmt::format("system[{}]", i)));
      TRY(auto text, block.required_string("text"));
      add_text(text, message);
    }
  }
  if (!message.content.empty()) messages.push_back(std::move(message));
  return {};
}

// Nobody here would run those.
bool is_done_by_the_service(std::string_view type) {
  return type.starts_with("web_search") || type.starts_with("web_fetch") ||
         type.starts_with("code_execution") || type.starts_with("tool_search");
}

// {"name","description","input_schema"} in the shape the chat templates want.
Result<void> parse_tools(const Fields& fields, model::ChatRequest& request) {
  TRY(auto tools, fields.array("tools"));
  if (!tools) return {};
  TRY_VOID(check_list_size(*tools, kToolsMax, "tools"));
  for (size_t i = 0; i < tools->size(); i++) {
    TRY(auto tool, Fields::of((*tools)[i], fmt::format("tools[{}]", i)));
    TRY(const auto type, tool.string("type"));
    if (is_done_by_the_service(type.value_or(""))) continue;
    const bool is_custom = type.value_or("custom") == "custom";
    json::object function;
    TRY(auto name, tool.required_string("name"));
    function["name"] = name;
    TRY(auto description, tool.string("description"));
    if (description) function["description"] = *description;
    TRY_VOID(tool.object("input_schema"));
    const json::value* schema = tool.find("input_schema");
    if (!schema && is_custom) {
      return fail(Errc::invalid_argument, "'{}' is required", tool.where("input_schema"));
    }
    // Of the kinds that the client runs (bash_20250124, ...) only the name is told: their models
    // know the rest.
    function["parameters"] = schema ? *schema : json::object{{"type", "object"}};
    request.tools.push_back(json::object{{"type", "function"}, {"function", std::move(function)}});
  }
  return {};
}

Result<void> parse_tool_choice(const Fields& fields, model::ChatRequest& request) {
  TRY(auto choice, fields.object("tool_choice"));
  if (!choice) return {};
  TRY(auto type, choice->required_string("type"));
  TRY(auto serial, choice->boolean("disable_parallel_tool_use"));
  request.parallel_tool_calls = !serial.value_or(false);
  if (type == "auto" || type == "none") {
    request.tool_choice = type;
    return {};
  }
  json::value wanted;
  if (type == "any") {
    wanted = "required";
  } else if (type == "tool") {
    TRY(auto name, choice->required_string("name"));
    wanted = json::object{{"name", name}};
  } else {
    return fail(Errc::invalid_argument,
                "'tool_choice.type' must be \"auto\", \"any\", \"tool\" or \"none\", not \"{}\"",
                type);
  }
  TRY(request.tool_choice, take_openai_tool_choice(wanted, request.tools));
  return {};
}

Result<void> parse_format(const Fields& format, model::RequestCommon& common) {
  TRY(auto type, format.required_string("type"));
  if (type != "json_schema") {
    return fail(Errc::invalid_argument, "'{}' must be \"json_schema\", not \"{}\"",
                format.where("type"), type);
  }
  TRY(common.format, parse_schema(format, "schema"));
  return {};
}

Result<void> parse_thinking(const Fields& fields, model::RequestCommon& common) {
  TRY(auto thinking, fields.object("thinking"));
  if (thinking) {
    TRY(auto type, thinking->required_string("type"));
    // New kinds come with new models of Anthropic's: of one that is not known the model decides.
    const bool enabled = type == "enabled" || type == "adaptive" || type == "between_tools";
    common.think =
        model::Think{.is_set = enabled || type == "disabled", .enabled = enabled, .if_able = true};
  }
  TRY(auto output, fields.object("output_config"));
  if (output) {
    TRY(auto effort, output->string("effort"));
    if (effort && common.think.enabled) {
      TRY(auto think, parse_reasoning_effort(*effort));
      common.think.level = think.level;
    }
    TRY(auto format, output->object("format"));
    if (format) TRY_VOID(parse_format(*format, common));
  }
  TRY(auto format, fields.object("output_format"));
  if (format) TRY_VOID(parse_format(*format, common));
  return {};
}

Result<void> parse_sampling(const Fields& fields, model::RequestCommon& common) {
  TRY_VOID(fields.copy_number("temperature", common.options, "temperature"));
  TRY_VOID(fields.copy_number("top_p", common.options, "top_p"));
  TRY_VOID(fields.copy_integer("top_k", common.options, "top_k"));
  TRY(auto stop, fields.strings("stop_sequences"));
  if (!stop.empty()) common.options["stop"] = json::array(stop.begin(), stop.end());
  TRY(auto stream, fields.boolean("stream"));
  common.stream = stream.value_or(false);
  return {};
}

}  // namespace

Result<model::ChatRequest> parse_messages_request(const json::object& body, MessagesUse use) {
  Fields fields(body);
  model::ChatRequest request;
  TRY(request.common.model, parse_model(fields));
  if (use == MessagesUse::generate) {
    TRY(auto limit, fields.integer("max_tokens"));
    if (limit.value_or(0) < 1) {
      return fail(Errc::invalid_argument, "max_tokens is required and must be positive");
    }
    TRY_VOID(copy_token_limit(fields, {"max_tokens"}, request.common.options));
  }
  TRY(auto messages, fields.array("messages"));
  if (!messages || messages->empty()) {
    return fail(Errc::invalid_argument, "messages is required");
  }
  TRY_VOID(check_list_size(*messages, kMessagesMax, "messages"));
  TRY_VOID(add_system(fields, request.messages));
  for (size_t i = 0; i < messages->size(); i++) {
    TRY(auto message, Fields::of((*messages)[i], fmt::format("messages[{}]", i)));
    TRY_VOID(add_message(message, request.messages));
  }
  // Only blocks that say nothing: an empty list would mean "load the model" further in.
  if (request.messages.empty()) {
    return fail(Errc::invalid_argument, "messages is required");
  }
  TRY_VOID(check_messages(request.messages));
  name_tool_results(request.messages);
  TRY_VOID(parse_tools(fields, request));
  TRY_VOID(parse_tool_choice(fields, request));
  TRY_VOID(parse_thinking(fields, request.common));
  TRY_VOID(parse_sampling(fields, request.common));
  return request;
}

int64_t estimate_input_tokens(const model::ChatRequest& request) {
  constexpr size_t kCharactersPerToken = 4;
  size_t characters = 0;
  for (const model::Message& message : request.messages) {
    characters += message.content.size() + message.thinking.size();
    for (const model::ToolCall& call : message.tool_calls) {
      characters += call.name.size() + call.arguments.size();
    }
  }
  for (const json::value& tool : request.tools) characters += model::write_json(tool).size();
  return static_cast<int64_t>(characters / kCharactersPerToken);
}

}  // namespace om::api
