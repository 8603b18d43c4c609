#include "generation/federated_answer.h"

#include <algorithm>

#include "base/log.h"
#include "scheduler/backend_cost.h"

namespace om::generation {

namespace json = boost::json;

bool is_holders_fault(const Error& error) {
  switch (error.code) {
    case Errc::unavailable:
    case Errc::overloaded:
    case Errc::internal:
    case Errc::corrupt:
    case Errc::unauthenticated:
    case Errc::not_found:
    case Errc::unsupported:
      return true;
    default:
      return false;
  }
}

io::Task<Result<std::unique_ptr<Answer>>> ask(Generation& generation, model::ChatRequest request,
                                              io::Call call) {
  return generation.chat(std::move(request), std::move(call));
}

io::Task<Result<std::unique_ptr<Answer>>> ask(Generation& generation,
                                              model::GenerateRequest request, io::Call call) {
  return generation.generate(std::move(request), std::move(call));
}

FederatedAnswer::FederatedAnswer(io::World& world, Generation& own, bool is_own,
                                 HolderChoice& choice, Request request, io::Call call)
    : world_(world),
      own_(own),
      is_own_(is_own),
      own_left_(is_own),
      choice_(choice),
      request_(std::move(request)),
      call_(std::move(call)),
      started_(world.clock.now()) {
  route_.attempts = 0;
}

FederatedAnswer::~FederatedAnswer() { leave(); }

void FederatedAnswer::leave() {
  external_.reset();
  own_answer_.reset();
  backend_.reset();
  may_repeat_ = false;
}

// What a grammar, a tool call or thoughts began cannot be handed over as text.
bool FederatedAnswer::can_be_continued() const {
  if (!plain_ || common().format.kind != model::Format::Kind::none) return false;
  if (const auto* chat = std::get_if<model::ChatRequest>(&request_)) return chat->tools.empty();
  return std::get<model::GenerateRequest>(request_).suffix.empty();
}

io::Task<Result<void>> FederatedAnswer::open() {
  said_before_ = begun_ ? emitted_.tokens : 0;
  Error last{Errc::unavailable, "no backend that can be reached has the model"};
  while (route_.attempts < kHoldersMax) {
    const HolderChoice::Chosen chosen = choice_.choose(request_, own_left_, asked_);
    if (!chosen.own && !chosen.backend) break;
    Result<void> opened;
    if (chosen.own) {
      opened = co_await open_own();
    } else {
      opened = co_await open_backend(chosen.backend);
    }
    if (opened || !is_holders_fault(opened.error())) co_return opened;
    last = std::move(opened).error();
    if (chosen.own) own_error_ = last;
  }
  // A client takes 404 for a model that it should pull, and 401 for a key of its own.
  if (last.code == Errc::unauthenticated || last.code == Errc::not_found) {
    last.code = Errc::internal;
  }
  co_return fail(with_own_reason(std::move(last)));
}

// Who finds our queue full may come again.
Error FederatedAnswer::with_own_reason(Error error) const {
  if (!own_error_ || own_error_->what == error.what) return error;
  if (own_error_->code == Errc::overloaded) error.code = Errc::overloaded;
  error.what += "; our own nodes: " + own_error_->what;
  return error;
}

io::Task<Result<void>> FederatedAnswer::open_own() {
  own_left_ = false;
  route_.attempts++;
  auto asked = std::visit(
      [this](auto&& request) { return ask(own_, std::forward<decltype(request)>(request), call_); },
      continued());
  CO_TRY(own_answer_, co_await std::move(asked));
  route_.node = own_answer_->route().node;
  route_.left_out = own_answer_->route().left_out;
  co_return Result<void>{};
}

io::Task<Result<void>> FederatedAnswer::open_backend(
    const std::shared_ptr<engine::Backend>& backend) {
  asked_.insert(backend->spec().name);
  route_.attempts++;
  CO_TRY(engine::UpstreamRequest asked, upstream(*backend));
  // What was said already is a part of the prompt.
  backend_ = std::make_unique<engine::BackendRequest>(
      world_.clock, backend, backend->find(common().model)->name,
      prompt_bytes_of(request_) + emitted_.text.size());
  auto answer = co_await backend->ask(std::move(asked), call_);
  if (!answer) {
    Error error = std::move(answer).error();
    if (error.code != Errc::cancelled && error.code != Errc::invalid_argument) {
      backend_->failed(error);
    }
    leave();
    co_return fail(std::move(error));
  }
  external_ = std::move(*answer);
  may_repeat_ = backend->kind() == engine::BackendKind::ollama && !emitted_.text.empty();
  route_.node = scheduler::backend_node(backend->spec().name);
  co_return Result<void>{};
}

Result<engine::UpstreamRequest> FederatedAnswer::upstream(const engine::Backend& backend) const {
  const engine::ExternalModel* model = backend.find(common().model);
  if (!model) return fail(Errc::not_found, "backend {} lost the model", backend.spec().name);
  if (const auto* chat = std::get_if<model::ChatRequest>(&request_)) {
    return engine::chat_body(backend.kind(), model->name, *chat, emitted_);
  }
  return engine::generate_body(backend.kind(), model->name,
                               std::get<model::GenerateRequest>(request_), emitted_);
}

FederatedAnswer::Request FederatedAnswer::continued() const {
  Request request = request_;
  if (emitted_.text.empty()) return request;
  const auto go_on = [this](auto& asked) {
    asked.common.options = engine::options_left(asked.common, emitted_);
    asked.common.said = emitted_.text;
  };
  std::visit(go_on, request);
  return request;
}

// Ollama cannot be told to go on without that, and does it with the models whose prompt its engine
// makes, in one piece. One token that comes twice is more likely meant than repeated.
bool FederatedAnswer::drop_repeated(model::Chunk& chunk) {
  if (!may_repeat_ || chunk.content.empty()) return false;
  may_repeat_ = false;
  const std::string& said = emitted_.text;
  const bool is_one_token = emitted_.tokens <= 1 && chunk.content.size() == said.size();
  if (is_one_token || !chunk.content.starts_with(said)) return false;
  chunk.content.erase(0, said.size());
  return chunk.content.empty() && chunk.logprobs.empty() && !chunk.done;
}

void FederatedAnswer::note(model::Chunk& chunk) {
  if (!chunk.content.empty() || !chunk.thinking.empty() || !chunk.tool_calls.empty()) {
    begun_ = true;
    if (first_ == io::TimePoint{}) first_ = world_.clock.now();
    if (backend_) backend_->note_output();
  }
  if (!chunk.thinking.empty() || !chunk.tool_calls.empty()) plain_ = false;
  const model::Usage told = own_answer_ ? own_answer_->counted() : chunk.usage;
  if (said_before_ == 0 && told.prompt_tokens > 0) prompt_tokens_ = told.prompt_tokens;
  if (chunk.done) return complete(chunk.usage);
  chunk.usage = {};
  emitted_.tokens =
      told.output_tokens > 0 ? said_before_ + told.output_tokens : emitted_.tokens + 1;
  if (emitted_.text.size() + chunk.content.size() > kTextBytesMax) plain_ = false;
  if (!plain_) return;
  emitted_.text += chunk.content;
}

// Whoever finished counted only its own share, and what was said before as prompt.
void FederatedAnswer::complete(model::Usage& usage) const {
  usage.output_tokens += said_before_;
  if (said_before_ > 0) {
    usage.prompt_tokens = prompt_tokens_ > 0
                              ? prompt_tokens_
                              : std::max<int64_t>(0, usage.prompt_tokens - said_before_);
    usage.prompt_cached_tokens = std::min(usage.prompt_cached_tokens, usage.prompt_tokens);
  }
  const io::TimePoint now = world_.clock.now();
  usage.total = now - started_;
  if (first_ != io::TimePoint{} && (usage.eval.count() == 0 || route_.resumed > 0)) {
    usage.prompt_eval = first_ - started_;
    usage.eval = now - first_;
  }
}

// Whoever answered broke off between the last token that is wanted and the end: that is the end.
std::optional<model::Chunk> FederatedAnswer::end_by_limit() const {
  const json::value* wanted = common().options.if_contains("num_predict");
  boost::system::error_code failed;
  const int64_t limit = wanted ? wanted->to_number<int64_t>(failed) : 0;
  if (failed || limit <= 0 || !can_be_continued() || emitted_.tokens < limit) return std::nullopt;
  model::Chunk last;
  last.done = true;
  last.reason = model::DoneReason::length;
  last.usage.prompt_tokens = prompt_tokens_;
  last.usage.output_tokens = emitted_.tokens - said_before_;
  complete(last.usage);
  return last;
}

void FederatedAnswer::assume(model::Chunk chunk) {
  route_.resumed = 1;
  if (!chunk.done) note(chunk);
}

// `error`: why whoever answered until now does not any more.
io::Task<Result<void>> FederatedAnswer::go_on(Error error) {
  if (begun_ && !can_be_continued()) {
    co_return fail(annotate(std::move(error), "the answer cannot be continued elsewhere"));
  }
  log_info("asking another holder of the model", field("id", common().id),
           field("model", common().model), field("error", error), field("begun", begun_));
  // The first reason tells more than that nobody is left.
  const auto opened = co_await open();
  if (!opened) co_return fail(with_own_reason(std::move(error)));
  co_return Result<void>{};
}

io::Task<Result<model::Chunk>> FederatedAnswer::next() {
  if (!external_ && !own_answer_) {
    if (auto last = end_by_limit()) co_return std::move(*last);
    CO_TRY_VOID(co_await go_on(
        {Errc::unavailable,
         "no server that has the model could go on with the answer where its client left it"}));
  }
  while (true) {
    Result<model::Chunk> chunk = fail(Errc::internal, "no answer is open");
    if (external_) {
      chunk = co_await external_->next();
      if (chunk && drop_repeated(*chunk)) continue;
    } else if (own_answer_) {
      chunk = co_await own_answer_->next();
    }
    if (chunk) {
      note(*chunk);
      if (chunk->done && backend_) {
        backend_->backend().answered();
        const int64_t tokens = std::max(emitted_.tokens, chunk->usage.output_tokens);
        backend_->note_end(tokens - said_before_);
        choice_.note_answer(common().model, tokens);
      }
      co_return chunk;
    }
    Error error = std::move(chunk).error();
    if (call_.cancel.cancelled() || !is_holders_fault(error)) co_return fail(std::move(error));
    if (own_answer_) own_error_ = error;
    if (backend_) {
      backend_->failed(error);
      // What kept our nodes from it may have passed while this one answered.
      own_left_ |= is_own_ && emitted_.tokens > said_before_;
    }
    leave();
    if (auto last = end_by_limit()) co_return std::move(*last);
    if (begun_) route_.resumed++;
    CO_TRY_VOID(co_await go_on(std::move(error)));
  }
}

}  // namespace om::generation
