#include "engine/remote/wire.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

#include "base/base64.h"
#include "base/json_fields.h"
#include "engine/local/completion_body.h"

namespace om::engine {
namespace {

namespace json = boost::json;

constexpr size_t kDepthMax = 16;

// Every number of a Sampling under its name, for the writer and the reader.
template <class Sampling, class Each>
void each_number(Sampling& s, Each&& each) {
  each("num_predict", s.num_predict);
  each("num_keep", s.num_keep);
  each("top_k", s.top_k);
  each("top_p", s.top_p);
  each("min_p", s.min_p);
  each("typical_p", s.typical_p);
  each("temperature", s.temperature);
  each("repeat_last_n", s.repeat_last_n);
  each("repeat_penalty", s.repeat_penalty);
  each("presence_penalty", s.presence_penalty);
  each("frequency_penalty", s.frequency_penalty);
  each("seed", s.seed);
}

json::object encode_sampling(const model::Sampling& sampling) {
  json::object object;
  each_number(sampling, [&](auto name, auto number) { object[name] = number; });
  object["stop"] = json_texts(sampling.stop);
  return object;
}

model::Sampling decode_sampling(const json::object& object) {
  const JsonFields fields(object);
  model::Sampling sampling;
  each_number(sampling, [&](auto name, auto& number) { fields.read(name, number); });
  sampling.stop = fields.texts("stop");
  return sampling;
}

json::object encode_constraint(const Constraint& constraint) {
  json::array triggers;
  for (const Constraint::Trigger& trigger : constraint.grammar_triggers) {
    triggers.push_back({{"type", trigger.type}, {"value", trigger.value}});
  }
  return {{"json_schema", constraint.json_schema},
          {"grammar", constraint.grammar},
          {"grammar_lazy", constraint.grammar_lazy},
          {"grammar_triggers", std::move(triggers)},
          {"preserved_tokens", json_texts(constraint.preserved_tokens)},
          {"generation_prompt", constraint.generation_prompt},
          {"tool_grammar", constraint.tool_grammar}};
}

Constraint decode_constraint(const json::object& object) {
  const JsonFields fields(object);
  Constraint constraint;
  fields.read("json_schema", constraint.json_schema);
  fields.read("grammar", constraint.grammar);
  fields.read("grammar_lazy", constraint.grammar_lazy);
  if (const json::array* triggers = fields.array("grammar_triggers")) {
    for (const json::value& value : *triggers) {
      if (!value.is_object()) continue;
      Constraint::Trigger& trigger = constraint.grammar_triggers.emplace_back();
      JsonFields(value.get_object()).read("type", trigger.type);
      JsonFields(value.get_object()).read("value", trigger.value);
    }
  }
  constraint.preserved_tokens = fields.texts("preserved_tokens");
  fields.read("generation_prompt", constraint.generation_prompt);
  fields.read("tool_grammar", constraint.tool_grammar);
  return constraint;
}

// JSON knows no infinity, which is the logarithm of an impossible token.
double finite(double number) {
  using Limits = std::numeric_limits<double>;
  return std::isnan(number) ? Limits::lowest()
                            : std::clamp(number, Limits::lowest(), Limits::max());
}

void append_logprob(std::string& out, const model::Logprob& logprob) {
  out += '[';
  append_quoted(out, logprob.token);
  fmt::format_to(std::back_inserter(out), ",{},[", finite(logprob.logprob));
  for (size_t i = 0; i < logprob.top.size(); i++) {
    if (i > 0) out += ',';
    out += '[';
    append_quoted(out, logprob.top[i].token);
    fmt::format_to(std::back_inserter(out), ",{}]", finite(logprob.top[i].logprob));
  }
  out += "]]";
}

// ["token", -0.5] and what follows it; false if the value is something else.
bool read_pair(const json::value& value, std::string& token, double& logprob) {
  const json::array* pair = value.if_array();
  if (!pair || pair->size() < 2 || !(*pair)[0].is_string() || !(*pair)[1].is_number()) return false;
  token = (*pair)[0].get_string();
  logprob = (*pair)[1].to_number<double>();
  return true;
}

template <class Properties, class Each>
void each_property(Properties& properties, Each&& each) {
  each("context_length", properties.context_length);
  each("slots", properties.slots);
  each("media_marker", properties.media_marker);
  each("vision", properties.vision);
  each("audio", properties.audio);
  each("embedding", properties.embedding);
  each("resident_bytes", properties.resident_bytes);
}

Errc errc_named(std::string_view name) {
  for (int code = 0; code <= static_cast<int>(Errc::internal); code++) {
    if (to_string(static_cast<Errc>(code)) == name) return static_cast<Errc>(code);
  }
  return Errc::internal;
}

Result<json::object> parse_object(std::string_view text) {
  json::parse_options options;
  options.max_depth = kDepthMax;
  options.allow_invalid_utf8 = true;
  boost::system::error_code failed;
  json::value value = json::parse(text, failed, {}, options);
  if (failed || !value.is_object()) {
    return fail(Errc::corrupt, "another node sent something that is not understood");
  }
  return std::move(value.get_object());
}

}  // namespace

json::array encode_tokens(const std::vector<Token>& tokens) {
  json::array array;
  array.reserve(tokens.size());
  for (const Token token : tokens) array.emplace_back(token);
  return array;
}

std::vector<Token> decode_tokens(const json::array& array) {
  std::vector<Token> tokens;
  tokens.reserve(array.size());
  for (const json::value& value : array) {
    if (value.is_int64()) tokens.push_back(static_cast<Token>(value.get_int64()));
  }
  return tokens;
}

std::string encode_completion(const CompletionRequest& request) {
  json::array media;
  for (const std::string& bytes : request.media) media.emplace_back(base64_encode(bytes));
  const json::object object{{"prompt", request.prompt},
                            {"tokens", encode_tokens(request.tokens)},
                            {"media", std::move(media)},
                            {"sampling", encode_sampling(request.sampling)},
                            {"constraint", encode_constraint(request.constraint)},
                            {"logprobs", request.logprobs},
                            {"shift", request.shift},
                            {"id", request.id}};
  return json::serialize(object);
}

Result<CompletionRequest> decode_completion(std::string_view text) {
  TRY(const json::object object, parse_object(text));
  const JsonFields fields(object);
  CompletionRequest request;
  fields.read("prompt", request.prompt);
  if (const json::array* tokens = fields.array("tokens")) request.tokens = decode_tokens(*tokens);
  for (const std::string& encoded : fields.texts("media")) {
    TRY(std::string bytes, base64_decode(encoded));
    request.media.push_back(std::move(bytes));
  }
  if (const json::object* sampling = fields.object("sampling")) {
    request.sampling = decode_sampling(*sampling);
  }
  if (const json::object* constraint = fields.object("constraint")) {
    request.constraint = decode_constraint(*constraint);
  }
  fields.read("logprobs", request.logprobs);
  fields.read("shift", request.shift);
  fields.read("id", request.id);
  return request;
}

void append_logprobs(std::string& out, const std::vector<model::Logprob>& logprobs) {
  out += '[';
  for (size_t i = 0; i < logprobs.size(); i++) {
    if (i > 0) out += ',';
    append_logprob(out, logprobs[i]);
  }
  out += ']';
}

std::vector<model::Logprob> decode_logprobs(const json::array& array) {
  std::vector<model::Logprob> logprobs;
  for (const json::value& value : array) {
    model::Logprob logprob;
    if (!read_pair(value, logprob.token, logprob.logprob)) continue;
    const json::array& parts = value.get_array();
    if (parts.size() > 2 && parts[2].is_array()) {
      for (const json::value& top : parts[2].get_array()) {
        model::TopLogprob alternative;
        if (read_pair(top, alternative.token, alternative.logprob)) {
          logprob.top.push_back(std::move(alternative));
        }
      }
    }
    logprobs.push_back(std::move(logprob));
  }
  return logprobs;
}

void append_piece(std::string& out, const Piece& piece) {
  out += R"({"t":)";
  append_quoted(out, piece.text);
  fmt::format_to(std::back_inserter(out), R"(,"n":{},"k":)", piece.output_tokens);
  append_tokens(out, piece.tokens);
  if (!piece.logprobs.empty()) {
    out += R"(,"l":)";
    append_logprobs(out, piece.logprobs);
  }
  if (piece.done) {
    fmt::format_to(std::back_inserter(out), R"(,"done":{{"limit":{},"stop_word":)", piece.limit);
    append_quoted(out, piece.stop_word);
    fmt::format_to(std::back_inserter(out),
                   R"(,"prompt_tokens":{},"cached_tokens":{},"prompt_ns":{},"eval_ns":{}}})",
                   piece.prompt_tokens, piece.cached_tokens, piece.prompt_time.count(),
                   piece.output_time.count());
  }
  out += "}\n";
}

Piece decode_piece(const json::object& line) {
  const JsonFields fields(line);
  Piece piece;
  fields.read("t", piece.text);
  fields.read("n", piece.output_tokens);
  if (const json::array* tokens = fields.array("k")) piece.tokens = decode_tokens(*tokens);
  if (const json::array* logprobs = fields.array("l")) piece.logprobs = decode_logprobs(*logprobs);
  const json::object* end = fields.object("done");
  if (!end) return piece;
  const JsonFields last(*end);
  int64_t prompt_ns = 0, eval_ns = 0;
  piece.done = true;
  last.read("limit", piece.limit);
  last.read("stop_word", piece.stop_word);
  last.read("prompt_tokens", piece.prompt_tokens);
  last.read("cached_tokens", piece.cached_tokens);
  last.read("prompt_ns", prompt_ns);
  last.read("eval_ns", eval_ns);
  piece.prompt_time = std::chrono::nanoseconds(prompt_ns);
  piece.output_time = std::chrono::nanoseconds(eval_ns);
  return piece;
}

json::object encode_properties(const Properties& properties) {
  json::object object;
  each_property(properties, [&](auto name, const auto& value) { object[name] = value; });
  return object;
}

Properties decode_properties(const json::object& object) {
  const JsonFields fields(object);
  Properties properties;
  each_property(properties, [&](auto name, auto& value) { fields.read(name, value); });
  return properties;
}

std::string error_line(const Error& error) {
  std::string out = R"({"error":{"code":)";
  append_quoted(out, to_string(error.code));
  out += R"(,"what":)";
  append_quoted(out, error.what);
  out += "}}\n";
  return out;
}

Result<json::object> parse_line(std::string_view line) { return parse_object(line); }

std::optional<Error> error_in(const json::object& line) {
  const json::object* error = JsonFields(line).object("error");
  if (!error) return std::nullopt;
  const JsonFields fields(*error);
  return Error{errc_named(fields.text("code")), fields.text("what")};
}

}  // namespace om::engine
