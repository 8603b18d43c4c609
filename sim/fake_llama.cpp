#include "sim/fake_llama.h"

#include <boost/json.hpp>

namespace om::sim {

namespace json = boost::json;

namespace {

constexpr uint64_t kBodyMax = uint64_t{64} << 20;
constexpr int kEndOfText = 0;

// FNV-1a over the tokens so far; one step per token.
uint64_t mix(uint64_t hash, int token) {
  return (hash ^ static_cast<uint64_t>(token)) * 0x100000001b3;
}

// The token that follows a sequence with this hash.
int next_token(uint64_t hash) {
  const uint64_t draw = (hash >> 17) % 67;
  if (draw == 0) return kEndOfText;
  return draw < 12 ? ' ' : static_cast<int>('a' + draw % 26);
}

std::vector<int> tokens_of(const json::value& prompt) {
  std::vector<int> tokens;
  if (prompt.is_string()) {
    for (const char c : prompt.as_string()) tokens.push_back(static_cast<unsigned char>(c));
  } else if (prompt.is_array()) {
    for (const json::value& id : prompt.as_array()) {
      tokens.push_back(static_cast<int>(id.is_int64() ? id.as_int64() : 0));
    }
  }
  return tokens;
}

uint64_t hash_of(const std::vector<int>& tokens) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const int token : tokens) hash = mix(hash, token);
  return hash;
}

std::string event(std::string_view text, int token, uint64_t predicted, uint64_t evaluated) {
  return fmt::format(R"(data: {{"index":0,"content":"{}","tokens":[{}],"stop":false,"id_slot":0,)"
                     R"("tokens_predicted":{},"tokens_evaluated":{}}})"
                     "\n\n",
                     text, token, predicted, evaluated);
}

std::string final_event(bool limit, uint64_t predicted, uint64_t evaluated) {
  return fmt::format(
      R"(data: {{"index":0,"content":"","tokens":[],"stop":true,"stop_type":"{}",)"
      R"("stopping_word":"","truncated":false,"tokens_predicted":{},"tokens_evaluated":{},)"
      R"("tokens_cached":{},"timings":{{"cache_n":0,"prompt_n":{},"prompt_ms":1.5,)"
      R"("predicted_n":{},"predicted_ms":2.5}}}})"
      "\n\n",
      limit ? "limit" : "eos", predicted, evaluated, evaluated + predicted, evaluated, predicted);
}

// Of a grammar that is one literal: what of it was not said before. Others are not followed.
std::optional<std::string> rest_of_literal(const json::object& request) {
  constexpr std::string_view kRule = "root ::= \"";
  const json::value* grammar = request.if_contains("grammar");
  const json::value* said = request.if_contains("generation_prompt");
  if (!grammar || !grammar->is_string() || !said || !said->is_string()) return std::nullopt;
  std::string_view literal = grammar->get_string();
  if (!literal.starts_with(kRule) || !literal.ends_with('"')) return std::nullopt;
  literal = literal.substr(kRule.size(), literal.size() - kRule.size() - 1);
  if (!literal.starts_with(said->get_string())) return std::nullopt;
  return std::string(literal.substr(said->get_string().size()));
}

std::string error_body(int status, std::string_view message) {
  return fmt::format(R"({{"error":{{"code":{},"message":"{}","type":"invalid_request_error"}}}})",
                     status, message);
}

}  // namespace

std::string fake_answer(std::string_view prompt, size_t count) {
  uint64_t hash = hash_of(tokens_of(json::value(json::string(prompt))));
  std::string answer;
  while (answer.size() < count) {
    const int token = next_token(hash);
    if (token == kEndOfText) break;
    answer += static_cast<char>(token);
    hash = mix(hash, token);
  }
  return answer;
}

FakeLlama::FakeLlama(io::World& world, FakeLlamaBehaviour behaviour, std::function<void()> die)
    : world_(world),
      behaviour_(behaviour),
      die_(std::move(die)),
      server_(world, {},
              [this](http::Request& request, http::BodyReader& body,
                     http::ResponseWriter& response) { return handle(request, body, response); }) {}

FakeLlama::~FakeLlama() = default;

io::Task<Result<void>> FakeLlama::serve(io::Endpoint at, io::CancelToken stop) {
  const auto listening = server_.listen(std::move(at));
  if (!listening) co_return fail(listening.error());
  const io::Call call{io::kNever, stop};
  const auto slept = co_await world_.clock.sleep_for(behaviour_.load_time, call);
  loaded_ = slept.has_value() && !behaviour_.fails_to_load;
  if (loaded_ && behaviour_.before_loaded) loaded_ = co_await behaviour_.before_loaded();
  if (behaviour_.fails_to_load) die_();
  const auto waited = co_await world_.clock.sleep_until(io::kNever, call);
  co_await server_.stop({});
  co_return Result<void>{};
}

