#include "engine/local/completion_body.h"

#include <openssl/evp.h>

#include <algorithm>
#include <boost/json.hpp>
#include <iterator>

namespace om::engine {
namespace {

void append_names(std::string& out, const std::vector<std::string>& names) {
  out += '[';
  for (size_t i = 0; i < names.size(); i++) {
    if (i > 0) out += ',';
    append_quoted(out, names[i]);
  }
  out += ']';
}

void append_prompt(std::string& out, const CompletionRequest& request) {
  out += R"({"prompt":)";
  if (!request.media.empty()) {
    out += R"({"prompt_string":)";
    append_quoted(out, request.prompt);
    out += R"(,"multimodal_data":[)";
    for (size_t i = 0; i < request.media.size(); i++) {
      if (i > 0) out += ',';
      out += '"';
      out += base64(request.media[i]);
      out += '"';
    }
    out += "]}";
  } else if (!request.tokens.empty()) {
    append_tokens(out, request.tokens);
  } else {
    append_quoted(out, request.prompt);
  }
}

int output_max(const CompletionRequest& request, int context_length) {
  const int wanted = request.sampling.num_predict;
  if (request.shift || request.tokens.empty()) return wanted;
  // Without a shift the answer ends where the context does.
  const int room = std::max(1, context_length - static_cast<int>(request.tokens.size()));
  return wanted < 0 ? room : std::min(wanted, room);
}

void append_sampling(std::string& out, const CompletionRequest& request, int context_length) {
  const model::Sampling& s = request.sampling;
  // The runner's seeds have 32 bits; all ones asks for a random one.
  const uint32_t seed = s.seed < 0 ? UINT32_MAX : static_cast<uint32_t>(s.seed);
  fmt::format_to(std::back_inserter(out),
                 R"(,"n_predict":{},"n_keep":{},"top_k":{},"top_p":{},"min_p":{},"typical_p":{},)"
                 R"("temperature":{},"repeat_last_n":{},"repeat_penalty":{},)"
                 R"("presence_penalty":{},"frequency_penalty":{},"seed":{},"stop":)",
                 output_max(request, context_length), s.num_keep, s.top_k, s.top_p, s.min_p,
                 s.typical_p, s.temperature, s.repeat_last_n, s.repeat_penalty, s.presence_penalty,
                 s.frequency_penalty, seed);
  append_names(out, s.stop);
}

Result<void> append_constraint(std::string& out, const Constraint& constraint) {
  if (!constraint.json_schema.empty()) {
    boost::system::error_code failed;
    const auto schema = boost::json::parse(constraint.json_schema, failed);
    if (failed) return fail(Errc::invalid_argument, "invalid JSON schema: {}", failed.message());
    out += R"(,"json_schema":)";
    out += boost::json::serialize(schema);
  } else if (!constraint.grammar.empty()) {
    out += R"(,"grammar":)";
    append_quoted(out, constraint.grammar);
    if (constraint.tool_grammar) out += R"(,"grammar_type":"tool_calls")";
    out += constraint.grammar_lazy ? R"(,"grammar_lazy":true)" : R"(,"grammar_lazy":false)";
  }
  if (!constraint.grammar_triggers.empty()) {
    out += R"(,"grammar_triggers":[)";
    for (size_t i = 0; i < constraint.grammar_triggers.size(); i++) {
      const Constraint::Trigger& trigger = constraint.grammar_triggers[i];
      fmt::format_to(std::back_inserter(out), R"({}{{"type":{},"value":)", i > 0 ? "," : "",
                     trigger.type);
      append_quoted(out, trigger.value);
      out += '}';
    }
    out += ']';
  }
  if (!constraint.preserved_tokens.empty()) {
    out += R"(,"preserved_tokens":)";
    append_names(out, constraint.preserved_tokens);
  }
  if (!constraint.generation_prompt.empty()) {
    out += R"(,"generation_prompt":)";
    append_quoted(out, constraint.generation_prompt);
  }
  return {};
}

}  // namespace

void append_quoted(std::string& out, std::string_view text) {
  static constexpr char kDigits[] = "0123456789abcdef";
  out += '"';
  size_t plain = 0;
  for (size_t i = 0; i < text.size(); i++) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    out.append(text, plain, i - plain);
    plain = i + 1;
    if (c >= 0x20) {
      out += '\\';
      out += static_cast<char>(c);
    } else {
      out += "\\u00";
      out += kDigits[c >> 4];
      out += kDigits[c & 15];
    }
  }
  out.append(text, plain, text.size() - plain);
  out += '"';
}

void append_tokens(std::string& out, const std::vector<Token>& tokens) {
  out += '[';
  out.reserve(out.size() + tokens.size() * 7);
  for (size_t i = 0; i < tokens.size(); i++) {
    if (i > 0) out += ',';
    fmt::format_to(std::back_inserter(out), "{}", tokens[i]);
  }
  out += ']';
}

std::string base64(std::string_view bytes) {
  std::string out(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                     reinterpret_cast<const unsigned char*>(bytes.data()),
                                     static_cast<int>(bytes.size()));
  out.resize(static_cast<size_t>(length));
  return out;
}

Result<std::string> completion_body(const CompletionRequest& request, int context_length) {
  std::string out;
  append_prompt(out, request);
  append_sampling(out, request, context_length);
  TRY_VOID(append_constraint(out, request.constraint));
  if (request.logprobs >= 0) {
    // With 0 the runner sends no probabilities at all, not even of the chosen token.
    fmt::format_to(std::back_inserter(out), R"(,"n_probs":{})", std::max(1, request.logprobs));
  }
  out += R"(,"stream":true,"cache_prompt":true,"return_tokens":true,"return_progress":true,)"
         R"("sse_ping_interval":-1,"response_fields":["stop","stop_type","stopping_word",)"
         R"("tokens_predicted","tokens_evaluated","timings"]})";
  return out;
}

}  // namespace om::engine
