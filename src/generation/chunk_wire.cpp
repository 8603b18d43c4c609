#include "generation/chunk_wire.h"

#include <algorithm>
#include <iterator>

#include "base/json_fields.h"
#include "engine/local/completion_body.h"
#include "engine/remote/wire.h"

namespace om::generation {
namespace {

using engine::append_quoted;

constexpr std::string_view kBegin = R"({"by":)";

void append_calls(std::string& out, const std::vector<model::ToolCall>& calls) {
  out += R"(,"calls":[)";
  for (size_t i = 0; i < calls.size(); i++) {
    out += i > 0 ? ",[" : "[";
    append_quoted(out, calls[i].id);
    out += ',';
    append_quoted(out, calls[i].name);
    out += ',';
    append_quoted(out, calls[i].arguments);
    out += ']';
  }
  out += ']';
}

std::vector<model::ToolCall> decode_calls(const boost::json::array& array) {
  std::vector<model::ToolCall> calls;
  for (const boost::json::value& value : array) {
    const boost::json::array* parts = value.if_array();
    if (!parts || parts->size() != 3) continue;
    std::array<std::string, 3> texts;
    for (size_t i = 0; i < texts.size(); i++) {
      if (const auto* text = (*parts)[i].if_string()) texts[i] = *text;
    }
    calls.push_back({std::move(texts[0]), std::move(texts[1]), std::move(texts[2])});
  }
  return calls;
}

void append_end(std::string& out, const model::Chunk& chunk) {
  fmt::format_to(std::back_inserter(out), R"(,"end":{{"limit":{},"stop":)",
                 chunk.reason == model::DoneReason::length);
  append_quoted(out, chunk.stop_sequence);
  const model::Usage& usage = chunk.usage;
  fmt::format_to(std::back_inserter(out),
                 R"(,"prompt":{},"cached":{},"output":{},"reasoning":{},"total_ns":{},"load_ns":{})"
                 R"(,"prompt_ns":{},"eval_ns":{}}})",
                 usage.prompt_tokens, usage.prompt_cached_tokens, usage.output_tokens,
                 usage.reasoning_tokens, usage.total.count(), usage.load.count(),
                 usage.prompt_eval.count(), usage.eval.count());
}

void read_end(const boost::json::object& end, model::Chunk& chunk) {
  const JsonFields fields(end);
  bool limit = false;
  fields.read("limit", limit);
  chunk.done = true;
  chunk.reason = limit ? model::DoneReason::length : model::DoneReason::stop;
  fields.read("stop", chunk.stop_sequence);
  model::Usage& usage = chunk.usage;
  fields.read("prompt", usage.prompt_tokens);
  fields.read("cached", usage.prompt_cached_tokens);
  fields.read("output", usage.output_tokens);
  fields.read("reasoning", usage.reasoning_tokens);  // Absent before 0.3.
  const auto read_time = [&fields](std::string_view name, std::chrono::nanoseconds& into) {
    int64_t count = 0;
    fields.read(name, count);
    into = std::chrono::nanoseconds(count);
  };
  read_time("total_ns", usage.total);
  read_time("load_ns", usage.load);
  read_time("prompt_ns", usage.prompt_eval);
  read_time("eval_ns", usage.eval);
}

}  // namespace

void append_chunk(std::string& out, std::string_view by, const model::Chunk& chunk) {
  out += kBegin;
  append_quoted(out, by);
  out += R"(,"text":)";
  append_quoted(out, chunk.content);
  if (!chunk.thinking.empty()) {
    out += R"(,"thinking":)";
    append_quoted(out, chunk.thinking);
  }
  if (!chunk.tool_calls.empty()) append_calls(out, chunk.tool_calls);
  if (!chunk.logprobs.empty()) {
    out += R"(,"logprobs":)";
    engine::append_logprobs(out, chunk.logprobs);
  }
  if (chunk.done) append_end(out, chunk);
  out += "}\n";
}

KeptChunk decode_chunk(const boost::json::object& line) {
  const JsonFields fields(line);
  KeptChunk kept;
  fields.read("by", kept.by);
  fields.read("text", kept.chunk.content);
  fields.read("thinking", kept.chunk.thinking);
  if (const auto* calls = fields.array("calls")) kept.chunk.tool_calls = decode_calls(*calls);
  if (const auto* logprobs = fields.array("logprobs")) {
    kept.chunk.logprobs = engine::decode_logprobs(*logprobs);
  }
  if (const auto* end = fields.object("end")) read_end(*end, kept.chunk);
  return kept;
}

bool are_chunks(std::string_view lines) { return lines.starts_with(kBegin); }

Result<void> for_each_line(std::string_view lines,
                           const std::function<void(const boost::json::object&, size_t)>& take) {
  while (!lines.empty()) {
    const size_t end = std::min(lines.find('\n'), lines.size() - 1);
    TRY(const auto line, engine::parse_line(lines.substr(0, end)));
    lines.remove_prefix(end + 1);
    take(line, end + 1);
  }
  return {};
}

}  // namespace om::generation
