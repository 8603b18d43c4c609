#include "api/responses_stream.h"

#include "api/error.h"
#include "api/openai_logprobs.h"
#include "model/json_text.h"

namespace om::api {

namespace json = boost::json;
using model::write_json_string;

namespace {

std::string quoted(std::string_view text) {
  std::string out;
  write_json_string(out, text);
  return out;
}

std::string summary_part(std::string_view text) {
  return fmt::format(R"({{"type":"summary_text","text":{}}})", quoted(text));
}

// What a call brings, and the member that it stands in.
std::string text_of(const model::ToolCall& call, const ClientTool& tool) {
  return tool.is_custom ? custom_input(call.arguments) : call.arguments;
}
std::string_view member_of(const ClientTool& tool) {
  return tool.is_custom ? "input" : "arguments";
}

std::string call_item(std::string_view id, const model::ToolCall& call, const ClientTool& tool,
                      std::string_view text, std::string_view status) {
  std::string out = fmt::format(R"({{"id":{},"type":"{}","status":"{}","call_id":{},"name":{})",
                                quoted(id), tool.is_custom ? "custom_tool_call" : "function_call",
                                status, quoted(call.id), quoted(tool.name));
  if (!tool.name_space.empty()) out += R"(,"namespace":)" + quoted(tool.name_space);
  return out + fmt::format(R"(,"{}":{}}})", member_of(tool), quoted(text));
}

std::string logprob_list(const std::vector<model::Logprob>& logprobs) {
  std::string out;
  write_logprob_list(out, logprobs);
  return out;
}

}  // namespace

ResponseStream::ResponseStream(ReplyHead head, json::object echo, ClientTools tools)
    : head_(std::move(head)), echo_(std::move(echo)), tools_(std::move(tools)) {}

void ResponseStream::event(std::string& out, std::string_view type, std::string_view members) {
  out += fmt::format("event: {0}\ndata: {{\"type\":\"{0}\",\"sequence_number\":{1},{2}}}\n\n", type,
                     sequence_++, members);
}

void ResponseStream::response_event(std::string& out, std::string_view type) {
  event(out, type, "\"response\":" + response());
}

void ResponseStream::item_event(std::string& out, std::string_view type, std::string_view item) {
  event(out, type, fmt::format(R"("output_index":{},"item":{})", items_.size(), item));
}

std::string ResponseStream::place() const {
  return fmt::format(R"("item_id":{},"output_index":{})", quoted(item_id_), items_.size());
}

std::string ResponseStream::response() const {
  std::string out = fmt::format(
      R"({{"id":{},"object":"response","created_at":{},"completed_at":{},"status":"{}","error":)",
      quoted(head_.id), head_.created, completed_ ? fmt::format("{}", *completed_) : "null",
      status_);
  if (status_ == "failed") {
    out += fmt::format("{{{}}}", failure_);
  } else {
    out += "null";
  }
  out += R"(,"incomplete_details":)";
  out += status_ == "incomplete" ? R"({"reason":"max_output_tokens"})" : "null";
  out += fmt::format(R"(,"model":{},"output":[)", quoted(head_.model));
  for (const Item& item : items_) {
    if (&item != &items_.front()) out += ',';
    out += item.text;
  }
  out += R"(],"usage":)";
  if (status_ == "completed" || status_ == "incomplete") {
    out += fmt::format(R"({{"input_tokens":{},"input_tokens_details":{{"cached_tokens":{},)"
                       R"("cache_write_tokens":0}},"output_tokens":{},)"
                       R"("output_tokens_details":{{"reasoning_tokens":{}}},"total_tokens":{}}})",
                       usage_.prompt_tokens, usage_.cached_tokens, usage_.output_tokens,
                       usage_.reasoning_tokens, usage_.prompt_tokens + usage_.output_tokens);
  } else {
    out += "null";
  }
  for (const auto& [name, value] : echo_) {
    out += fmt::format(",{}:{}", quoted(name), model::write_json(value));
  }
  out += '}';
  return out;
}

std::string ResponseStream::keepalive() {
  return fmt::format(
      "event: keepalive\ndata: {{\"type\":\"keepalive\",\"sequence_number\":{}}}\n\n", sequence_++);
}

std::string ResponseStream::begin() {
  std::string out;
  if (sequence_ > 0) return out;
  response_event(out, "response.created");
  response_event(out, "response.in_progress");
  return out;
}

std::string ResponseStream::text_part() const {
  return fmt::format(R"({{"type":"output_text","text":{},"annotations":[],"logprobs":{}}})",
                     quoted(text_), logprob_list(logprobs_));
}

std::string ResponseStream::open_item(std::string_view status) const {
  if (open_ == Open::reasoning) {
    return fmt::format(R"({{"id":{},"type":"reasoning","status":"{}","summary":[{}]}})",
                       quoted(item_id_), status, text_.empty() ? "" : summary_part(text_));
  }
  return fmt::format(
      R"({{"id":{},"type":"message","status":"{}","role":"assistant","content":[{}]}})",
      quoted(item_id_), status, status == "in_progress" ? "" : text_part());
}

void ResponseStream::open(std::string& out, Open kind) {
  if (open_ == kind) return;
  close(out);
  open_ = kind;
  text_.clear();
  logprobs_.clear();
  std::string_view suffix = std::string_view(head_.id).substr(head_.id.find('_') + 1);
  item_id_ = fmt::format("{}_{}_{}", kind == Open::reasoning ? "rs" : "msg", suffix, items_.size());
  item_event(out, "response.output_item.added", open_item("in_progress"));
  if (kind == Open::reasoning) {
    event(out, "response.reasoning_summary_part.added",
          fmt::format(R"({},"summary_index":0,"part":{})", place(), summary_part("")));
  } else {
    event(out, "response.content_part.added",
          fmt::format(R"({},"content_index":0,"part":{})", place(), text_part()));
  }
}

void ResponseStream::close(std::string& out) {
  if (open_ == Open::none) return;
  if (open_ == Open::reasoning) {
    event(out, "response.reasoning_summary_text.done",
          fmt::format(R"({},"summary_index":0,"text":{})", place(), quoted(text_)));
    event(out, "response.reasoning_summary_part.done",
          fmt::format(R"({},"summary_index":0,"part":{})", place(), summary_part(text_)));
  } else {
    event(out, "response.output_text.done",
          fmt::format(R"({},"content_index":0,"text":{},"logprobs":{})", place(), quoted(text_),
                      logprob_list(logprobs_)));
    event(out, "response.content_part.done",
          fmt::format(R"({},"content_index":0,"part":{})", place(), text_part()));
  }
  // Only the item in which the limit struck is incomplete.
  std::string item = open_item(status_ == "incomplete" ? "incomplete" : "completed");
  item_event(out, "response.output_item.done", item);
  items_.push_back({item_id_, std::move(item)});
  open_ = Open::none;
}

void ResponseStream::add_thinking(std::string& out, std::string_view text) {
  open(out, Open::reasoning);
  text_ += text;
  event(out, "response.reasoning_summary_text.delta",
        fmt::format(R"({},"summary_index":0,"delta":{})", place(), quoted(text)));
}

void ResponseStream::add_content(std::string& out, const model::Chunk& chunk) {
  open(out, Open::message);
  text_ += chunk.content;
  logprobs_.insert(logprobs_.end(), chunk.logprobs.begin(), chunk.logprobs.end());
  event(out, "response.output_text.delta",
        fmt::format(R"({},"content_index":0,"delta":{},"logprobs":{})", place(),
                    quoted(chunk.content), logprob_list(chunk.logprobs)));
}

void ResponseStream::add_call(std::string& out, const model::ToolCall& call) {
  close(out);
  const auto known = tools_.find(call.name);
  const ClientTool tool = known != tools_.end() ? known->second : ClientTool{.name = call.name};
  const std::string text = text_of(call, tool);
  const std::string type =
      tool.is_custom ? "response.custom_tool_call_input" : "response.function_call_arguments";
  const std::string name = tool.is_custom ? "" : R"("name":)" + quoted(tool.name) + ",";
  std::string_view suffix = std::string_view(head_.id).substr(head_.id.find('_') + 1);
  item_id_ = fmt::format("{}_{}_{}", tool.is_custom ? "ctc" : "fc", suffix, items_.size());
  item_event(out, "response.output_item.added", call_item(item_id_, call, tool, "", "in_progress"));
  event(out, type + ".delta", fmt::format(R"({},"delta":{})", place(), quoted(text)));
  event(out, type + ".done",
        fmt::format(R"({},{}"{}":{})", place(), name, member_of(tool), quoted(text)));
  std::string item = call_item(item_id_, call, tool, text, "completed");
  item_event(out, "response.output_item.done", item);
  items_.push_back({item_id_, std::move(item)});
}

void ResponseStream::finish(std::string& out, const model::Chunk& chunk) {
  bool cut = chunk.reason == model::DoneReason::length;
  status_ = cut ? "incomplete" : "completed";
  if (!cut) {
    const auto total = std::chrono::round<std::chrono::seconds>(chunk.usage.total);
    completed_ = head_.created + total.count();
  }
  usage_.add(chunk.usage, true);
  // A response without any output is hard to read for clients: it holds an empty message.
  if (items_.empty() && open_ == Open::none) open(out, Open::message);
  close(out);
  response_event(out, cut ? "response.incomplete" : "response.completed");
}

std::string ResponseStream::add(const model::Chunk& chunk) {
  std::string out;
  if (!chunk.thinking.empty()) add_thinking(out, chunk.thinking);
  // Probabilities of a token whose text is held back come with empty content.
  bool more_logprobs = !chunk.logprobs.empty() && open_ == Open::message;
  if (!chunk.content.empty() || more_logprobs) add_content(out, chunk);
  for (const model::ToolCall& call : chunk.tool_calls) add_call(out, call);
  if (chunk.done) finish(out, chunk);
  return out;
}

std::string ResponseStream::fail(std::string_view message) {
  const ErrorWords words = error_words(ErrorShape::openai, message);
  status_ = "failed";
  failure_ = fmt::format(R"("code":"{}","message":{})",
                         words.code.empty() ? "server_error" : words.code, quoted(words.message));
  std::string out;
  event(out, "error", failure_ + R"(,"param":null)");
  response_event(out, "response.failed");
  return out;
}

}  // namespace om::api
