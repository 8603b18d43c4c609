#include "generation/answer_run.h"

#include <algorithm>

#include "base/check.h"
#include "base/log.h"
#include "generation/metrics.h"
#include "generation/prompt_tokens.h"
#include "io/task_group.h"
#include "prompt/media.h"

namespace om::generation {
namespace {

// A seed for the runner that goes on after `count` tokens: the drawing starts anew there, and must
// not repeat the draws of the beginning. The same break gives the same rest.
int64_t continued_seed(int64_t seed, int64_t count) {
  if (seed < 0) return seed;
  uint64_t mixed =
      static_cast<uint64_t>(seed) + 0x9E3779B97F4A7C15ull * static_cast<uint64_t>(count);
  mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9ull;
  mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EBull;
  return static_cast<int64_t>((mixed ^ mixed >> 31) & 0x7FFFFFFF);
}

}  // namespace

Error runner_stopped(const Error& error) {
  return {Errc::internal,
          fmt::format("model runner has unexpectedly stopped, this may be due to resource "
                      "limitations or an internal error, check ollama server logs for details: {}",
                      error.what)};
}

engine::Constraint to_engine(prompt::Constraint constraint) {
  engine::Constraint result;
  result.grammar = std::move(constraint.grammar);
  result.grammar_lazy = constraint.grammar_lazy;
  for (prompt::Constraint::Trigger& trigger : constraint.grammar_triggers) {
    result.grammar_triggers.push_back({trigger.type, std::move(trigger.value)});
  }
  result.preserved_tokens = std::move(constraint.preserved_tokens);
  result.generation_prompt = std::move(constraint.generation_prompt);
  result.tool_grammar = constraint.tool_grammar;
  return result;
}

namespace {

std::function<std::string()> make_ids(io::Random& random, uint64_t seed) {
  if (seed == 0) return [&random] { return prompt::tool_call_id(random.next()); };
  // The same on every node that goes on with the answer.
  return [seed]() mutable {
    seed = static_cast<uint64_t>(continued_seed(static_cast<int64_t>(seed >> 1), 1));
    return prompt::tool_call_id(seed);
  };
}

}  // namespace

AnswerRun::AnswerRun(io::World& world, scheduler::Scheduler& scheduler, RunPlan plan,
                     std::unique_ptr<scheduler::Lease> lease, std::string node,
                     const io::Call& call)
    : world_(world),
      scheduler_(scheduler),
      plan_(std::move(plan)),
      on_caller_(call.cancel, [this] { cancel_.cancel(); }),
      call_{call.deadline, cancel_.token()},
      route_{.node = std::move(node), .left_out = plan_.left_out},
      read_ahead_(world, scheduler),
      stops_(plan_.request.sampling.stop),
      parser_(plan_.format.make_parser(make_ids(world.random, plan_.id_seed))),
      lease_(std::move(lease)) {
  if (!lease_->node().empty()) route_.node = lease_->node();
  if (plan_.recording) {
    kept_.emplace(*plan_.recording, plan_.target.manifest);
    on_superseded_.emplace(plan_.recording->superseded(), [this] { cancel_.cancel(); });
  }
  usage_.load = plan_.load;
  usage_.prompt_tokens = static_cast<int64_t>(plan_.request.tokens.size());
}

AnswerRun::~AnswerRun() {
  if (!ended_) count_tokens();
  if (move_) move_->cancel.cancel();
}

io::Task<Result<void>> AnswerRun::open() {
  if (plan_.request.sampling.num_predict == 0) {
    CO_TRY_VOID(end(model::DoneReason::length, {}));
    co_return Result<void>{};
  }
  if (kept_) {
    CO_TRY_VOID(kept_->read_past());
    if (!kept_->empty()) {
      route_.resumed = 1;
      co_return Result<void>{};
    }
  }
  co_return co_await go_on();
}

Result<void> AnswerRun::take_kept() {
  std::optional<engine::Piece> piece = kept_->take().piece;
  if (piece) return take(std::move(*piece));
  begin_runner();
  return {};
}

void AnswerRun::begin_runner() {
  transcript_.begin_runner();
  runner_started_ = world_.clock.now();
  first_piece_.reset();
}

void AnswerRun::end_runner() {
  if (first_piece_) earlier_eval_ += world_.clock.now() - *first_piece_;
}

// A runner for what is still to be said.
io::Task<Result<void>> AnswerRun::go_on() {
  if (!transcript_.empty() && transcript_.count() >= plan_.request.sampling.num_predict) {
    co_return end_without_runner(stops_.finish(), model::DoneReason::length, {});
  }
  Result<void> started = co_await start_runner();
  if (!started) {
    Error error = std::move(started).error();
    co_return co_await recover(std::move(error));
  }
  co_return Result<void>{};
}

io::Task<void> AnswerRun::find_place(scheduler::Scheduler& scheduler, scheduler::Target target,
                                     scheduler::AcquireOptions options,
                                     std::shared_ptr<Move> move) {
  const io::Call call{io::kNever, move->cancel.token()};
  auto lease = co_await scheduler.acquire(std::move(target), std::move(options), call);
  if (lease && !move->cancel.cancelled()) move->lease = std::move(*lease);
  move->ended = true;
}

// The answer goes on here until a runner elsewhere is warm, and changes over between two tokens.
io::Task<Result<void>> AnswerRun::move_if_wanted() {
  const io::TimePoint now = world_.clock.now();
  if (move_ && move_->ended && move_->lease && !lost_) {
    completion_.reset();
    lease_ = std::move(move_->lease);
    move_.reset();
    end_runner();
    moved.add();
    log_info("answer moved", field("id", plan_.request.id), field("from", route_.node),
             field("to", lease_->node()), field("tokens", transcript_.count()));
    route_.node = lease_->node();
    co_return co_await go_on();
  }
  if (move_ ? !move_->ended || now - looked_ < kMoveInterval : now - looked_ < kMoveLook) {
    co_return Result<void>{};
  }
  looked_ = now;
  move_.reset();
  if (!plan_.resume || !lease_->leaving()) co_return Result<void>{};
  move_ = std::make_shared<Move>();
  scheduler::Target target = plan_.target;
  scheduler::AcquireOptions options = plan_.acquire;
  options.resumes = options.moves = true;
  options.patience.reset();
  io::spawn_detached(world_.executor,
                     find_place(scheduler_, std::move(target), std::move(options), move_));
  co_return Result<void>{};
}

void AnswerRun::read_ahead_if_due() {
  if (!plan_.resume || plan_.request.tokens.empty() || !read_ahead_.is_due(transcript_.count())) {
    return;
  }
  engine::CompletionRequest request = plan_.request;
  request.on_prompt_progress = nullptr;
  append_generated(request, transcript_.known_tokens());
  read_ahead_.read(plan_.target, plan_.acquire, std::move(request), std::string(lease_->node()),
                   transcript_.count());
}

io::Task<Result<void>> AnswerRun::start_runner() {
  engine::Engine& engine = lease_->engine();
  engine::CompletionRequest request = plan_.request;
  request.constraint = to_engine(plan_.constraint);
  if (!transcript_.empty()) {
    CO_TRY(const bool over, co_await was_over());
    if (over) co_return Result<void>{};
    CO_TRY(auto generated, co_await transcript_.tokens(engine, call_));
    CO_TRY(request, continuation(std::move(generated)));
  }
  if (!request.media.empty()) {
    prompt::replace_media_markers(request.prompt, plan_.media_marker,
                                  engine.properties().media_marker);
  }
  request.on_prompt_progress = [lease = lease_.get()](const engine::PromptProgress& progress) {
    lease->note_prompt_progress(progress);
  };
  begin_runner();
  if (kept_) kept_->begin_runner();
  CO_TRY(completion_, co_await engine.complete(std::move(request), call_));
  co_return Result<void>{};
}

// A runner that finds a stop string cuts it off its last text, and may die before it says so.
io::Task<Result<bool>> AnswerRun::was_over() {
  if (plan_.request.sampling.stop.empty()) co_return false;
  CO_TRY(const std::string cut, co_await transcript_.cut_text(lease_->engine(), call_));
  prompt::StopMatcher::Output output = prompt::StopMatcher(stops_).feed(cut);
  if (!output.stop) co_return false;
  CO_TRY_VOID(end_without_runner(output.text, model::DoneReason::stop, std::move(*output.stop)));
  co_return true;
}

// An answer longer than the context lost its middle on the first runner, too.
void AnswerRun::append_generated(engine::CompletionRequest& request,
                                 const std::vector<engine::Token>& generated) const {
  request.tokens.insert(request.tokens.end(), generated.begin(), generated.end());
  request.tokens = truncate_tokens(std::move(request.tokens), plan_.context, plan_.keep);
}

// What the next runner is asked: the prompt and all that was generated, for the tokens that are
// left, with the constraint advanced over the text.
Result<engine::CompletionRequest> AnswerRun::continuation(
    std::vector<engine::Token> generated) const {
  engine::CompletionRequest request = plan_.request;
  if (request.media.empty()) {
    append_generated(request, generated);
  } else {
    request.prompt += transcript_.text();
  }
  request.sampling.num_predict -= static_cast<int>(transcript_.count());
  request.sampling.seed = continued_seed(request.sampling.seed, transcript_.count());
  request.constraint = to_engine(plan_.constraint.resume(transcript_.text()));
  return request;
}

io::Task<Result<void>> AnswerRun::recover(Error error) {
  read_ahead_.stop();
  while (true) {
    completion_.reset();
    if (error.code != Errc::unavailable) co_return fail(std::move(error));
    lease_->report_failure(error);
    const bool node_lost = lease_->node_lost();
    lease_.reset();
    const bool unstarted = transcript_.empty();
    if (!unstarted && !plan_.resume) break;
    if (!budget_.spend(node_lost, !unstarted)) break;
    route_.attempts++;
    if (unstarted) {
      retried.add();
    } else {
      resumed.add();
      route_.resumed++;
      end_runner();
    }
    log_warn("runner lost, going on with another", field("id", plan_.request.id),
             field("model", plan_.target.name), field("tokens", transcript_.count()),
             field("attempt", route_.attempts), field("error", error));
    if (!unstarted && transcript_.count() >= plan_.request.sampling.num_predict) {
      co_return end_without_runner(stops_.finish(), model::DoneReason::length, {});
    }
    scheduler::Target target = plan_.target;
    scheduler::AcquireOptions acquire = plan_.acquire;
    acquire.resumes = !unstarted;
    if (acquire.resumes) acquire.patience.reset();  // It had its turn.
    auto lease = co_await scheduler_.acquire(std::move(target), std::move(acquire), call_);
    if (!lease) {
      Error refused = std::move(lease).error();
      if (refused.code != Errc::unavailable) co_return fail(std::move(refused));
      error.what += "; " + refused.what;
      break;
    }
    lease_ = std::move(*lease);
    if (!lease_->node().empty()) route_.node = lease_->node();
    Result<void> started = co_await start_runner();
    if (started) co_return Result<void>{};
    error = std::move(started).error();
  }
  broken.add();
  co_return fail(runner_stopped(error));
}

// The last runner died after the last token, before it said so.
Result<void> AnswerRun::end_without_runner(std::string_view rest, model::DoneReason reason,
                                           std::string stop_word) {
  TRY_VOID(hand_out(rest));
  usage_.output_tokens = transcript_.count();
  usage_.eval = earlier_eval_;
  if (first_piece_) usage_.prompt_eval = *first_piece_ - runner_started_;
  return end(reason, std::move(stop_word));
}

std::optional<Result<model::Chunk>> AnswerRun::ready() {
  while (!chunk_) {
    if (last_) return std::nullopt;
    if (kept_ && !kept_->empty()) {
      auto taken = take_kept();
      if (!taken) return fail(std::move(taken).error());
      continue;
    }
    if (lost_ || !completion_ || kept_) return std::nullopt;
    auto piece = completion_->ready();
    if (!piece) return std::nullopt;
    if (!*piece) {
      lost_ = std::move(*piece).error();
      return std::nullopt;
    }
    auto taken = take(std::move(**piece));
    if (!taken) return fail(std::move(taken).error());
  }
  std::optional<Result<model::Chunk>> chunk(std::move(*chunk_));
  chunk_.reset();
  return chunk;
}

io::Task<Result<model::Chunk>> AnswerRun::next() {
  while (true) {
    if (auto chunk = ready()) co_return std::move(*chunk);
    if (last_) {
      model::Chunk chunk = std::move(*last_);
      last_.reset();
      CO_TRY_VOID(co_await add_context(chunk));
      lease_.reset();
      co_return chunk;
    }
    if (!completion_ && kept_ && !ended_) {
      CO_TRY_VOID(co_await go_on());
      continue;
    }
    CHECK(completion_, "an answer was asked again after its end");
    CO_TRY_VOID(co_await move_if_wanted());
    if (last_) continue;
    Result<engine::Piece> piece;
    if (lost_) {
      piece = fail(*std::exchange(lost_, std::nullopt));
    } else {
      piece = co_await completion_->next();
    }
    if (piece && kept_) {
      CO_TRY_VOID(co_await kept_->keep(std::move(*piece), *completion_, lost_, call_));
    } else if (piece) {
      CO_TRY_VOID(take(std::move(*piece)));
    } else {
      Error error = std::move(piece).error();
      CO_TRY_VOID(co_await recover(std::move(error)));
    }
  }
}

Result<void> AnswerRun::take(engine::Piece piece) {
  if (!first_piece_) {
    first_piece_ = world_.clock.now();
    lease_->note_first_token();
  }
  if (!piece.logprobs.empty()) {
    waiting_.push_back({transcript_.text().size(), std::move(piece.logprobs)});
  }
  transcript_.add(piece);
  if (!piece.done) read_ahead_if_due();
  prompt::StopMatcher::Output output = stops_.feed(piece.text);
  TRY_VOID(hand_out(output.text));
  if (output.stop || (plan_.one_call && has_call_)) {
    note_usage(piece);
    return end(model::DoneReason::stop, std::move(output.stop).value_or(""));
  }
  if (!piece.done) return {};
  TRY_VOID(hand_out(stops_.finish()));
  note_usage(piece);
  return end(piece.limit ? model::DoneReason::length : model::DoneReason::stop,
             std::move(piece.stop_word));
}

// Text that is certain goes through the parser into the chunk that is given out next.
Result<void> AnswerRun::hand_out(std::string_view text) {
  if (text.empty()) return {};
  given_out_ += text.size();
  TRY(prompt::AnswerDelta delta, parser_->feed(text));
  if (delta.empty()) return {};
  add(std::move(delta));
  take_logprobs(*chunk_);
  return {};
}

void AnswerRun::add(prompt::AnswerDelta delta) {
  if (!chunk_) chunk_.emplace();
  chunk_->content += delta.content;
  chunk_->thinking += delta.thinking;
  if (!delta.thinking.empty()) usage_.reasoning_tokens = transcript_.count();
  for (model::ToolCall& call : delta.tool_calls) {
    if (plan_.one_call && has_call_) break;
    has_call_ = true;
    chunk_->tool_calls.push_back(std::move(call));
  }
}

Result<void> AnswerRun::end(model::DoneReason reason, std::string stop_word) {
  completion_.reset();  // Stops the runner, if it was not at its end.
  ended_ = true;
  TRY(prompt::AnswerDelta delta, parser_->finish());
  if (!delta.empty()) add(std::move(delta));
  model::Chunk& last = last_.emplace();
  take_logprobs(chunk_ ? *chunk_ : last);
  last.done = true;
  last.reason = reason;
  const auto& stops = plan_.caller_stops;
  if (std::find(stops.begin(), stops.end(), stop_word) != stops.end()) {
    last.stop_sequence = std::move(stop_word);
  }
  usage_.total = world_.clock.now() - plan_.started;
  usage_.reasoning_tokens = std::min(usage_.reasoning_tokens, usage_.output_tokens);
  last.usage = usage_;
  count_tokens();
  return {};
}

model::Usage AnswerRun::counted() const {
  model::Usage usage;
  usage.prompt_tokens = usage_.prompt_tokens;
  usage.output_tokens = transcript_.count();
  return usage;
}

// Of an answer that nobody waited for, what was made of it until then.
void AnswerRun::count_tokens() const {
  const int64_t produced = std::max(usage_.output_tokens, transcript_.count());
  const int64_t evaluated = ended_ || produced > 0 ? usage_.prompt_tokens : 0;
  count_answer(plan_.target.name, plan_.acquire.client, evaluated, produced);
}

// Each token's probabilities leave with or after its text, never before and never not at all;
// those of a stop string, whose text is kept back, are dropped with it in the end.
void AnswerRun::take_logprobs(model::Chunk& chunk) {
  auto kept = waiting_.begin();
  for (; kept != waiting_.end() && kept->offset < given_out_; ++kept) {
    for (model::Logprob& logprob : kept->logprobs) chunk.logprobs.push_back(std::move(logprob));
  }
  waiting_.erase(waiting_.begin(), kept);
}

void AnswerRun::note_usage(const engine::Piece& piece) {
  const io::TimePoint now = world_.clock.now();
  const int64_t before = transcript_.count_before_runner();
  // The runner after a break counts what it was told as prompt.
  if (plan_.request.tokens.empty() && piece.prompt_tokens > 0) {
    usage_.prompt_tokens = std::max<int64_t>(piece.prompt_tokens - before, 0);
  }
  const int64_t produced = piece.done ? piece.output_tokens : 0;
  usage_.output_tokens = std::max(transcript_.count(), before + produced);
  if (before == 0) usage_.prompt_cached_tokens = piece.cached_tokens;
  scheduler::RunTimes times = scheduler::times_of(piece);
  times.output_tokens = produced;
  lease_->note_end(times);
  const io::TimePoint first = first_piece_.value_or(now);
  usage_.prompt_eval = piece.prompt_time.count() > 0 ? piece.prompt_time : first - runner_started_;
  usage_.eval = earlier_eval_ + (piece.output_time.count() > 0 ? piece.output_time : now - first);
}

io::Task<Result<void>> AnswerRun::add_context(model::Chunk& chunk) {
  if (!plan_.want_context || plan_.request.tokens.empty() || !lease_) co_return Result<void>{};
  chunk.context = plan_.request.tokens;
  auto generated = co_await transcript_.tokens(lease_->engine(), call_);
  // The answer is complete; a runner that dies now costs only this deprecated convenience.
  if (!generated) {
    log_warn("no context for the answer", field("error", generated.error()));
    chunk.context.clear();
    co_return Result<void>{};
  }
  chunk.context.insert(chunk.context.end(), generated->begin(), generated->end());
  co_return Result<void>{};
}

FixedAnswer::FixedAnswer(model::Chunk chunk, std::string node)
    : chunk_(std::move(chunk)), route_{.node = std::move(node)} {}

io::Task<Result<model::Chunk>> FixedAnswer::next() {
  model::Chunk chunk = std::move(chunk_);
  co_return chunk;
}

}  // namespace om::generation
