#include "engine/external/external_events.h"

#include <algorithm>
#include <boost/json.hpp>
#include <map>

#include "base/json_fields.h"
#include "engine/external/backend_spec.h"

namespace om::engine {
namespace {

namespace json = boost::json;

constexpr size_t kToolCallsMax = 128;
constexpr size_t kArgumentBytesMax = 1 << 20;
constexpr double kMillisecondsMax = 1e9;

Result<json::object> parse_event(std::string_view data) {
  boost::system::error_code failed;
  json::value value = json::parse(data, failed);
  if (failed || !value.is_object()) return fail(Errc::corrupt, "the backend sent no JSON object");
  return std::move(value.get_object());
}

// {"error": "text"} or {"error": {"message": "text", "code": 503}}.
std::optional<Error> error_of(const json::object& event) {
  const json::value* error = event.if_contains("error");
  if (!error || error->is_null()) return std::nullopt;
  if (error->is_string() && !error->get_string().empty()) {
    return Error{Errc::internal, std::string(error->get_string())};
  }
  const std::string_view unsaid = "the backend failed";
  if (!error->is_object()) return Error{Errc::internal, std::string(unsaid)};
  const JsonFields fields(error->get_object());
  int code = 500;
  fields.read("code", code);
  const Errc errc = code == 429   ? Errc::overloaded
                    : code == 503 ? Errc::unavailable
                    : code == 400 ? Errc::invalid_argument
                                  : Errc::internal;
  std::string message = fields.text("message");
  if (message.empty()) message = unsaid;
  return Error{errc, std::move(message)};
}

void read_count(const JsonFields& fields, std::string_view name, int64_t& count) {
  fields.read(name, count);
  count = std::clamp<int64_t>(count, 0, kBackendTokensMax);
}

// Makes it the text of an object on one line, as model::ToolCall has it; false: it is none. In JSON
// a line ends between tokens only.
bool tidy_arguments(std::string& text) {
  if (text.empty()) text = "{}";
  boost::system::error_code failed;
  if (!json::parse(text, failed).is_object() || failed) return false;
  std::ranges::replace_if(text, [](char c) { return c == '\n' || c == '\r'; }, ' ');
  return true;
}

model::Logprob read_logprob(const json::object& object) {
  const JsonFields fields(object);
  model::Logprob logprob;
  fields.read("token", logprob.token);
  fields.read("logprob", logprob.logprob);
  if (const json::array* top = fields.array("top_logprobs")) {
    for (const json::value& other : *top) {
      if (!other.is_object()) continue;
      const JsonFields told(other.get_object());
      model::TopLogprob& added = logprob.top.emplace_back();
      told.read("token", added.token);
      told.read("logprob", added.logprob);
    }
  }
  return logprob;
}

void read_logprobs(const json::array* list, model::Chunk& chunk) {
  if (!list) return;
  for (const json::value& entry : *list) {
    if (entry.is_object()) chunk.logprobs.push_back(read_logprob(entry.get_object()));
  }
}

bool tells_anything(const model::Chunk& chunk) {
  return !chunk.content.empty() || !chunk.thinking.empty() || !chunk.tool_calls.empty() ||
         !chunk.logprobs.empty();
}

class OpenAiEvents final : public EventParser {
 public:
  Result<void> take(std::string_view data, std::deque<model::Chunk>& into) override {
    if (data == "[DONE]") {
      finish(into);
      return {};
    }
    TRY(const json::object event, parse_event(data));
    if (auto error = error_of(event)) return fail(std::move(*error));
    const JsonFields fields(event);
    if (const json::object* usage = fields.object("usage")) read_usage(*usage);
    if (const json::object* timings = fields.object("timings")) read_timings(*timings);
    const json::array* choices = fields.array("choices");
    if (!choices || choices->empty() || !choices->front().is_object()) return {};
    return take_choice(choices->front().get_object(), into);
  }

  void end(std::deque<model::Chunk>& into) override {
    // Some servers leave [DONE] out; a reason says the same.
    if (reason_) finish(into);
  }

 private:
  Result<void> take_choice(const json::object& choice, std::deque<model::Chunk>& into) {
    const JsonFields fields(choice);
    model::Chunk chunk;
    fields.read("text", chunk.content);
    if (const json::object* delta = fields.object("delta")) {
      const JsonFields told(*delta);
      told.read("content", chunk.content);
      told.read("reasoning_content", chunk.thinking);
      if (chunk.thinking.empty()) told.read("reasoning", chunk.thinking);
      if (const json::array* calls = told.array("tool_calls")) TRY_VOID(take_calls(*calls));
    }
    if (const json::object* logprobs = fields.object("logprobs")) {
      read_logprobs(JsonFields(*logprobs).array("content"), chunk);
    }
    if (tells_anything(chunk)) {
      tokens_++;
      chunk.usage = usage_;
      into.push_back(std::move(chunk));
    }
    if (const std::string reason = fields.text("finish_reason"); !reason.empty()) reason_ = reason;
    return {};
  }

  // Calls come in pieces: the name first, then the arguments.
  Result<void> take_calls(const json::array& calls) {
    for (const json::value& value : calls) {
      if (!value.is_object()) continue;
      const JsonFields fields(value.get_object());
      int64_t index = static_cast<int64_t>(calls_.size());
      fields.read("index", index);
      if (!calls_.contains(index) && calls_.size() >= kToolCallsMax) {
        return fail(Errc::corrupt, "the backend called more than {} tools", kToolCallsMax);
      }
      model::ToolCall& call = calls_[index];
      if (call.id.empty()) fields.read("id", call.id);
      const json::object* function = fields.object("function");
      if (!function) continue;
      const JsonFields told(*function);
      if (call.name.empty()) told.read("name", call.name);
      call.arguments += told.text("arguments");
      if (call.arguments.size() > kArgumentBytesMax) {
        return fail(Errc::corrupt, "the backend called a tool with endless arguments");
      }
    }
    return {};
  }

