#include "model/messages.h"

#include "base/base64.h"
#include "base/json_fields.h"
#include "model/json_text.h"

namespace om::model {
namespace {

constexpr size_t kMessagesMax = 100'000;

boost::json::object tool_call_to_json(const ToolCall& call) {
  boost::json::object function;
  function["name"] = call.name;
  boost::system::error_code error;
  auto arguments = boost::json::parse(call.arguments, error);
  function["arguments"] =
      error || !arguments.is_object() ? boost::json::value(boost::json::object()) : arguments;
  boost::json::object object;
  if (!call.id.empty()) object["id"] = call.id;
  object["function"] = std::move(function);
  return object;
}

Result<ToolCall> parse_tool_call(const boost::json::value& value) {
  const auto* object = value.if_object();
  const auto* found = object ? object->if_contains("function") : nullptr;
  const auto* function = found ? found->if_object() : nullptr;
  if (!function) return fail(Errc::corrupt, "messages: a tool call has no function");
  ToolCall call;
  call.id = JsonFields(*object).text("id");
  call.name = JsonFields(*function).text("name");
  const auto* arguments = function->if_contains("arguments");
  call.arguments = arguments && arguments->is_object() ? write_json(*arguments) : "{}";
  return call;
}

Result<Message> parse_message(const boost::json::value& value) {
  const auto* object = value.if_object();
  if (!object) return fail(Errc::corrupt, "messages: an entry is not an object");
  const JsonFields fields(*object);
  Message message;
  message.role = fields.text("role");
  message.content = fields.text("content");
  message.thinking = fields.text("thinking");
  message.tool_name = fields.text("tool_name");
  message.tool_call_id = fields.text("tool_call_id");
  const auto* images = object->if_contains("images");
  if (images && images->is_array()) {
    for (const auto& image : images->get_array()) {
      if (!image.is_string()) return fail(Errc::corrupt, "messages: an image is not a string");
      auto bytes = base64_decode(image.get_string());
      if (!bytes) return fail(Errc::corrupt, "messages: {}", bytes.error().what);
      message.images.push_back(std::move(*bytes));
    }
  }
  const auto* calls = object->if_contains("tool_calls");
  if (calls && calls->is_array()) {
    for (const auto& entry : calls->get_array()) {
      TRY(auto call, parse_tool_call(entry));
      message.tool_calls.push_back(std::move(call));
    }
  }
  return message;
}

}  // namespace

std::string messages_to_json(const std::vector<Message>& messages) {
  boost::json::array list;
  for (const Message& message : messages) {
    boost::json::object object;
    object["role"] = message.role;
    object["content"] = message.content;
    if (!message.thinking.empty()) object["thinking"] = message.thinking;
    if (!message.images.empty()) {
      boost::json::array images;
      for (const std::string& image : message.images) images.emplace_back(base64_encode(image));
      object["images"] = std::move(images);
    }
    if (!message.tool_calls.empty()) {
      boost::json::array calls;
      for (const ToolCall& call : message.tool_calls) calls.push_back(tool_call_to_json(call));
      object["tool_calls"] = std::move(calls);
    }
    if (!message.tool_name.empty()) object["tool_name"] = message.tool_name;
    if (!message.tool_call_id.empty()) object["tool_call_id"] = message.tool_call_id;
    list.push_back(std::move(object));
  }
  return write_json(list) + '\n';
}

Result<std::vector<Message>> parse_messages(std::string_view json) {
  boost::system::error_code error;
  auto value = boost::json::parse(json, error);
  if (error) return fail(Errc::corrupt, "messages: {}", error.message());
  std::vector<Message> messages;
  if (value.is_null()) return messages;
  if (!value.is_array()) return fail(Errc::corrupt, "messages: not a list");
  if (value.get_array().size() > kMessagesMax) {
    return fail(Errc::corrupt, "messages: more than {}", kMessagesMax);
  }
  for (const auto& entry : value.get_array()) {
    TRY(auto message, parse_message(entry));
    messages.push_back(std::move(message));
  }
  return messages;
}

}  // namespace om::model
