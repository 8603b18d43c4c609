#include "api/openai_content.h"

#include <algorithm>
#include <map>
#include <set>

#include "api/json_input.h"
#include "base/base64.h"
#include "base/strings.h"
#include "model/json_text.h"

namespace om::api {

namespace json = boost::json;

namespace {

Result<void> add_image_part(const Fields& part, model::Message& message) {
  const json::value* image = part.find("image_url");
  if (!image) return fail(Errc::invalid_argument, "'{}' is required", part.where("image_url"));
  std::string url;
  if (image->is_string()) {
    url = std::string(image->get_string());
  } else {
    TRY(auto object, part.object("image_url"));
    TRY(url, object->required_string("url"));
  }
  TRY(auto bytes, decode_image_url(url));
  message.add_image(std::move(bytes));
  return {};
}

Result<void> add_audio_part(const Fields& part, model::Message& message) {
  TRY(auto audio, part.object("input_audio"));
  if (!audio) return fail(Errc::invalid_argument, "'{}' is required", part.where("input_audio"));
  TRY(auto data, audio->required_string("data"));
  TRY(auto bytes, base64_decode(data));
  message.add_image(std::move(bytes));
  return {};
}

void add_text(std::string_view text, model::Message& message) {
  if (!message.content.empty()) message.content += '\n';
  message.content += text;
}

Result<void> parse_content(const Fields& fields, model::Message& message) {
  const json::value* content = fields.find("content");
  if (!content) {
    // Clients send back what they gathered: nothing, of a turn that was cut while it thought or of
    // a tool that has no result. To refuse it would end the conversation.
    static constexpr std::string_view kMaySayNothing[] = {"assistant", "tool", "function"};
    if (std::ranges::find(kMaySayNothing, message.role) != std::end(kMaySayNothing)) return {};
    return fail(Errc::invalid_argument, "'{}' must be a string or a list of parts, not null",
                fields.where("content"));
  }
  if (content->is_string()) {
    message.content = std::string(content->get_string());
    return {};
  }
  if (!content->is_array()) {
    return fail(Errc::invalid_argument, "'{}' must be a string or a list of parts, not {}",
                fields.where("content"), kind_name(*content));
  }
  size_t index = 0;
  for (const json::value& item : content->get_array()) {
    TRY(auto part, Fields::of(item, fmt::format("{}[{}]", fields.where("content"), index++)));
    TRY_VOID(add_openai_part(part, message));
  }
  return {};
}

Result<void> parse_tool_calls(const Fields& fields, model::Message& message) {
  TRY(auto calls, fields.array("tool_calls"));
  if (!calls) return {};
  size_t index = 0;
  for (const json::value& item : *calls) {
    TRY(auto call, Fields::of(item, fmt::format("{}[{}]", fields.where("tool_calls"), index++)));
    TRY(auto function, call.object("function"));
    if (!function) return fail(Errc::invalid_argument, "'{}' is required", call.where("function"));
    model::ToolCall parsed;
    TRY(auto id, call.string("id"));
    parsed.id = id.value_or("");
    TRY(parsed.name, function->required_string("name"));
    parsed.arguments = past_arguments(function->find("arguments"));
    message.tool_calls.push_back(std::move(parsed));
  }
  return {};
}

Result<model::Message> parse_message(const Fields& fields) {
  model::Message message;
  TRY(message.role, fields.required_string("role"));
  message.role = to_lower(message.role);
  if (message.role == "developer") message.role = "system";
  TRY(auto reasoning, fields.string("reasoning"));
  TRY(auto reasoning_content, fields.string("reasoning_content"));
  message.thinking = reasoning ? std::move(*reasoning) : reasoning_content.value_or("");
  TRY_VOID(parse_content(fields, message));
  TRY_VOID(parse_tool_calls(fields, message));
  TRY(auto call_id, fields.string("tool_call_id"));
  message.tool_call_id = call_id.value_or("");
  if (message.role == "tool" || message.role == "function") {
    message.role = "tool";
    TRY(auto name, fields.string("name"));
    message.tool_name = name.value_or("");
  }
  return message;
}

}  // namespace

Result<void> add_openai_part(const Fields& part, model::Message& message) {
  TRY(auto type, part.required_string("type"));
  if (type == "text" || type == "input_text" || type == "output_text") {
    TRY(auto text, part.required_string("text"));
    add_text(text, message);
    return {};
  }
  if (type == "refusal") {
    TRY(auto text, part.required_string("refusal"));
    add_text(text, message);
    return {};
  }
  // Of turns that another server answered.
  if (type == "thinking" || type == "reasoning") {
    const json::value* told = part.find(type);
    const json::value* text = told ? told : part.find("text");
    if (text && text->is_string()) message.thinking += std::string_view(text->get_string());
    return {};
  }
  if (type == "file" || type == "input_file") {
    add_text("[a file that this model cannot read]", message);
    return {};
  }
  if (type == "image_url" || type == "input_image") return add_image_part(part, message);
  if (type == "input_audio") return add_audio_part(part, message);
  return fail(Errc::invalid_argument, "'{}' is of type \"{}\", which is not supported",
              part.where("type"), type);
}

Result<std::vector<model::Message>> parse_openai_messages(const json::array& messages) {
  std::vector<model::Message> parsed;
  parsed.reserve(messages.size());
  for (size_t i = 0; i < messages.size(); i++) {
    TRY(auto fields, Fields::of(messages[i], fmt::format("messages[{}]", i)));
    TRY(auto message, parse_message(fields));
    parsed.push_back(std::move(message));
  }
  name_tool_results(parsed);
  return parsed;
}

void name_tool_results(std::vector<model::Message>& messages) {
  std::map<std::string, std::string> names;
  for (model::Message& message : messages) {
    for (const model::ToolCall& call : message.tool_calls) {
      if (!call.id.empty()) names[call.id] = call.name;
    }
    if (message.role != "tool" || !message.tool_name.empty()) continue;
    if (auto found = names.find(message.tool_call_id); found != names.end()) {
      message.tool_name = found->second;
    }
  }
}

std::string past_arguments(const json::value* given) {
  if (!given || given->is_null()) return "{}";
  if (given->is_object()) return model::write_json(*given);
  if (const json::string* text = given->if_string()) {
    boost::system::error_code failed;
    const json::value read = json::parse(*text, failed);
    if (!failed && read.is_object()) return std::string(*text);
    if (trim(*text).empty() || (!failed && read.is_null())) return "{}";
  }
  return model::write_json(json::object{{"arguments", *given}});
}

std::string_view tool_function_name(const json::value& tool) {
  const json::object* object = tool.if_object();
  const json::value* function = object ? object->if_contains("function") : nullptr;
  const json::object* inner = function ? function->if_object() : nullptr;
  const json::value* name = inner ? inner->if_contains("name") : nullptr;
  return name && name->is_string() ? std::string_view(name->get_string()) : std::string_view();
}

Result<std::vector<json::value>> parse_openai_tools(const json::array& tools) {
  std::vector<json::value> parsed;
  parsed.reserve(tools.size());
  for (size_t i = 0; i < tools.size(); i++) {
    TRY(auto tool, Fields::of(tools[i], fmt::format("tools[{}]", i)));
    TRY(auto type, tool.string("type"));
    if (type.value_or("function") != "function") {
      return fail(Errc::invalid_argument,
                  "'tools[{}].type' is \"{}\": only tools of type \"function\" are supported", i,
                  *type);
    }
    TRY(auto function, tool.object("function"));
    if (!function) {
      return fail(Errc::invalid_argument, "'{}' is required", tool.where("function"));
    }
    TRY(auto name, function->required_string("name"));
    if (name.empty()) {
      return fail(Errc::invalid_argument, "'{}' is empty", function->where("name"));
    }
    TRY_VOID(function->string("description"));
    TRY_VOID(function->object("parameters"));
    json::value copy = tools[i];
    copy.get_object()["type"] = "function";
    parsed.push_back(std::move(copy));
  }
  return parsed;
}

namespace {

Result<void> check_among(std::string_view wanted, const std::vector<json::value>& tools) {
  if (std::ranges::find(tools, wanted, tool_function_name) != tools.end()) return {};
  return fail(Errc::invalid_argument, "'tool_choice' names \"{}\", which is not among the tools",
              wanted);
}

Result<std::string> name_in_choice(const Fields& entry) {
  TRY(auto type, entry.string("type"));
  if (type.value_or("function") != "function") {
    return fail(Errc::invalid_argument, "'{}' is \"{}\", which is not supported",
                entry.where("type"), *type);
  }
  TRY(auto function, entry.object("function"));
  return (function ? *function : entry).required_string("name");
}

// The others are not told to the model at all.
Result<std::string> keep_allowed(const Fields& choice, std::vector<json::value>& tools) {
  TRY(auto mode, choice.required_string("mode"));
  if (mode != "auto" && mode != "required") {
    return fail(Errc::invalid_argument, "'{}' must be \"auto\" or \"required\", not \"{}\"",
                choice.where("mode"), mode);
  }
  TRY(const json::array* entries, choice.array("tools"));
  if (!entries) return fail(Errc::invalid_argument, "'{}' is required", choice.where("tools"));
  std::set<std::string, std::less<>> allowed;
  for (size_t i = 0; i < entries->size(); i++) {
    TRY(auto entry, Fields::of((*entries)[i], fmt::format("{}[{}]", choice.where("tools"), i)));
    TRY(auto name, name_in_choice(entry));
    TRY_VOID(check_among(name, tools));
    allowed.insert(std::move(name));
  }
  std::erase_if(
      tools, [&](const json::value& tool) { return !allowed.contains(tool_function_name(tool)); });
  return mode;
}

}  // namespace

Result<std::string> take_openai_tool_choice(const json::value& choice,
                                            std::vector<json::value>& tools) {
  std::string wanted;
  if (const json::object* object = choice.if_object();
      object && object->contains("type") && object->at("type") == "allowed_tools") {
    const Fields fields(*object, "tool_choice");
    TRY(auto nested, fields.object("allowed_tools"));
    TRY(wanted, keep_allowed(nested ? *nested : fields, tools));
  } else if (choice.is_string()) {
    wanted = std::string(choice.get_string());
    if (wanted != "auto" && wanted != "none" && wanted != "required") {
      return fail(
          Errc::invalid_argument,
          "'tool_choice' must be \"auto\", \"none\", \"required\" or a function, not \"{}\"",
          wanted);
    }
  } else {
    TRY(auto fields, Fields::of(choice, "tool_choice"));
    TRY(wanted, name_in_choice(fields));
    TRY_VOID(check_among(wanted, tools));
  }
  if (wanted == "required" && tools.empty()) {
    return fail(Errc::invalid_argument, "'tool_choice' is \"required\" but there are no tools");
  }
  return wanted;
}

Result<model::Think> parse_reasoning_effort(std::string_view effort) {
  static const std::map<std::string_view, std::string_view> kLevels = {
      {"none", ""},     {"minimal", "low"}, {"low", "low"},   {"medium", "medium"},
      {"high", "high"}, {"max", "max"},     {"xhigh", "max"}, {"ultra", "max"}};
  if (effort.empty()) return model::Think{};
  auto found = kLevels.find(effort);
  if (found == kLevels.end()) {
    return fail(Errc::invalid_argument,
                "invalid reasoning value: '{}' (must be none, minimal, low, medium, high, xhigh or "
                "max)",
                effort);
  }
  return model::Think{.is_set = true,
                      .enabled = !found->second.empty(),
                      .level = std::string(found->second),
                      .if_able = true};
}

Result<std::string> decode_image_url(std::string_view url) {
  if (url.starts_with("http://") || url.starts_with("https://")) {
    return fail(Errc::invalid_argument,
                "image URLs are not currently supported, please use base64 encoded data instead");
  }
  static constexpr std::string_view kPrefixes[] = {
      "data:image/jpeg;base64,", "data:image/jpg;base64,", "data:image/png;base64,",
      "data:image/webp;base64,", "data:image/gif;base64,", "data:;base64,"};
  for (std::string_view prefix : kPrefixes) {
    if (url.starts_with(prefix)) return base64_decode(url.substr(prefix.size()));
  }
  return fail(Errc::invalid_argument,
              "invalid image input: expected data:image/jpeg, png, webp or gif with ;base64,");
}

}  // namespace om::api
