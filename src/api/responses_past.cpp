#include "api/responses_past.h"

#include <algorithm>

#include "api/openai_content.h"
#include "api/responses_request.h"
#include "model/json_text.h"

namespace om::api {

namespace json = boost::json;

namespace {

// Their results, if there are any, are in the messages that follow.
constexpr std::string_view kWordless[] = {
    "web_search_call",      "file_search_call",      "tool_search_call", "tool_search_output",
    "mcp_approval_request", "mcp_approval_response", "mcp_list_tools",   "compaction_trigger"};

struct Note {
  std::string_view type, role, text;
};
constexpr std::string_view kCompacted =
    "[an earlier part of the conversation, which only its maker can read]";
constexpr Note kNotes[] = {{.type = "compaction", .role = "user", .text = kCompacted},
                           {.type = "context_compaction", .role = "user", .text = kCompacted},
                           {.type = "image_generation_call",
                            .role = "assistant",
                            .text = "[an image was made, which this model cannot see]"}};

// What was run on the client's side: the call, what it is named here, and its member that tells
// what was run. The result comes as TYPE_output.
struct Call {
  std::string_view type, name, member;
};
constexpr Call kCalls[] = {
    {.type = "local_shell_call", .name = "local_shell", .member = "action"},
    {.type = "shell_call", .name = "shell", .member = "action"},
    {.type = "apply_patch_call", .name = "apply_patch", .member = "operation"},
    {.type = "computer_call", .name = "computer", .member = "action"}};

template <class Entry, size_t count>
const Entry* find_type(const Entry (&entries)[count], std::string_view type) {
  const auto found = std::ranges::find(entries, type, &Entry::type);
  return found == std::end(entries) ? nullptr : &*found;
}

// A text as it is, else its JSON.
std::string text_of(const Fields& item, std::string_view member) {
  const json::value* value = item.find(member);
  if (!value) return {};
  return value->is_string() ? std::string(value->get_string()) : model::write_json(*value);
}

// Some tell only the item's own id.
Result<std::string> call_id_of(const Fields& item) {
  TRY(auto call_id, item.string("call_id"));
  TRY(auto id, item.string("id"));
  return call_id.value_or(id.value_or(""));
}

Result<void> add_call(const Fields& item, std::string_view name, std::string arguments,
                      std::vector<model::Message>& messages) {
  model::ToolCall call{.name = std::string(name), .arguments = std::move(arguments)};
  TRY(call.id, call_id_of(item));
  last_turn(messages, true).tool_calls.push_back(std::move(call));
  return {};
}

Result<void> add_result(const Fields& item, std::string text,
                        std::vector<model::Message>& messages) {
  model::Message result{.role = "tool", .content = std::move(text)};
  TRY(result.tool_call_id, call_id_of(item));
  messages.push_back(std::move(result));
  return {};
}

std::string arguments_of(const Fields& item, std::string_view member) {
  const json::value* value = item.find(member);
  if (value && value->is_object()) return model::write_json(*value);
  return model::write_json(json::object{{member, value ? *value : json::value()}});
}

// Both in one item.
Result<void> add_mcp_call(const Fields& item, std::vector<model::Message>& messages) {
  TRY(const std::string name, item.required_string("name"));
  TRY_VOID(add_call(item, name, past_arguments(item.find("arguments")), messages));
  std::string output = text_of(item, "output");
  if (item.has("error")) output += "Error: " + text_of(item, "error");
  return add_result(item, std::move(output), messages);
}

Result<void> add_code_call(const Fields& item, std::vector<model::Message>& messages) {
  TRY_VOID(add_call(item, "code_interpreter", arguments_of(item, "code"), messages));
  return add_result(item, text_of(item, "outputs"), messages);
}

// What one of Codex's agents tells another.
Result<void> add_agent_message(const Fields& item, std::vector<model::Message>& messages) {
  TRY(const auto author, item.string("author"));
  model::Message message{.role = "user", .content = author.value_or("an agent") + ":"};
  const json::value* content = item.find("content");
  if (content && content->is_string()) {
    message.content += ' ' + text_of(item, "content");
  } else {
    TRY(const json::array* parts, item.array("content"));
    for (size_t i = 0; parts && i < parts->size(); i++) {
      TRY(auto part, Fields::of((*parts)[i], fmt::format("{}[{}]", item.where("content"), i)));
      TRY(const auto text, part.string("text"));
      message.content += ' ' + text.value_or("[a part that only its maker can read]");
    }
  }
  messages.push_back(std::move(message));
  return {};
}

Result<bool> done(Result<void> added) {
  TRY_VOID(std::move(added));
  return true;
}

}  // namespace

Result<bool> add_past_item(const Fields& item, std::string_view type,
                           std::vector<model::Message>& messages) {
  if (std::ranges::find(kWordless, type) != std::end(kWordless)) return true;
  if (const Note* note = find_type(kNotes, type)) {
    messages.push_back({.role = std::string(note->role), .content = std::string(note->text)});
    return true;
  }
  if (const Call* call = find_type(kCalls, type)) {
    return done(add_call(item, call->name, arguments_of(item, call->member), messages));
  }
  if (type == "mcp_call") return done(add_mcp_call(item, messages));
  if (type == "agent_message") return done(add_agent_message(item, messages));
  if (type == "code_interpreter_call") return done(add_code_call(item, messages));
  if (type == "computer_call_output") {
    return done(
        add_result(item, "[a picture of the screen, which this model cannot see]", messages));
  }
  constexpr std::string_view kOutput = "_output";
  if (type.ends_with(kOutput) && find_type(kCalls, type.substr(0, type.size() - kOutput.size()))) {
    return done(add_result(item, text_of(item, "output"), messages));
  }
  // Clients get new types before we know them. One that carries nothing to read is no reason to end
  // the conversation that it stands in from now on.
  return item.has_only({"type", "id", "status", "encrypted_content"});
}

}  // namespace om::api
