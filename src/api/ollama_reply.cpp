#include "api/ollama_reply.h"

namespace om::api {
namespace {

std::string_view reason_name(model::DoneReason reason) {
  switch (reason) {
    case model::DoneReason::stop:
      return "stop";
    case model::DoneReason::length:
      return "length";
    case model::DoneReason::load:
      return "load";
    case model::DoneReason::unload:
      break;
  }
  return "unload";
}

void write_token(JsonWriter& writer, std::string_view token, double logprob) {
  writer.member("token", token).member("logprob", logprob);
  writer.key("bytes").begin_array();
  for (const char byte : token) writer.value(static_cast<int>(static_cast<unsigned char>(byte)));
  writer.end_array();
}

void write_logprobs(JsonWriter& writer, const std::vector<model::Logprob>& logprobs) {
  if (logprobs.empty()) return;
  writer.key("logprobs").begin_array();
  for (const model::Logprob& logprob : logprobs) {
    writer.begin_object();
    write_token(writer, logprob.token, logprob.logprob);
    if (!logprob.top.empty()) {
      writer.key("top_logprobs").begin_array();
      for (const model::TopLogprob& top : logprob.top) {
        writer.begin_object();
        write_token(writer, top.token, top.logprob);
        writer.end_object();
      }
      writer.end_array();
    }
    writer.end_object();
  }
  writer.end_array();
}

void write_end(JsonWriter& writer, const model::Chunk& chunk) {
  writer.member("done_reason", reason_name(chunk.reason));
  if (!chunk.context.empty()) {
    writer.key("context").begin_array();
    for (const int32_t token : chunk.context) writer.value(static_cast<int>(token));
    writer.end_array();
  }
  const model::Usage& usage = chunk.usage;
  writer.member_if("total_duration", usage.total.count());
  writer.member_if("load_duration", usage.load.count());
  writer.member_if("prompt_eval_count", usage.prompt_tokens);
  writer.member_if("prompt_eval_duration", usage.prompt_eval.count());
  writer.member_if("eval_count", usage.output_tokens);
  writer.member_if("eval_duration", usage.eval.count());
}

}  // namespace

void ReplyWriter::write_tool_calls(JsonWriter& writer, const std::vector<model::ToolCall>& calls) {
  if (calls.empty()) return;
  writer.key("tool_calls").begin_array();
  for (const model::ToolCall& call : calls) {
    writer.begin_object().member_if("id", call.id);
    writer.key("function").begin_object();
    writer.member("index", tool_calls_++).member("name", std::string_view(call.name));
    writer.key("arguments").raw(call.arguments.empty() ? "{}" : call.arguments);
    writer.end_object().end_object();
  }
  writer.end_array();
}

void ReplyWriter::write(std::string& out, const model::Chunk& chunk, io::WallTime now) {
  JsonWriter writer(out);
  writer.begin_object();
  writer.member("model", std::string_view(model_));
  writer.member("created_at", now);
  if (kind_ == Kind::chat) {
    writer.key("message").begin_object().member("role", "assistant");
    writer.member("content", std::string_view(chunk.content));
    writer.member_if("thinking", chunk.thinking);
    write_tool_calls(writer, chunk.tool_calls);
    writer.end_object();
  } else {
    writer.member("response", std::string_view(chunk.content));
    writer.member_if("thinking", chunk.thinking);
  }
  writer.member("done", chunk.done);
  if (chunk.done) write_end(writer, chunk);
  if (kind_ == Kind::generate) write_tool_calls(writer, chunk.tool_calls);
  write_logprobs(writer, chunk.logprobs);
  writer.end_object();
}

void ReplyWriter::write_debug(std::string& out, const model::Chunk& chunk, size_t images,
                              io::WallTime now) {
  JsonWriter writer(out);
  writer.begin_object();
  writer.member("model", std::string_view(model_));
  writer.member("created_at", now);
  if (kind_ == Kind::chat) {
    writer.key("message").begin_object().member("role", "").member("content", "").end_object();
  } else {
    writer.member("response", "");
  }
  writer.member("done", false);
  writer.key("_debug_info").begin_object();
  writer.member("rendered_template", std::string_view(chunk.rendered_prompt));
  writer.member_if("image_count", static_cast<int64_t>(images));
  writer.end_object().end_object();
}

void append_chunk(model::Chunk& whole, model::Chunk chunk) {
  std::string content = std::move(whole.content) + chunk.content;
  std::string thinking = std::move(whole.thinking) + chunk.thinking;
  std::vector<model::ToolCall> calls = std::move(whole.tool_calls);
  for (model::ToolCall& call : chunk.tool_calls) calls.push_back(std::move(call));
  std::vector<model::Logprob> logprobs = std::move(whole.logprobs);
  for (model::Logprob& logprob : chunk.logprobs) logprobs.push_back(std::move(logprob));
  whole = std::move(chunk);
  whole.content = std::move(content);
  whole.thinking = std::move(thinking);
  whole.tool_calls = std::move(calls);
  whole.logprobs = std::move(logprobs);
}

void write_progress(std::string& out, const transfer::Progress& progress) {
  JsonWriter writer(out);
  writer.begin_object();
  writer.member("status", std::string_view(progress.status));
  if (progress.digest) writer.member("digest", std::string_view(progress.digest->str()));
  if (progress.total.value_or(0) > 0) writer.member("total", *progress.total);
  if (progress.completed.value_or(0) > 0) writer.member("completed", *progress.completed);
  writer.end_object();
  out += '\n';
}

void write_list(JsonWriter& writer, std::string_view name, const std::vector<std::string>& texts) {
  writer.key(name).begin_array();
  for (const std::string& text : texts) writer.value(std::string_view(text));
  writer.end_array();
}

void write_details(JsonWriter& writer, const store::ModelDetails& details) {
  writer.key("details").begin_object();
  writer.member("parent_model", "");
  writer.member("format", std::string_view(details.format));
  writer.member("family", std::string_view(details.family));
  write_list(writer, "families", details.families);
  writer.member("parameter_size", std::string_view(details.parameter_size));
  writer.member("quantization_level", std::string_view(details.quantization_level));
  writer.member_if("context_length", details.context_length);
  writer.member_if("embedding_length", details.embedding_length);
  writer.end_object();
}

}  // namespace om::api
