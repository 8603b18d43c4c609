#include "engine/local/local_engine.h"

#include <boost/json.hpp>

#include "base/log.h"
#include "engine/local/completion_body.h"
#include "engine/local/completion_stream.h"
#include "engine/local/stream_event.h"
#include "io/cancel_either.h"

namespace om::engine {
namespace {

namespace json = boost::json;

constexpr size_t kAnswerBytesMax = 64 << 20;
constexpr auto kPropertiesMax = std::chrono::seconds(30);
constexpr auto kProbeMax = std::chrono::seconds(20);

const json::value* member(const json::value& value, std::string_view name) {
  return value.is_object() ? value.get_object().if_contains(name) : nullptr;
}

int integer(const json::value* value) {
  if (!value) return 0;
  boost::system::error_code failed;
  const int result = value->to_number<int>(failed);
  return failed ? 0 : result;
}

bool truth(const json::value* value) { return value && value->is_bool() && value->get_bool(); }

// [{"embedding":[[...]]}], or without the inner list for the OpenAI shape.
Result<std::vector<float>> read_vector(const json::value& answer) {
  const json::value* numbers = nullptr;
  if (answer.is_array() && !answer.get_array().empty()) {
    numbers = member(answer.get_array()[0], "embedding");
  }
  if (numbers && numbers->is_array() && !numbers->get_array().empty() &&
      numbers->get_array()[0].is_array()) {
    numbers = &numbers->get_array()[0];
  }
  if (!numbers || !numbers->is_array()) {
    return fail(Errc::corrupt, "the runner's answer holds no embedding");
  }
  std::vector<float> vector;
  vector.reserve(numbers->get_array().size());
  for (const json::value& number : numbers->get_array()) {
    if (number.is_null()) {  // How JSON writers spell NaN and infinity.
      return fail(Errc::invalid_argument, "embedding contains NaN or Inf values");
    }
    boost::system::error_code failed;
    vector.push_back(number.to_number<float>(failed));
    if (failed) return fail(Errc::corrupt, "the runner's embedding holds something else");
  }
  return vector;
}

}  // namespace

LocalEngine::LocalEngine(io::World& world, LaunchOptions options,
                         std::shared_ptr<GrammarProbe> probe, std::shared_ptr<RunnerPaces> paces)
    : process_(std::make_shared<RunnerProcess>(world, std::move(options))),
      probe_(std::move(probe)),
      paces_(std::move(paces)) {}

io::Task<Result<void>> LocalEngine::load(io::Call call) {
  auto started = co_await process_->start(call);
  if (!started && process_->killed_while_loading()) {
    // Ended from outside, by an operator or for want of memory: worth one more try.
    log_warn("runner killed while it loaded, trying again",
             field("model", process_->options().name), field("reason", started.error().what));
    process_ = std::make_shared<RunnerProcess>(process_->world(), process_->options());
    started = co_await process_->start(call);
  }
  CO_TRY_VOID(std::move(started));
  auto known = co_await read_properties(call);
  if (!known) {
    co_await process_->stop();
    co_return fail(annotate(std::move(known).error(), "read the runner's properties"));
  }
  process_->use_pace(paces_->of(process_->options(), process_->graphics()));
  if (probe_->is_due() && !properties_.embedding) {
    auto probed = co_await probe_grammar(call);
    if (!probed && process_->broken().cancelled()) {
      co_await process_->stop();
      co_return probed;
    }
    // The next one is asked then.
    if (!probed) log_warn("runner not probed", field("error", probed.error()));
  }
  co_return Result<void>{};
}

Blame LocalEngine::blame() const {
  if (process_->was_wedged()) return process_->has_worked() ? Blame::suspicion : Blame::none;
  return process_->was_killed() ? Blame::none : Blame::death;
}

io::Task<Result<void>> LocalEngine::probe_grammar(io::Call call) {
  call = process_->world().clock.call_within(kProbeMax, call);
  CO_TRY(const auto answer,
         co_await ask("POST", "/completion", GrammarProbe::body(), std::move(call)));
  const json::value* content = member(answer, "content");
  if (!content || !content->is_string()) co_return fail(Errc::corrupt, "the runner sent no text");
  probe_->take(content->get_string());
  co_return Result<void>{};
}

io::Task<void> LocalEngine::stop() { co_await process_->stop(); }

io::Task<Result<void>> LocalEngine::read_properties(io::Call call) {
  const io::Call bounded = process_->world().clock.call_within(kPropertiesMax, call);
  CO_TRY(const auto answer, co_await ask("GET", "/props", {}, bounded));
  const LaunchOptions& options = process_->options();
  const json::value* settings = member(answer, "default_generation_settings");
  properties_.context_length = settings ? integer(member(*settings, "n_ctx")) : 0;
  if (properties_.context_length <= 0) {
    co_return fail(Errc::corrupt, "the runner tells no context length");
  }
  properties_.slots = integer(member(answer, "total_slots"));
  if (properties_.slots <= 0) co_return fail(Errc::corrupt, "the runner has no slots");
  if (const json::value* modalities = member(answer, "modalities")) {
    properties_.vision = truth(member(*modalities, "vision"));
    properties_.audio = truth(member(*modalities, "audio"));
  }
  if (properties_.vision || properties_.audio) {
    properties_.media_marker = process_->media_marker();
  }
  properties_.embedding = options.embedding;
  if (options.embedding) {  // It rounds up, but a text may have to fit into one batch.
    properties_.context_length = std::min(properties_.context_length, options.context_length);
  }
  properties_.resident_bytes = process_->memory().resident;
  co_return Result<void>{};
}

io::Task<Result<json::value>> LocalEngine::ask(std::string method, std::string target,
                                               std::string body, io::Call call) {
  auto request = process_->request(std::move(method), std::move(target), std::move(body));
  const io::CancelEither cancel(call.cancel, process_->broken());
  auto response =
      co_await process_->client().send(std::move(request), {call.deadline, cancel.token()});
  Result<std::string> answer;
  int status = 0;
  if (response) {
    status = (*response)->status();
    answer = co_await (*response)->read_all(kAnswerBytesMax);
  } else {
    answer = fail(std::move(response).error());
  }
  if (!answer) {
    const Errc code = answer.error().code;
    if (call.cancel.cancelled() || code == Errc::deadline_exceeded) {
      co_return fail(std::move(answer).error());
    }
    co_await process_->settle();
    if (process_->broken().cancelled()) co_return fail(process_->death());
    co_return fail(std::move(answer).error());
  }
  if (status != 200) co_return fail(errc_of_status(status), "{}", error_message(*answer));
  boost::system::error_code failed;
  auto value = json::parse(*answer, failed);
  if (failed) co_return fail(Errc::corrupt, "the runner's answer is not JSON");
  co_return value;
}

io::Task<Result<json::value>> LocalEngine::ask_aside(std::string target, std::string body,
                                                     io::Call call) {
  RunnerProcess::Watch watch(process_, {.aside = true, .bytes = static_cast<int64_t>(body.size())});
  watch.begin_wait();
  auto answer = co_await ask("POST", std::move(target), std::move(body), std::move(call));
  watch.end_wait();
  if (answer) watch.heard();
  co_return answer;
}

io::Task<Result<std::unique_ptr<Completion>>> LocalEngine::complete(CompletionRequest request,
                                                                    io::Call call) {
  if (!process_->alive()) co_return fail(process_->death());
  if (!request.constraint.generation_prompt.empty()) CO_TRY_VOID(probe_->check());
  auto stream = std::make_unique<CompletionStream>(process_, std::move(request),
                                                   properties_.context_length, std::move(call));
  CO_TRY_VOID(co_await stream->open());
  co_return std::unique_ptr<Completion>(std::move(stream));
}

io::Task<Result<EmbeddingResult>> LocalEngine::embed(std::vector<Token> tokens, bool normalize,
                                                     io::Call call) {
  std::string body = R"({"content":)";
  append_tokens(body, tokens);
  body += normalize ? R"(,"embd_normalize":2})" : R"(,"embd_normalize":-1})";
  RunnerProcess::Watch watch(process_, {.tokens = static_cast<int64_t>(tokens.size())});
  const io::TimePoint asked = process_->world().clock.now();
  watch.begin_wait();
  auto answer = co_await ask("POST", "/embedding", std::move(body), call);
  watch.end_wait();
  if (!answer) co_return fail(std::move(answer).error());
  watch.heard();
  watch.note_evaluated(process_->world().clock.now() - asked);
  EmbeddingResult result;
  CO_TRY(result.vector, read_vector(*answer));
  result.tokens = static_cast<int64_t>(tokens.size());
  co_return result;
}

io::Task<Result<std::vector<Token>>> LocalEngine::tokenize(std::string text, bool add_special,
                                                           io::Call call) {
  std::string body = R"({"content":)";
  append_quoted(body, text);
  body += add_special ? R"(,"add_special":true})" : R"(,"add_special":false})";
  CO_TRY(const auto answer, co_await ask_aside("/tokenize", std::move(body), call));
  const json::value* list = member(answer, "tokens");
  if (!list || !list->is_array()) co_return fail(Errc::corrupt, "the runner sent no tokens");
  std::vector<Token> tokens;
  tokens.reserve(list->get_array().size());
  for (const json::value& token : list->get_array()) {
    boost::system::error_code failed;
    tokens.push_back(token.to_number<Token>(failed));
    if (failed) co_return fail(Errc::corrupt, "the runner sent a token id that is no number");
  }
  co_return tokens;
}

io::Task<Result<std::string>> LocalEngine::detokenize(std::vector<Token> tokens, io::Call call) {
  std::string body = R"({"tokens":)";
  append_tokens(body, tokens);
  body += '}';
  CO_TRY(const auto answer, co_await ask_aside("/detokenize", std::move(body), call));
  const json::value* content = member(answer, "content");
  if (!content || !content->is_string()) co_return fail(Errc::corrupt, "the runner sent no text");
  co_return std::string(content->get_string());
}

EngineFactory local_engines(io::World& world) {
  auto probe = std::make_shared<GrammarProbe>();
  auto paces = std::make_shared<RunnerPaces>();
  return [&world, probe, paces](LaunchOptions options) -> std::unique_ptr<LoadableEngine> {
    return std::make_unique<LocalEngine>(world, std::move(options), probe, paces);
  };
}

}  // namespace om::engine
