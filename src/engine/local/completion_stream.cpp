#include "engine/local/completion_stream.h"

#include <algorithm>
#include <boost/json.hpp>

#include "base/check.h"
#include "engine/local/completion_body.h"
#include "engine/local/stream_event.h"
#include "engine/metrics.h"

namespace om::engine {
namespace {

constexpr size_t kErrorBytesMax = 64 * 1024;
constexpr auto kTailMax = std::chrono::milliseconds(200);

std::chrono::nanoseconds from_ms(double ms) {
  return std::chrono::nanoseconds(static_cast<int64_t>(std::clamp(ms, 0.0, 1e12) * 1e6));
}

}  // namespace

Errc errc_of_status(int status) {
  switch (status) {
    case 400:
    case 413:
    case 422:
      return Errc::invalid_argument;
    case 404:
    case 501:
      return Errc::unsupported;
    case 503:
      return Errc::unavailable;
    default:
      return Errc::internal;
  }
}

CompletionStream::CompletionStream(std::shared_ptr<RunnerProcess> runner, CompletionRequest request,
                                   int context_length, io::Call call)
    : runner_(std::move(runner)),
      request_(std::move(request)),
      context_length_(context_length),
      call_(std::move(call)),
      on_caller_(call_.cancel, [this] { cancel_.cancel(); }),
      on_runner_(runner_->broken(), [this] { cancel_.cancel(); }) {}

io::Task<Result<void>> CompletionStream::open() {
  CO_TRY(auto body, completion_body(request_, context_length_));
  // Of a text every token has a byte.
  const size_t tokens = std::max(request_.tokens.size(), request_.prompt.size());
  watch_.emplace(runner_, PromptWork{static_cast<int64_t>(tokens), !request_.media.empty()});
  request_.tokens = {};  // Large, and sent.
  request_.prompt = {};
  request_.media = {};
  watch_->begin_wait();
  const io::TimePoint sent = runner_->world().clock.now();
  auto request = runner_->request("POST", "/completion", std::move(body));
  auto response = co_await runner_->client().send(std::move(request),
                                                  io::Call{call_.deadline, cancel_.token()});
  watch_->end_wait();
  if (!response) co_return fail(co_await broken(std::move(response).error()));
  response_ = std::move(*response);
  const int status = response_->status();
  if (status == 200) {
    time_to_first_event.observe(
        std::chrono::duration<double>(runner_->world().clock.now() - sent).count());
    co_return Result<void>{};
  }
  auto answer = co_await response_->read_all(kErrorBytesMax);
  response_.reset();
  if (!answer) co_return fail(co_await broken(std::move(answer).error()));
  co_return fail(errc_of_status(status), "{}", error_message(*answer));
}

std::optional<Result<Piece>> CompletionStream::ready() {
  while (!final_) {
    auto data = lines_.next();
    if (!data) return fail(garbage(std::move(data).error()));
    if (!*data) return std::nullopt;
    auto event = read_stream_event(**data);
    if (!event) return fail(garbage(std::move(event).error()));
    watch_->heard();
    if (event->kind == StreamEvent::Kind::error) {
      response_.reset();
      const Errc code = event->code == 0 ? Errc::internal : errc_of_status(event->code);
      return fail(code, "{}", event->text);
    }
    if (event->kind == StreamEvent::Kind::final) {
      final_ = std::move(*event);
    } else if (auto piece = take(*event)) {
      return std::move(*piece);
    }
  }
  return std::nullopt;
}

io::Task<Result<Piece>> CompletionStream::next() {
  while (true) {
    if (auto piece = ready()) co_return std::move(*piece);
    if (final_) co_return co_await finish(std::move(*final_));
    CHECK(response_, "next() after the end");
    if (ended_) {
      Error early{Errc::unavailable, "the runner ended the stream before the answer was complete"};
      co_return fail(co_await broken(std::move(early)));
    }
    watch_->begin_wait();
    auto more = co_await response_->read_some(lines_.buffer());
    watch_->end_wait();
    if (!more) co_return fail(co_await broken(std::move(more).error()));
    ended_ = !*more;
  }
}

Error CompletionStream::garbage(Error error) {
  runner_garbage.add();
  response_.reset();
  return error;
}

// A piece for an event that brought text; others are kept until their text comes.
std::optional<Piece> CompletionStream::take(StreamEvent& event) {
  evaluated_ = std::max(evaluated_, event.evaluated);
  if (event.kind == StreamEvent::Kind::progress) {
    watch_->note_progress({.evaluated = event.progress.evaluated,
                           .left = event.progress.left,
                           .depth = event.processed,
                           .time = event.progress.time});
    if (request_.on_prompt_progress) request_.on_prompt_progress(event.progress);
    return std::nullopt;
  }
  watch_->note_token();
  predicted_ = std::max(predicted_, event.predicted);
  if (held_tokens_.empty()) {
    held_tokens_ = std::move(event.tokens);
  } else {
    held_tokens_.insert(held_tokens_.end(), event.tokens.begin(), event.tokens.end());
  }
  add_logprobs(std::move(event.logprobs));
  const bool full = context_is_full();
  if (event.text.empty() && !full) return std::nullopt;
  Piece piece;
  piece.text = std::move(event.text);
  piece.tokens = std::exchange(held_tokens_, {});
  piece.logprobs = std::exchange(held_logprobs_, {});
  piece.output_tokens = predicted_;
  if (full) {  // The runner would shift the context from here on; the caller does not want it.
    piece.done = piece.limit = true;
    piece.prompt_tokens = evaluated_;
    response_.reset();
  }
  return piece;
}

bool CompletionStream::context_is_full() const {
  return !request_.shift && evaluated_ + predicted_ >= context_length_;
}

void CompletionStream::add_logprobs(std::vector<model::Logprob> logprobs) {
  if (request_.logprobs < 0) return;
  for (model::Logprob& logprob : logprobs) {
    const auto wanted = static_cast<size_t>(request_.logprobs);
    if (logprob.top.size() > wanted) logprob.top.resize(wanted);
    held_logprobs_.push_back(std::move(logprob));
  }
}

io::Task<Result<Piece>> CompletionStream::finish(StreamEvent event) {
  Piece piece;
  piece.done = true;
  piece.limit = event.stop_type == "limit";
  piece.stop_word = std::move(event.stop_word);
  piece.prompt_tokens = event.evaluated;
  piece.cached_tokens = event.cached;
  piece.output_tokens = event.predicted;
  piece.prompt_time = from_ms(event.prompt_ms);
  piece.output_time = from_ms(event.eval_ms);
  if (piece.limit && !held_tokens_.empty() && !request_.sampling.stop.empty()) {
    // It might have become a stop string and was never sent.
    CO_TRY(piece.text, co_await withheld_text());
  }
  piece.tokens = std::exchange(held_tokens_, {});
  piece.logprobs = std::exchange(held_logprobs_, {});
  // Reading to the end lets the connection be used again; it comes with the last event.
  response_->set_idle_max(kTailMax);
  std::string rest;
  auto more = co_await response_->read_some(rest);
  if (!more || *more) response_.reset();
  watch_.reset();
  co_return piece;
}

io::Task<Result<std::string>> CompletionStream::withheld_text() {
  std::string body = R"({"tokens":)";
  append_tokens(body, held_tokens_);
  body += '}';
  RunnerProcess::Watch watch(runner_, {.aside = true});
  watch.begin_wait();
  auto request = runner_->request("POST", "/detokenize", std::move(body));
  auto response = co_await runner_->client().send(std::move(request),
                                                  io::Call{call_.deadline, cancel_.token()});
  if (!response) co_return fail(co_await broken(std::move(response).error()));
  auto answer = co_await (*response)->read_all(kErrorBytesMax);
  if (!answer) co_return fail(co_await broken(std::move(answer).error()));
  watch.heard();
  boost::system::error_code failed;
  const auto value = boost::json::parse(*answer, failed);
  const auto* content =
      !failed && value.is_object() ? value.get_object().if_contains("content") : nullptr;
  if (!content || !content->is_string()) {
    co_return fail(Errc::corrupt, "the runner's answer has no content");
  }
  co_return std::string(content->get_string());
}

// What really happened, when the connection failed: the caller left, or the runner died.
io::Task<Error> CompletionStream::broken(Error error) {
  response_.reset();
  if (call_.cancel.cancelled()) co_return Error{Errc::cancelled, "the request was cancelled"};
  if (error.code == Errc::deadline_exceeded) co_return error;
  if (error.code != Errc::corrupt) co_await runner_->settle();
  if (runner_->broken().cancelled()) co_return runner_->death();
  co_return error;
}

}  // namespace om::engine
