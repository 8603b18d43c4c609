#include "api/openai_reply.h"

#include "api/openai_logprobs.h"
#include "model/json_text.h"

namespace om::api {

using model::write_json_string;

namespace {

constexpr std::string_view kFingerprint = "fp_ollama";
constexpr std::string_view kDone = "data: [DONE]\n\n";

std::string open_reply(const ReplyHead& head, std::string_view object) {
  std::string out = R"({"id":)";
  write_json_string(out, head.id);
  out += fmt::format(R"(,"object":"{}","created":{},"model":)", object, head.created);
  write_json_string(out, head.model);
  out += fmt::format(R"(,"system_fingerprint":"{}","choices":[)", kFingerprint);
  return out;
}

std::string open_event(const ReplyHead& head, std::string_view object) {
  return "data: " + open_reply(head, object);
}

// With the usage asked for, every event before the last says that it has none.
std::string_view close_event(bool include_usage) {
  return include_usage ? "],\"usage\":null}\n\n" : "]}\n\n";
}

void write_finish(std::string& out, std::string_view finish) {
  out += R"(,"finish_reason":)";
  if (finish.empty()) {
    out += "null";
  } else {
    write_json_string(out, finish);
  }
}

void write_tool_call(std::string& out, const model::ToolCall& call) {
  out += R"("id":)";
  write_json_string(out, call.id);
  out += R"(,"type":"function","function":{"name":)";
  write_json_string(out, call.name);
  out += R"(,"arguments":)";
  write_json_string(out, call.arguments);
  out += '}';
}

void write_member(std::string& out, std::string_view name, std::string_view text) {
  if (!out.empty()) out += ',';
  out.append("\"").append(name).append("\":");
  write_json_string(out, text);
}

void write_message(std::string& out, const GatheredAnswer& answer) {
  out += R"({"role":"assistant","content":)";
  if (answer.content.empty() && !answer.tool_calls.empty()) {
    out += "null";
  } else {
    write_json_string(out, answer.content);
  }
  if (!answer.thinking.empty()) {
    out += R"(,"reasoning":)";
    write_json_string(out, answer.thinking);
  }
  for (size_t i = 0; i < answer.tool_calls.size(); i++) {
    out += i == 0 ? R"(,"tool_calls":[{)" : ",{";
    write_tool_call(out, answer.tool_calls[i]);
    out += '}';
  }
  out += answer.tool_calls.empty() ? "}" : "]}";
}

std::string end_stream(const std::string& open, bool include_usage, const UsageSum& usage) {
  std::string out;
  if (include_usage) {
    out = open + "],\"usage\":";
    write_usage(out, usage);
    out += "}\n\n";
  }
  out += kDone;
  return out;
}

}  // namespace

void UsageSum::add(const model::Usage& usage, bool count_prompt) {
  output_tokens += usage.output_tokens;
  reasoning_tokens += usage.reasoning_tokens;
  if (!count_prompt) return;
  prompt_tokens += usage.prompt_tokens;
  cached_tokens += usage.prompt_cached_tokens;
}

std::string_view finish_reason(model::DoneReason reason, bool has_tool_calls) {
  if (reason == model::DoneReason::length) return "length";
  return has_tool_calls ? "tool_calls" : "stop";
}

void write_usage(std::string& out, const UsageSum& usage) {
  out += fmt::format(R"({{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{},)"
                     R"("prompt_tokens_details":{{"cached_tokens":{}}},)"
                     R"("completion_tokens_details":{{"reasoning_tokens":{}}}}})",
                     usage.prompt_tokens, usage.output_tokens,
                     usage.prompt_tokens + usage.output_tokens, usage.cached_tokens,
                     usage.reasoning_tokens);
}

std::string chat_reply(const ReplyHead& head, const std::vector<GatheredAnswer>& choices,
                       const UsageSum& usage) {
  std::string out = open_reply(head, "chat.completion");
  for (size_t i = 0; i < choices.size(); i++) {
    out += fmt::format(R"({}{{"index":{},"message":)", i > 0 ? "," : "", i);
    write_message(out, choices[i]);
    out += R"(,"logprobs":)";
    if (choices[i].logprobs.empty()) {
      out += "null";
    } else {
      write_chat_logprobs(out, choices[i].logprobs);
    }
    write_finish(out, finish_reason(choices[i].reason, !choices[i].tool_calls.empty()));
    out += '}';
  }
  out += R"(],"usage":)";
  write_usage(out, usage);
  out += '}';
  return out;
}

std::string completion_reply(const ReplyHead& head, const std::vector<CompletionChoice>& choices,
                             const UsageSum& usage) {
  std::string out = open_reply(head, "text_completion");
  for (size_t i = 0; i < choices.size(); i++) {
    const GatheredAnswer& answer = choices[i].answer;
    out += fmt::format(R"({}{{"text":)", i > 0 ? "," : "");
    write_json_string(out, choices[i].echo + answer.content);
    out += fmt::format(R"(,"index":{},"logprobs":)", i);
    size_t offset = count_characters(choices[i].echo);
    if (answer.logprobs.empty()) {
      out += "null";
    } else {
      write_completion_logprobs(out, answer.logprobs, offset);
    }
    write_finish(out, finish_reason(answer.reason, false));
    out += '}';
  }
  out += R"(],"usage":)";
  write_usage(out, usage);
  out += '}';
  return out;
}

ChatStream::ChatStream(ReplyHead head, bool include_usage)
    : open_(open_event(head, "chat.completion.chunk")),
      close_(close_event(include_usage)),
      include_usage_(include_usage) {}

void ChatStream::write_delta(std::string& out, int choice, std::string_view members,
                             const std::vector<model::Logprob>& logprobs, std::string_view finish) {
  out += open_;
  fmt::format_to(std::back_inserter(out), R"({{"index":{},"delta":{{)", choice);
  if (choice != started_choice_) {
    started_choice_ = choice;
    tool_calls_ = 0;
    out += R"("role":"assistant")";
    if (!members.empty()) out += ',';
  }
  out += members;
  out += '}';
  if (!logprobs.empty()) {
    out += R"(,"logprobs":)";
    write_chat_logprobs(out, logprobs);
  }
  write_finish(out, finish);
  out += '}';
  out += close_;
}

void ChatStream::add(std::string& out, int choice, const model::Chunk& chunk) {
  const size_t before = out.size();
  std::string members;
  if (!chunk.thinking.empty()) {
    write_member(members, "reasoning", chunk.thinking);
    // A client that shows one or the other sees both only in chunks of their own.
    bool alone = chunk.content.empty() && chunk.tool_calls.empty();
    static const std::vector<model::Logprob> kNone;
    write_delta(out, choice, members, alone ? chunk.logprobs : kNone, "");
    members.clear();
    if (alone && !chunk.done) return;
  }
  bool told_logprobs = out.size() > before && chunk.content.empty() && chunk.tool_calls.empty();
  if (!chunk.content.empty() || (!chunk.logprobs.empty() && !told_logprobs)) {
    write_member(members, "content", chunk.content);
    write_delta(out, choice, members, chunk.logprobs, "");
    members.clear();
  }
  for (const model::ToolCall& call : chunk.tool_calls) {
    if (choice != started_choice_) tool_calls_ = 0;
    members = fmt::format(R"("tool_calls":[{{"index":{},)", tool_calls_);
    write_tool_call(members, call);
    members += "}]";
    write_delta(out, choice, members, {}, "");
    tool_calls_++;
  }
  if (chunk.done) {
    bool called = choice == started_choice_ && tool_calls_ > 0;
    write_delta(out, choice, "", {}, finish_reason(chunk.reason, called));
  }
}

std::string ChatStream::add(int choice, const model::Chunk& chunk) {
  std::string out;
  add(out, choice, chunk);
  return out;
}

std::string ChatStream::end(const UsageSum& usage) {
  return end_stream(open_, include_usage_, usage);
}

CompletionStream::CompletionStream(ReplyHead head, bool include_usage)
    : open_(open_event(head, "text_completion")),
      close_(close_event(include_usage)),
      include_usage_(include_usage) {}

std::string CompletionStream::event(int choice, std::string_view text,
                                    const std::vector<model::Logprob>& logprobs,
                                    std::string_view finish) {
  if (choice != started_choice_) {
    started_choice_ = choice;
    offset_ = 0;
  }
  std::string out = open_ + R"({"text":)";
  write_json_string(out, text);
  out += fmt::format(R"(,"index":{},"logprobs":)", choice);
  if (logprobs.empty()) {
    out += "null";
    offset_ += count_characters(text);
  } else {
    write_completion_logprobs(out, logprobs, offset_);
  }
  write_finish(out, finish);
  out += '}';
  out += close_;
  return out;
}

std::string CompletionStream::echo(int choice, std::string_view prompt) {
  return event(choice, prompt, {}, "");
}

std::string CompletionStream::add(int choice, const model::Chunk& chunk) {
  if (chunk.content.empty() && chunk.logprobs.empty() && !chunk.done) return "";
  std::string_view finish = chunk.done ? finish_reason(chunk.reason, false) : "";
  return event(choice, chunk.content, chunk.logprobs, finish);
}

std::string CompletionStream::end(const UsageSum& usage) {
  return end_stream(open_, include_usage_, usage);
}

}  // namespace om::api
