#include "api/ollama_request.h"

#include "api/openai_content.h"
#include "api/request_limits.h"
#include "base/base64.h"
#include "base/strings.h"
#include "model/request_fields.h"

namespace om::api {
namespace {

namespace json = boost::json;

void read_keep_alive(ObjectReader& reader, model::KeepAlive& target) {
  const json::value* value = reader.find("keep_alive");
  if (!value) return;
  Result<model::KeepAlive> parsed = model::parse_keep_alive(*value);
  if (parsed) target = *parsed;
  if (!parsed) reader.check(fail(std::move(parsed).error()));
}

// As browsers give it: "data:image/png;base64,...".
std::string_view without_data_prefix(std::string_view text) {
  constexpr std::string_view kMark = ";base64,";
  const size_t mark = text.starts_with("data:") ? text.find(kMark) : text.npos;
  return mark == text.npos ? text : text.substr(mark + kMark.size());
}

void read_images(ObjectReader& reader, std::vector<std::string>& target) {
  const json::array* images = reader.array("images", "[]api.ImageData");
  if (!images) return;
  for (const json::value& image : *images) {
    if (!image.is_string()) return reader.refuse("images", image, "api.ImageData");
    Result<std::string> bytes = base64_decode(without_data_prefix(image.get_string()));
    if (!bytes) return reader.check(fail(std::move(bytes).error()));
    target.push_back(std::move(*bytes));
  }
}

// A text, or a list of parts as OpenAI's API has them: some clients send all servers the same.
void read_content(ObjectReader& reader, model::Message& message) {
  const json::value* content = reader.find("content");
  const json::array* parts = content ? content->if_array() : nullptr;
  if (!parts) return reader.read("content", message.content);
  for (size_t i = 0; i < parts->size(); i++) {
    const json::object* part = (*parts)[i].if_object();
    if (!part) return reader.refuse("content", *content, "string");
    const Fields fields(*part, fmt::format("{}[{}]", reader.path("content"), i));
    reader.check(add_openai_part(fields, message));
  }
}

// An object, or its text.
void read_arguments(ObjectReader& reader, std::string& target) {
  const json::value* value = reader.find("arguments");
  if (value && !value->is_object() && !value->is_string()) {
    return reader.refuse("arguments", *value, "map[string]interface {}");
  }
  target = past_arguments(value);
}

void read_tool_calls(ObjectReader& reader, std::vector<model::ToolCall>& target) {
  const json::array* calls = reader.array("tool_calls", "[]api.ToolCall");
  if (!calls) return;
  for (const json::value& item : *calls) {
    ObjectReader call_reader("ChatRequest", item, reader.path("tool_calls"));
    model::ToolCall call;
    call_reader.read("id", call.id);
    if (const json::value* function = call_reader.find("function")) {
      ObjectReader function_reader("ChatRequest", *function, call_reader.path("function"));
      function_reader.read("name", call.name);
      read_arguments(function_reader, call.arguments);
      call_reader.check(function_reader.done());
    }
    if (call.arguments.empty()) call.arguments = "{}";
    reader.check(call_reader.done());
    target.push_back(std::move(call));
  }
}

model::Message read_message(ObjectReader& reader) {
  model::Message message;
  reader.read("role", message.role);
  message.role = to_lower(message.role);
  read_content(reader, message);
  reader.read("thinking", message.thinking);
  read_images(reader, message.images);
  read_tool_calls(reader, message.tool_calls);
  reader.read("tool_name", message.tool_name);
  reader.read("tool_call_id", message.tool_call_id);
  return message;
}

template <class Value, class Parse>
void read_with(ObjectReader& reader, std::string_view name, Value& target, Parse parse) {
  const json::value* value = reader.find(name);
  if (!value) return;
  auto parsed = parse(*value);
  if (parsed) {
    target = std::move(*parsed);
  } else {
    reader.check(fail(std::move(parsed).error()));
  }
}

void read_common(ObjectReader& reader, model::RequestCommon& common) {
  reader.read("model", common.model);
  reader.read("stream", common.stream);
  read_with(reader, "format", common.format, model::parse_format);
  read_with(reader, "think", common.think, model::parse_think);
  read_keep_alive(reader, common.keep_alive);
  reader.read("options", common.options);
  reader.read("truncate", common.truncate);
  reader.read("shift", common.shift);
  reader.read("logprobs", common.logprobs.enabled);
  reader.read("top_logprobs", common.logprobs.top);
  reader.read("_debug_render_only", common.debug_render_only);
  reader.check(check_top_logprobs(common.logprobs.top));
}

}  // namespace

std::string read_model_name(ObjectReader& reader) {
  std::string name;
  reader.read("name", name);
  std::string model;
  reader.read("model", model);
  return model.empty() ? name : model;
}

std::vector<model::Message> read_messages(ObjectReader& reader, std::string_view name) {
  std::vector<model::Message> messages;
  const json::array* items = reader.array(name, "[]api.Message");
  if (!items) return messages;
  if (auto few = check_list_size(*items, kMessagesMax, name); !few) {
    reader.check(std::move(few));
    return messages;
  }
  messages.reserve(items->size());
  for (const json::value& item : *items) {
    ObjectReader message_reader("ChatRequest", item, std::string(name));
    messages.push_back(read_message(message_reader));
    reader.check(message_reader.done());
  }
  reader.check(check_messages(messages));
  return messages;
}

Result<model::ChatRequest> read_chat_request(const json::value& body) {
  ObjectReader reader("ChatRequest", body);
  model::ChatRequest request;
  read_common(reader, request.common);
  request.messages = read_messages(reader, "messages");
  if (const json::array* tools = reader.array("tools", "api.Tools")) {
    TRY_VOID(check_list_size(*tools, kToolsMax, "tools"));
    for (const json::value& tool : *tools) {
      if (!tool.is_object()) reader.refuse("tools", tool, "api.Tool");
      request.tools.push_back(tool);
    }
  }
  TRY_VOID(reader.done());
  return request;
}

Result<model::GenerateRequest> read_generate_request(const json::value& body) {
  ObjectReader reader("GenerateRequest", body);
  model::GenerateRequest request;
  read_common(reader, request.common);
  reader.read("prompt", request.prompt);
  reader.read("suffix", request.suffix);
  reader.read("system", request.system);
  reader.read("template", request.template_text);
  reader.read("context", request.context);
  reader.read("raw", request.raw);
  read_images(reader, request.images);
  reader.check(check_images(request.images.size()));
  TRY_VOID(reader.done());
  return request;
}

Result<model::EmbedRequest> read_embed_request(const json::value& body) {
  ObjectReader reader("EmbedRequest", body);
  model::EmbedRequest request;
  reader.read("model", request.model);
  read_keep_alive(reader, request.keep_alive);
  reader.read("truncate", request.truncate);
  reader.read("dimensions", request.dimensions);
  reader.read("options", request.options);
  TRY_VOID(reader.done());
  const json::value* input = reader.find("input");
  if (!input) return request;
  if (input->is_string()) {
    if (!input->get_string().empty()) request.input.emplace_back(input->get_string());
    return request;
  }
  if (!input->is_array()) return fail(Errc::invalid_argument, "invalid input type");
  for (const json::value& text : input->get_array()) {
    if (!text.is_string()) return fail(Errc::invalid_argument, "invalid input type");
    request.input.emplace_back(text.get_string());
  }
  return request;
}

Result<model::EmbedRequest> read_embeddings_request(const json::value& body) {
  ObjectReader reader("EmbeddingRequest", body);
  model::EmbedRequest request;
  request.normalize = false;
  std::string prompt;
  reader.read("model", request.model);
  reader.read("prompt", prompt);
  read_keep_alive(reader, request.keep_alive);
  reader.read("options", request.options);
  TRY_VOID(reader.done());
  if (!prompt.empty()) request.input.push_back(std::move(prompt));
  return request;
}

}  // namespace om::api
