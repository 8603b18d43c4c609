#include "sim/cluster/foreign.h"

#include <algorithm>
#include <boost/json.hpp>

#include "base/check.h"
#include "sim/fake_llama.h"
#include "sim/models_for_test.h"

namespace om::sim {

namespace json = boost::json;
using engine::BackendKind;

// What an answer is asked for with.
struct ForeignQuestion {
  BackendKind kind;
  bool chat;
  std::string prompt;
  size_t limit;
  bool lines = false;   // As Ollama's own API; else the events of OpenAI's.
  bool counts = false;  // With each event.
  std::string repeats;  // What was said before, in front of its first text.
};

namespace {

constexpr uint16_t kPort = 8000;
constexpr uint64_t kBodyMax = uint64_t{64} << 20;
constexpr size_t kTokensMax = 4096;
constexpr double kMisconductChance = 0.1;  // Of each event.
constexpr double kRefusalChance = 0.4, kPageChance = 0.2;
constexpr auto kSilenceLook = std::chrono::milliseconds(100);
constexpr std::string_view kJson = "application/json";
constexpr std::string_view kPage = "<html><body>It works!</body></html>";
constexpr std::string_view kNonsense[] = {
    "data: {\"choices\":[{\"delta\":{\"content\":\"\xff\xfe\n\n", "<html>\n\n", "data: 17\n\n",
    "data: {\"choices\":[{\"text\":\"cut\n\n", "{\"message\":{\"content\":\"x\"\n"};

bool is_answer(BackendKind kind, std::string_view path) {
  const bool own = kind == BackendKind::ollama && (path == "/api/chat" || path == "/api/generate");
  return own || path == "/v1/chat/completions" || path == "/v1/completions";
}

std::string error_text(int status, std::string_view message) {
  return fmt::format(R"({{"error":{{"code":{},"message":"{}","type":"server_error"}}}})", status,
                     message);
}

bool is_true(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  return value && value->is_bool() && value->get_bool();
}

// Whether a last message of the assistant is gone on from.
bool continues(BackendKind kind, const json::object& body) {
  if (kind == BackendKind::vllm) return is_true(body, "continue_final_message");
  return kind != BackendKind::openai;
}

std::string prompt_of(BackendKind kind, const json::object& body) {
  if (const json::value* prompt = body.if_contains("prompt")) {
    return std::string(prompt->as_string());
  }
  std::string prompt;
  std::string_view role;
  for (const json::value& message : body.at("messages").as_array()) {
    role = message.at("role").as_string();
    prompt += chat_turn(role, message.at("content").as_string());
  }
  const bool goes_on = role == "assistant" && continues(kind, body);
  return goes_on ? prompt : prompt + chat_turn("assistant", "");
}

// llama-server unless it is told not to, and Ollama with the models whose prompt llama-server
// makes: here those that have an even number.
std::string repeated(BackendKind kind, const json::object& body) {
  const json::value* messages = body.if_contains("messages");
  if (!messages || messages->as_array().empty()) return {};
  const json::value& last = messages->as_array().back();
  const bool repeats = kind == BackendKind::ollama ? body.at("model").as_string().at(1) % 2 == 0
                                                   : kind == BackendKind::llama_server &&
                                                         !is_true(body, "continue_final_message");
  const bool goes_on = last.at("role").as_string() == "assistant";
  return repeats && goes_on ? std::string(last.at("content").as_string()) : "";
}

size_t limit_of(const json::object& body) {
  const json::value* limit = body.if_contains("max_tokens");
  const json::value* options = body.if_contains("options");
  if (options) limit = options->as_object().if_contains("num_predict");
  return limit && limit->is_int64() && limit->get_int64() >= 0
             ? static_cast<size_t>(limit->get_int64())
             : kTokensMax;
}

ForeignQuestion question_of(BackendKind kind, std::string_view path, const json::object& body) {
  ForeignQuestion question{kind, path.ends_with("/chat") || path.contains("/chat/"),
                           prompt_of(kind, body), limit_of(body)};
  question.lines = path.starts_with("/api/");
  const json::value* options = body.if_contains("stream_options");
  question.counts = (kind == BackendKind::vllm && options &&
                     is_true(options->as_object(), "continuous_usage_stats")) ||
                    (kind == BackendKind::llama_server && is_true(body, "timings_per_token"));
  question.repeats = repeated(kind, body);
  return question;
}

std::string usage_text(const ForeignQuestion& question, size_t said) {
  return fmt::format(R"("usage":{{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{}}})",
                     question.prompt.size(), said, question.prompt.size() + said);
}

std::string counts_text(const ForeignQuestion& question, size_t said) {
  if (!question.counts) return {};
  if (question.kind == BackendKind::vllm) return "," + usage_text(question, said);
  const size_t cached = question.prompt.size() / 2;
  return fmt::format(R"(,"timings":{{"cache_n":{},"prompt_n":{},"prompt_ms":1.5,"predicted_n":{},)"
                     R"("predicted_ms":2.5}})",
                     cached, question.prompt.size() - cached, said);
}

// One event. `reason` empty: it is not the last.
std::string event_text(const ForeignQuestion& question, std::string_view text, size_t said,
                       std::string_view reason) {
  const std::string quoted = json::serialize(json::string(text));
  if (question.lines) {
    const std::string place =
        question.chat ? fmt::format(R"("message":{{"role":"assistant","content":{}}})", quoted)
                      : fmt::format(R"("response":{})", quoted);
    if (reason.empty()) return fmt::format("{{{},\"done\":false}}\n", place);
    return fmt::format(R"({{{},"done":true,"done_reason":"{}","prompt_eval_count":{},)"
                       R"("eval_count":{}}})"
                       "\n",
                       place, reason, question.prompt.size(), said);
  }
  const std::string place = question.chat ? fmt::format(R"("delta":{{"content":{}}})", quoted)
                                          : fmt::format(R"("text":{})", quoted);
  const std::string why = reason.empty() ? "null" : fmt::format("\"{}\"", reason);
  return fmt::format(R"(data: {{"choices":[{{"index":0,{},"finish_reason":{}}}]{}}})"
                     "\n\n",
                     place, why, counts_text(question, said));
}

std::string end_text(const ForeignQuestion& question, size_t said) {
  const std::string last =
      event_text(question, "", said, said < question.limit ? "stop" : "length");
  if (question.lines) return last;
  return fmt::format("{}data: {{\"choices\":[],{}}}\n\ndata: [DONE]\n\n", last,
                     usage_text(question, said));
}

}  // namespace

struct ForeignServer::Life {
  Life(World& world, SimHost::Place place)
      : disk(world.clock()), machine(world, std::move(place), disk) {}
  SimFilesystem disk;
  Machine machine;
  io::CancelSource stop;
  http::Server* server = nullptr;
  bool ended = false;
};

ForeignServer::ForeignServer(World& world, const ForeignPlan& plan, int number)
    : sim_(world),
      plan_(plan),
      name_(fmt::format("b{}", number)),
      address_(fmt::format("10.0.2.{}", number + 1)) {}

ForeignServer::~ForeignServer() = default;

Machine& ForeignServer::machine() { return lives_.back()->machine; }

std::string ForeignServer::url() const { return fmt::format("http://{}:{}", address_, kPort); }

void ForeignServer::start() {
  lives_.push_back(std::make_unique<Life>(sim_, SimHost::Place{name_, address_}));
  Life& life = *lives_.back();
  io::spawn_detached(life.machine.world().executor, live(life));
}

io::Task<void> ForeignServer::live(Life& life) {
  http::Server server(life.machine.world(), {},
                      [this, &life](http::Request& request, http::BodyReader& body,
                                    http::ResponseWriter& response) {
                        return handle(life, request, body, response);
                      });
  const auto listening = server.listen(io::Endpoint::tcp(address_, kPort));
  CHECK(listening.has_value(), "a foreign server cannot listen");
  life.server = &server;
  const auto slept =
      co_await life.machine.clock().sleep_until(io::kNever, {io::kNever, life.stop.token()});
  co_await server.stop({});
  life.server = nullptr;
  life.ended = true;
}

void ForeignServer::stop() {
  if (!lives_.empty()) lives_.back()->stop.cancel();
}

void ForeignServer::kill() {
  machine().die(Word::reset);
  stop();
}

bool ForeignServer::has_all_ended() const {
  return std::ranges::all_of(lives_, [](const auto& life) { return life->ended; });
}

size_t ForeignServer::running() const {
  const http::Server* server = lives_.empty() ? nullptr : lives_.back()->server;
  return server ? server->requests_running() : 0;
}

bool ForeignServer::has(std::string_view model) const {
  return std::ranges::any_of(plan_.models, [&](int number) {
    const std::string name = model_name(number);
    return name == model || name == fmt::format("{}:latest", model);
  });
}

io::Task<void> ForeignServer::handle(Life& life, http::Request& request, http::BodyReader& body,
                                     http::ResponseWriter& response) {
  requests_++;
  auto text = co_await body.read_all(kBodyMax);
  if (!text) co_return;
  Result<void> sent;
  const std::string wanted = plan_.key.empty() ? "" : "Bearer " + plan_.key;
  if (request.headers.get("Authorization") != wanted) {
    sent = co_await response.send(401, std::string(kJson), error_text(401, "no such key"));
  } else if (conduct == ForeignTrouble::refuse && sim_.random().chance(kRefusalChance)) {
    const int statuses[] = {429, 500, 502, 503};
    const int status = statuses[sim_.random().below(std::size(statuses))];
    sent = co_await response.send(status, std::string(kJson), error_text(status, "as drawn"));
  } else if (conduct == ForeignTrouble::garbage && sim_.random().chance(kPageChance)) {
    sent = co_await response.send(200, "text/html", std::string(kPage));
  } else if (is_answer(plan_.kind, request.path)) {
    co_await answer(life, request, std::move(*text), response);
  } else {
    co_await tell(request.path, response);
  }
}

// What is asked of it before any answer.
io::Task<void> ForeignServer::tell(std::string_view path, http::ResponseWriter& response) {
  const bool ollama = plan_.kind == BackendKind::ollama;
  std::string text;
  if (path == "/api/version" && ollama) text = R"({"version":"0.12.0"})";
  if (path == "/props" && plan_.kind == BackendKind::llama_server) {
    text = R"({"default_generation_settings":{"n_ctx":4096},"total_slots":4})";
  }
  if (path == "/v1/models" || (path == "/api/tags" && ollama)) {
    const std::string_view owner = plan_.kind == BackendKind::vllm ? "vllm" : "somebody";
    json::array models;
    for (const int model : plan_.models) {
      std::string name = model_name(model);
      if (path == "/api/tags") {
        models.push_back(json::object{{"name", name}, {"size", 1000}});
        continue;
      }
      if (!ollama) name.resize(name.find(':'));
      models.push_back(json::object{{"id", name}, {"owned_by", owner}, {"created", 1}});
    }
    text =
        json::serialize(json::object{{path == "/api/tags" ? "models" : "data", std::move(models)}});
  }
  const int status = text.empty() ? 404 : 200;
  if (text.empty()) text = error_text(404, "Not Found");
  const auto sent = co_await response.send(status, std::string(kJson), std::move(text));
}

io::Task<void> ForeignServer::answer(Life& life, http::Request& request, std::string body,
                                     http::ResponseWriter& response) {
  const json::object asked = json::parse(body).as_object();
  CHECK(is_true(asked, "stream"), "nodes ask for streams only");
  if (!has(asked.at("model").as_string())) {
    const auto sent =
        co_await response.send(404, std::string(kJson), error_text(404, "no such model"));
    co_return;
  }
  co_await say(life, question_of(plan_.kind, request.path, asked), request, response);
}

io::Task<void> ForeignServer::say(Life& life, ForeignQuestion question, http::Request& request,
                                  http::ResponseWriter& response) {
  const size_t index = asked_.size();
  asked_.push_back({.prompt = question.prompt});
  const std::string text = fake_answer(question.prompt, question.limit);
  size_t said = 0;
  auto written =
      co_await response.start(200, question.lines ? "application/x-ndjson" : "text/event-stream");
  while (written && said < text.size()) {
    const bool on = co_await goes_on(life, question, request, response);
    if (!on) co_return;
    const std::string_view piece = std::string_view(text).substr(said, plan_.tokens_per_event);
    const io::Duration takes = std::chrono::nanoseconds(
        static_cast<int64_t>(static_cast<double>(plan_.token_time.count()) * token_factor *
                             static_cast<double>(piece.size())));
    const auto slept = co_await life.machine.clock().sleep_for(takes, {io::kNever, request.cancel});
    if (!slept) co_return;
    said += piece.size();
    asked_[index].tokens = said;
    const std::string told = std::exchange(question.repeats, "") + std::string(piece);
    written = co_await response.write(event_text(question, told, said, ""));
  }
  if (!written) co_return;
  const bool on = co_await goes_on(life, question, request, response);
  if (!on) co_return;
  written = co_await response.write(end_text(question, said));
  if (written) written = co_await response.finish();
  asked_[index].whole = written.has_value();
}

io::Task<bool> ForeignServer::goes_on(Life& life, const ForeignQuestion& question,
                                      http::Request& request, http::ResponseWriter& response) {
  SimRandom& random = sim_.random();
  if (!conduct || !random.chance(kMisconductChance)) co_return true;
  Result<void> written;
  switch (*conduct) {
    case ForeignTrouble::garbage:
      written = co_await response.write(kNonsense[random.below(std::size(kNonsense))]);
      co_return false;
    case ForeignTrouble::refuse: {
      const std::string error = error_text(random.chance(0.5) ? 500 : 503, "as drawn");
      const std::string event = question.lines ? error + "\n" : "data: " + error + "\n\n";
      written = co_await response.write(event);
      if (written) written = co_await response.finish();
      co_return false;
    }
    case ForeignTrouble::break_off:
      if (random.chance(0.5)) written = co_await response.finish();
      co_return false;
    case ForeignTrouble::fall_silent: {
      Result<void> slept;
      while (slept && conduct == ForeignTrouble::fall_silent) {
        slept = co_await life.machine.clock().sleep_for(kSilenceLook, {io::kNever, request.cancel});
      }
      co_return slept.has_value();
    }
    default:
      co_return true;
  }
}

}  // namespace om::sim
