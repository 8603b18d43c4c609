#include "api/openai_logprobs.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "model/json_text.h"

namespace om::api {

using model::write_json_string;

namespace {

// What OpenAI shows for a token of probability zero, where JSON has no minus infinity.
constexpr double kLogprobOfZero = -9999.0;

void write_logprob_number(std::string& out, double logprob) {
  out += model::write_number(std::isfinite(logprob) ? logprob : kLogprobOfZero);
}

void write_token(std::string& out, std::string_view token, double logprob) {
  out += R"("token":)";
  write_json_string(out, token);
  out += R"(,"logprob":)";
  write_logprob_number(out, logprob);
  out += R"(,"bytes":[)";
  for (size_t i = 0; i < token.size(); i++) {
    if (i > 0) out += ',';
    out += std::to_string(static_cast<uint8_t>(token[i]));
  }
  out += ']';
}

// A map cannot hold two alternatives that read the same (broken UTF-8): the likelier stays.
void write_alternatives(std::string& out, const std::vector<model::TopLogprob>& top) {
  std::set<std::string> seen;
  out += '{';
  for (const model::TopLogprob& alternative : top) {
    std::string key;
    write_json_string(key, alternative.token);
    if (!seen.insert(key).second) continue;
    if (seen.size() > 1) out += ',';
    out += key;
    out += ':';
    write_logprob_number(out, alternative.logprob);
  }
  out += '}';
}

}  // namespace

size_t count_characters(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(
      text, [](char byte) { return (static_cast<uint8_t>(byte) & 0xc0) != 0x80; }));
}

void write_logprob_list(std::string& out, const std::vector<model::Logprob>& logprobs) {
  out += '[';
  for (size_t i = 0; i < logprobs.size(); i++) {
    if (i > 0) out += ',';
    out += '{';
    write_token(out, logprobs[i].token, logprobs[i].logprob);
    out += R"(,"top_logprobs":[)";
    for (size_t j = 0; j < logprobs[i].top.size(); j++) {
      out += j > 0 ? ",{" : "{";
      write_token(out, logprobs[i].top[j].token, logprobs[i].top[j].logprob);
      out += '}';
    }
    out += "]}";
  }
  out += ']';
}

void write_chat_logprobs(std::string& out, const std::vector<model::Logprob>& logprobs) {
  out += R"({"content":)";
  write_logprob_list(out, logprobs);
  out += R"(,"refusal":null})";
}

void write_completion_logprobs(std::string& out, const std::vector<model::Logprob>& logprobs,
                               size_t& offset) {
  std::string tokens, values, tops, offsets;
  for (const model::Logprob& logprob : logprobs) {
    std::string_view comma = tokens.empty() ? "" : ",";
    tokens += comma;
    write_json_string(tokens, logprob.token);
    values += comma;
    write_logprob_number(values, logprob.logprob);
    tops += comma;
    write_alternatives(tops, logprob.top);
    offsets += comma;
    offsets += std::to_string(offset);
    offset += count_characters(logprob.token);
  }
  out += fmt::format(
      R"({{"tokens":[{}],"token_logprobs":[{}],"top_logprobs":[{}],"text_offset":[{}]}})", tokens,
      values, tops, offsets);
}

}  // namespace om::api