io::Task<void> FakeLlama::handle(http::Request& request, http::BodyReader& body,
                                 http::ResponseWriter& response) {
  const std::string type = "application/json";
  auto read = co_await body.read_all(kBodyMax);
  if (!read) co_return;
  Result<void> sent;
  if (!loaded_) {
    sent = co_await response.send(503, type, error_body(503, "Loading model"));
  } else if (request.path == "/health") {
    sent = co_await response.send(200, type, R"({"status":"ok"})");
  } else if (request.path == "/props") {
    std::string props =
        fmt::format(R"({{"default_generation_settings":{{"n_ctx":{}}},"total_slots":{},)"
                    R"("modalities":{{"vision":false,"audio":false}},"media_marker":"<m>"}})",
                    behaviour_.context_length, behaviour_.slots);
    sent = co_await response.send(200, type, std::move(props));
  } else if (request.path == "/tokenize" || request.path == "/detokenize") {
    boost::system::error_code error;
    const json::value value = json::parse(*read, error);
    json::object reply;
    if (error || !value.is_object()) {
      sent = co_await response.send(400, type, error_body(400, "not an object"));
      co_return;
    }
    if (request.path == "/tokenize") {
      json::array tokens;
      for (const int token : tokens_of(value.as_object().at("content"))) tokens.emplace_back(token);
      reply["tokens"] = std::move(tokens);
    } else {
      std::string text;
      for (const int token : tokens_of(value.as_object().at("tokens"))) {
        text += static_cast<char>(token);
      }
      reply["content"] = text;
    }
    sent = co_await response.send(200, type, json::serialize(reply));
  } else if (request.path == "/completion") {
    co_await complete(request, std::move(*read), response);
  } else {
    sent = co_await response.send(404, type, error_body(404, "File Not Found"));
  }
}

io::Task<bool> FakeLlama::misbehave(http::Request& request, http::ResponseWriter& response) {
  const auto reached = [this](uint64_t limit) { return limit != 0 && sent_ >= limit; };
  if (reached(behaviour_.crash_after_tokens)) {
    die_();
    co_return true;
  }
  if (reached(behaviour_.garbage_after_tokens)) {
    const auto written = co_await response.write(behaviour_.garbage);
    co_return true;
  }
  if (reached(behaviour_.wedge_after_tokens)) {
    const auto waited =
        co_await world_.clock.sleep_until(io::kNever, io::Call{io::kNever, request.cancel});
    co_return true;
  }
  co_return false;
}

io::Task<void> FakeLlama::complete(http::Request& request, std::string body,
                                   http::ResponseWriter& response) {
  boost::system::error_code error;
  const json::value value = json::parse(body, error);
  if (error || !value.is_object() || !value.as_object().contains("prompt")) {
    const auto sent = co_await response.send(400, "application/json",
                                             error_body(400, "\\\"prompt\\\" must be provided"));
    co_return;
  }
  if (const auto rest = rest_of_literal(value.as_object())) {
    const auto sent = co_await response.send(
        200, "application/json", json::serialize(json::object{{"content", *rest}, {"stop", true}}));
    co_return;
  }
  const std::vector<int> prompt = tokens_of(value.as_object().at("prompt"));
  const json::value* wanted = value.as_object().if_contains("n_predict");
  const int64_t limit = wanted != nullptr && wanted->is_int64() ? wanted->as_int64() : -1;
  uint64_t hash = hash_of(prompt);
  uint64_t predicted = 0;
  bool at_limit = false;
  auto written = co_await response.start(200, "text/event-stream");
  while (written) {
    const bool misbehaved = co_await misbehave(request, response);
    if (misbehaved) co_return;
    const int token = next_token(hash);
    at_limit = limit >= 0 && predicted >= static_cast<uint64_t>(limit);
    if (at_limit || (token == kEndOfText && !behaviour_.never_ends)) break;
    if (behaviour_.token_time > io::Duration::zero()) {
      const auto slept = co_await world_.clock.sleep_for(behaviour_.token_time,
                                                         io::Call{io::kNever, request.cancel});
      if (!slept) co_return;
    }
    if (behaviour_.before_token) {
      const bool comes = co_await behaviour_.before_token();
      if (!comes) co_return;
    }
    hash = mix(hash, token);
    predicted++;
    sent_++;
    const std::string text =
        behaviour_.content ? behaviour_.content() : std::string(1, static_cast<char>(token));
    written = co_await response.write(event(text, token, predicted, prompt.size()));
  }
  if (!written) co_return;
  written = co_await response.write(final_event(at_limit, predicted, prompt.size()));
  if (written) written = co_await response.finish();
}

}  // namespace om::sim