  void read_usage(const json::object& object) {
    const JsonFields fields(object);
    read_count(fields, "prompt_tokens", usage_.prompt_tokens);
    read_count(fields, "completion_tokens", usage_.output_tokens);
    if (const json::object* details = fields.object("prompt_tokens_details")) {
      read_count(JsonFields(*details), "cached_tokens", usage_.prompt_cached_tokens);
    }
    if (const json::object* details = fields.object("completion_tokens_details")) {
      read_count(JsonFields(*details), "reasoning_tokens", usage_.reasoning_tokens);
    }
  }

  // llama-server's own.
  void read_timings(const json::object& object) {
    const JsonFields fields(object);
    int64_t evaluated = 0;
    read_count(fields, "prompt_n", evaluated);
    read_count(fields, "cache_n", usage_.prompt_cached_tokens);
    usage_.prompt_tokens = std::min(kBackendTokensMax, evaluated + usage_.prompt_cached_tokens);
    read_count(fields, "predicted_n", usage_.output_tokens);
    const auto milliseconds = [&fields](std::string_view name) {
      double value = 0;
      fields.read(name, value);
      return std::chrono::nanoseconds(
          static_cast<int64_t>(std::clamp(value, 0.0, kMillisecondsMax) * 1e6));
    };
    usage_.prompt_eval = milliseconds("prompt_ms");
    usage_.eval = milliseconds("predicted_ms");
  }

  void finish(std::deque<model::Chunk>& into) {
    if (finished_) return;
    finished_ = true;
    model::Chunk last;
    model::Chunk no_calls;  // One that a limit cut off, say: content, as in our own answers.
    for (auto& [index, call] : calls_) {
      if (tidy_arguments(call.arguments)) {
        last.tool_calls.push_back(std::move(call));
      } else {
        no_calls.content += call.arguments;
      }
    }
    if (tells_anything(no_calls)) into.push_back(std::move(no_calls));
    last.done = true;
    last.reason = reason_ == "length" ? model::DoneReason::length : model::DoneReason::stop;
    last.usage = usage_;
    // A server that counts nothing sends about a token an event.
    if (last.usage.output_tokens == 0) last.usage.output_tokens = tokens_;
    into.push_back(std::move(last));
  }

  std::map<int64_t, model::ToolCall> calls_;
  model::Usage usage_;
  int64_t tokens_ = 0;
  std::optional<std::string> reason_;
  bool finished_ = false;
};

class OllamaEvents final : public EventParser {
 public:
  Result<void> take(std::string_view data, std::deque<model::Chunk>& into) override {
    TRY(const json::object event, parse_event(data));
    if (auto error = error_of(event)) return fail(std::move(*error));
    const JsonFields fields(event);
    model::Chunk chunk;
    fields.read("response", chunk.content);
    fields.read("thinking", chunk.thinking);
    if (const json::object* message = fields.object("message")) {
      const JsonFields told(*message);
      told.read("content", chunk.content);
      told.read("thinking", chunk.thinking);
      if (const json::array* calls = told.array("tool_calls")) read_calls(*calls, chunk);
    }
    read_logprobs(fields.array("logprobs"), chunk);
    fields.read("done", chunk.done);
    if (chunk.done) read_end(fields, chunk);
    if (chunk.done || tells_anything(chunk)) into.push_back(std::move(chunk));
    return {};
  }

 private:
  static void read_calls(const json::array& calls, model::Chunk& chunk) {
    for (const json::value& value : calls) {
      if (!value.is_object() || chunk.tool_calls.size() >= kToolCallsMax) continue;
      const json::object* function = JsonFields(value.get_object()).object("function");
      if (!function) continue;
      model::ToolCall& call = chunk.tool_calls.emplace_back();
      JsonFields(value.get_object()).read("id", call.id);
      JsonFields(*function).read("name", call.name);
      const json::object* arguments = JsonFields(*function).object("arguments");
      call.arguments = arguments ? json::serialize(*arguments) : "{}";
    }
  }

  static void read_end(const JsonFields& fields, model::Chunk& chunk) {
    if (fields.text("done_reason") == "length") chunk.reason = model::DoneReason::length;
    const auto nanoseconds = [&fields](std::string_view name) {
      int64_t value = 0;
      fields.read(name, value);
      return std::chrono::nanoseconds(std::max<int64_t>(value, 0));
    };
    read_count(fields, "prompt_eval_count", chunk.usage.prompt_tokens);
    read_count(fields, "eval_count", chunk.usage.output_tokens);
    chunk.usage.total = nanoseconds("total_duration");
    chunk.usage.load = nanoseconds("load_duration");
    chunk.usage.prompt_eval = nanoseconds("prompt_eval_duration");
    chunk.usage.eval = nanoseconds("eval_duration");
  }
};

}  // namespace

std::unique_ptr<EventParser> openai_events() { return std::make_unique<OpenAiEvents>(); }
std::unique_ptr<EventParser> ollama_events() { return std::make_unique<OllamaEvents>(); }

}  // namespace om::engine
