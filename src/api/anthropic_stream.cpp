#include "api/anthropic_stream.h"

#include "model/json_text.h"

namespace om::api {

namespace {

std::string quoted(std::string_view text) {
  std::string out;
  model::write_json_string(out, text);
  return out;
}

void event(std::string& out, std::string_view type, std::string_view members) {
  out += fmt::format("event: {0}\ndata: {{\"type\":\"{0}\"{1}{2}}}\n\n", type,
                     members.empty() ? "" : ",", members);
}

std::string head_members(const MessageHead& head) {
  return fmt::format(R"("id":{},"type":"message","role":"assistant","model":{})", quoted(head.id),
                     quoted(head.model));
}

std::string usage(int64_t input_tokens, int64_t output_tokens) {
  return fmt::format(R"({{"input_tokens":{},"output_tokens":{},"cache_creation_input_tokens":0,)"
                     R"("cache_read_input_tokens":0}})",
                     input_tokens, output_tokens);
}

std::string stop_members(model::DoneReason reason, bool has_tool_calls,
                         std::string_view stop_sequence) {
  std::string_view why = stop_reason(reason, has_tool_calls, stop_sequence);
  return fmt::format(R"("stop_reason":"{}","stop_sequence":{})", why,
                     why == "stop_sequence" ? quoted(stop_sequence) : "null");
}

// Nothing is signed here, but clients drop thoughts that come without a signature.
constexpr std::string_view kSignature = "none";

std::string thinking_block(std::string_view text, std::string_view signature) {
  return fmt::format(R"({{"type":"thinking","thinking":{},"signature":"{}"}})", quoted(text),
                     signature);
}

std::string text_block(std::string_view text) {
  return fmt::format(R"({{"type":"text","text":{}}})", quoted(text));
}

std::string tool_block(const model::ToolCall& call, std::string_view input) {
  return fmt::format(R"({{"type":"tool_use","id":{},"name":{},"input":{}}})", quoted(call.id),
                     quoted(call.name), input);
}

}  // namespace

std::string_view stop_reason(model::DoneReason reason, bool has_tool_calls,
                             std::string_view stop_sequence) {
  if (reason == model::DoneReason::length) return "max_tokens";
  if (has_tool_calls) return "tool_use";
  return stop_sequence.empty() ? "end_turn" : "stop_sequence";
}

std::string message_reply(const MessageHead& head, const GatheredAnswer& answer) {
  std::vector<std::string> blocks;
  if (!answer.thinking.empty()) blocks.push_back(thinking_block(answer.thinking, kSignature));
  if (!answer.content.empty()) blocks.push_back(text_block(answer.content));
  for (const model::ToolCall& call : answer.tool_calls) {
    blocks.push_back(tool_block(call, call.arguments.empty() ? "{}" : call.arguments));
  }
  return fmt::format(R"({{{},"content":[{}],{},"usage":{}}})", head_members(head),
                     fmt::join(blocks, ","),
                     stop_members(answer.reason, !answer.tool_calls.empty(), answer.stop_sequence),
                     usage(answer.usage.prompt_tokens, answer.usage.output_tokens));
}

std::string MessageStream::begin() {
  std::string out;
  if (std::exchange(begun_, true)) return out;
  event(out, "message_start",
        fmt::format(
            R"("message":{{{},"content":[],"stop_reason":null,"stop_sequence":null,"usage":{}}})",
            head_members(head_), usage(head_.input_tokens_estimate, 0)));
  return out;
}

void MessageStream::open(std::string& out, Open kind) {
  if (open_ == kind) return;
  close(out);
  open_ = kind;
  event(out, "content_block_start",
        fmt::format(R"("index":{},"content_block":{})", index_,
                    kind == Open::thinking ? thinking_block("", "") : text_block("")));
}

void MessageStream::close(std::string& out) {
  if (open_ == Open::none) return;
  if (open_ == Open::thinking) delta(out, "signature_delta", "signature", kSignature);
  event(out, "content_block_stop", fmt::format(R"("index":{})", index_));
  index_++;
  open_ = Open::none;
}

void MessageStream::delta(std::string& out, std::string_view type, std::string_view member,
                          std::string_view text) const {
  event(out, "content_block_delta",
        fmt::format(R"("index":{},"delta":{{"type":"{}","{}":{}}})", index_, type, member,
                    quoted(text)));
}

void MessageStream::add_call(std::string& out, const model::ToolCall& call) {
  close(out);
  called_ = true;
  event(out, "content_block_start",
        fmt::format(R"("index":{},"content_block":{})", index_, tool_block(call, "{}")));
  delta(out, "input_json_delta", "partial_json", call.arguments.empty() ? "{}" : call.arguments);
  event(out, "content_block_stop", fmt::format(R"("index":{})", index_));
  index_++;
}

void MessageStream::finish(std::string& out, const model::Chunk& chunk) {
  close(out);
  event(out, "message_delta",
        fmt::format(R"("delta":{{{}}},"usage":{})",
                    stop_members(chunk.reason, called_, chunk.stop_sequence),
                    usage(chunk.usage.prompt_tokens, chunk.usage.output_tokens)));
  event(out, "message_stop", "");
}

std::string MessageStream::add(const model::Chunk& chunk) {
  std::string out;
  if (!chunk.thinking.empty()) {
    open(out, Open::thinking);
    delta(out, "thinking_delta", "thinking", chunk.thinking);
  }
  if (!chunk.content.empty()) {
    open(out, Open::text);
    delta(out, "text_delta", "text", chunk.content);
  }
  for (const model::ToolCall& call : chunk.tool_calls) add_call(out, call);
  if (chunk.done) finish(out, chunk);
  return out;
}

}  // namespace om::api
