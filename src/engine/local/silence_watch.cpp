#include "engine/local/silence_watch.h"

#include <algorithm>
#include <utility>

namespace om::engine {
namespace {

constexpr auto kPromptMax = std::chrono::milliseconds(50);  // From an event to the next wait.
constexpr int kFreshFloors = 3;
constexpr int kStarved = 4;
constexpr int64_t kTextRate = 200'000;  // Bytes a second, of a tenth of what is usual.
constexpr int64_t kFirstTokens = 512;   // LaunchOptions::prefill_stall_first is for so many.

// Of this time, what the runner had for its work. What hindered it is known in steps only.
io::Duration worked(io::Duration took, io::Duration hindered) {
  return std::max(took - hindered, took / 8);
}

io::Duration for_tokens(io::Duration limit, int64_t tokens) {
  return limit * std::max<int64_t>(1, (tokens + kFirstTokens - 1) / kFirstTokens);
}

}  // namespace

SilenceWatch::SilenceWatch(const LaunchOptions& options, std::shared_ptr<RunnerPace> pace)
    : floor_(options.stall_floor),
      first_(options.stall_first),
      prompt_first_(options.prefill_stall_first),
      // Who waits for a card or another machine does nothing on this one's processors.
      idle_max_(options.has_cards || !options.parts.empty() ? Duration{} : options.idle_stall),
      batch_(std::max(2, options.batch)),
      pace_(std::move(pace)) {}

SilenceWatch::Handle SilenceWatch::add(PromptWork work, TimePoint now) {
  Request request;
  request.work = work;
  request.last_event = now;
  request.generating = work.aside;
  request.beside = has_prompts();
  if (!work.aside) {
    for (Request& other : requests_) other.beside = true;
  }
  return requests_.insert(requests_.end(), request);
}

void SilenceWatch::remove(Handle request) {
  if (!request->generating && request->waited > Duration{}) {
    prompt_left_ = true;
    left_known_ &= is_known(*request);
    depth_left_ = std::max(depth_left_, next_depth(*request));
  }
  if (request->work.aside) aside_left_ = std::max(aside_left_, request->work.bytes);
  if (!request->generating) prompt_ended_ = std::max(prompt_ended_, request->last_event);
  requests_.erase(request);
}

void SilenceWatch::begin_wait(Handle request, TimePoint now) {
  request->waiting = true;
  request->waiting_since = now;
  if (!request->first_waited) request->first_waited = now;
}

bool SilenceWatch::has_prompts() const {
  return prompt_left_ ||
         std::ranges::any_of(requests_, [](const Request& request) { return !request.generating; });
}

void SilenceWatch::heard(Handle request, TimePoint now) {
  idle_ = Duration{};
  if (request->work.aside) {
    aside_ = Duration{};
    aside_left_ = request->work.bytes = 0;  // It is done.
    return;
  }
  request->hindered_before = std::exchange(request->hindered, Duration{});
  // A reader that came late says nothing about the runner.
  if (request->first_waited && *request->first_waited - request->last_event < kPromptMax) {
    const Duration gap = worked(now - request->last_event, request->hindered_before);
    if (!request->generating) {
      pace_->events.add(gap);
    } else if (!has_prompts() && prompt_ended_ <= request->last_event) {
      pace_->tokens.add(gap);
    }
  }
  request->first_waited.reset();
  request->last_event = now;
  request->waited = silence_ = blamed_ = Duration{};
  prompt_left_ = false;
  left_known_ = true;
  depth_left_ = 0;
}

void SilenceWatch::note_progress(Handle request, const Progress& progress) {
  const int64_t tokens = progress.evaluated - request->evaluated;
  // A batch that this prompt fills has no room for others.
  const bool alone = !request->beside || tokens * 8 >= batch_ * 7;
  if (!request->work.media && alone && tokens > 0) {
    const Duration took = worked(progress.time - request->time, request->hindered_before);
    if (pace_->prompts.is_usual(tokens, progress.depth, took)) pace_->doublings = 0;
    pace_->prompts.add(tokens, progress.depth, took);
  }
  if (tokens > 0) evaluated_once_ = true;
  request->left = progress.left;
  request->evaluated = progress.evaluated;
  request->depth = progress.depth;
  request->time = progress.time;
  request->beside =
      std::ranges::count_if(requests_, [](const Request& other) { return !other.generating; }) > 1;
}

void SilenceWatch::note_evaluated(Handle request, Duration took) {
  if (!request->beside) {
    const int64_t tokens = request->work.tokens;
    took = worked(took, request->hindered_before);
    if (pace_->prompts.is_usual(tokens, tokens, took)) pace_->doublings = 0;
    pace_->prompts.add(tokens, tokens, took);
  }
  evaluated_once_ = true;
  request->left = 0;
}

void SilenceWatch::note_token(Handle request) {
  if (!request->generating) prompt_ended_ = std::max(prompt_ended_, request->last_event);
  request->generating = spoken_once_ = true;
}

bool SilenceWatch::waits(const Request& request, TimePoint since) {
  return request.waiting && request.waiting_since <= since;
}

// Those who leave before anything came take nothing away: a child that is wedged keeps everybody
// waiting, however soon each of them gives up.
void SilenceWatch::pass(TimePoint since, Duration passed, const ChildLook& look) {
  const Duration blamed(
      static_cast<int64_t>(static_cast<double>(passed.count()) * look.free_share));
  bool somebody_waits = false, somebody_waits_aside = false;
  for (Request& request : requests_) {
    if (!waits(request, since)) continue;
    (request.work.aside ? somebody_waits_aside : somebody_waits) = true;
    if (request.work.aside) continue;
    request.waited += passed;
    request.hindered += passed - blamed;
  }
  if (!look.idle) {
    idle_ = Duration{};
  } else if (somebody_waits || somebody_waits_aside) {
    idle_ += passed;
  }
  if (somebody_waits_aside) aside_ += blamed;
  if (!somebody_waits) return;
  silence_ += passed;
  blamed_ += blamed;
}

bool SilenceWatch::is_awaited(TimePoint since) const {
  return std::ranges::any_of(requests_,
                             [since](const Request& each) { return waits(each, since); });
}

// The first of its kind that a child does may take longer: what was learned is of earlier ones.
SilenceWatch::Duration SilenceWatch::fresh_limit(Duration first) const {
  return std::min(first, kFreshFloors * floor_);
}

bool SilenceWatch::is_known(const Request& request) {
  return !request.work.media && (request.left || request.work.tokens > 0);
}

// Where the next batch of its prompt ends.
int64_t SilenceWatch::next_depth(const Request& request) const {
  return request.left ? request.depth + std::min(*request.left, batch_) : request.work.tokens;
}

SilenceWatch::Duration SilenceWatch::token_limit() const {
  const Duration limit = pace_->tokens.limit();
  return spoken_once_ ? limit : std::max(limit, fresh_limit(first_));
}

// Texts are taken one beside the other, but on the same processors.
SilenceWatch::Duration SilenceWatch::aside_limit() const {
  int64_t bytes = aside_left_;
  for (const Request& request : requests_) bytes += request.work.bytes;
  return (fresh_limit(first_) + std::chrono::seconds(bytes / kTextRate)) * (1 << pace_->doublings);
}

SilenceWatch::Batch SilenceWatch::next_batch() const {
  Batch batch{prompt_left_ ? batch_ : 0, depth_left_, left_known_};
  for (const Request& request : requests_) {
    if (request.generating) continue;
    batch.known &= is_known(request);
    batch.tokens += request.left.value_or(request.work.tokens);
    batch.depth = std::max(batch.depth, next_depth(request));
  }
  batch.tokens = batch.known ? std::min(batch.tokens, batch_) : batch_;
  return batch;
}

SilenceWatch::Duration SilenceWatch::prompt_limit(const Batch& batch) const {
  const Duration unknown = for_tokens(pace_->events.limit(), batch.tokens);
  if (!batch.known) return unknown;
  const Duration floor = evaluated_once_ ? floor_ : fresh_limit(prompt_first_);
  return pace_->prompts.limit(batch.tokens, batch.depth, floor, unknown);
}

std::optional<SilenceWatch::Stall> SilenceWatch::stalled() const {
  const bool prompts = has_prompts();
  if (idle_max_ > Duration{} && idle_ > idle_max_) return Stall{idle_, idle_max_, true};
  if (const Duration limit = aside_limit(); aside_ > limit) return Stall{aside_, limit};
  Duration limit{}, longest{};
  if (!prompts || std::ranges::any_of(requests_, [](const Request& request) {
        return request.generating && !request.work.aside;
      })) {
    limit = token_limit();
    longest = first_;
  }
  Duration starved = limit;
  if (prompts) {  // One long prompt keeps everybody's tokens waiting.
    const Batch batch = next_batch();
    limit = std::max(limit, prompt_limit(batch));
    longest = for_tokens(prompt_first_, batch.tokens);
    starved = std::max(limit, for_tokens(pace_->events.limit(), batch.tokens));
  }
  for (Duration* each : {&limit, &longest, &starved}) *each *= 1 << pace_->doublings;
  longest = std::max(limit, longest);
  starved *= kStarved;
  for (const Request& request : requests_) {
    if (!request.waiting || request.work.aside) continue;
    if (blamed_ > limit || silence_ > longest) return Stall{silence_, limit};
    // While others advance, one that starves is given longer.
    if (request.waited - request.hindered > starved || request.waited > kStarved * longest) {
      return Stall{request.waited, starved};
    }
  }
  return std::nullopt;
}

void SilenceWatch::note_wedge(const Stall& stall) {
  if (stall.idle) return;  // That was no guess about how fast it is.
  pace_->doublings = std::min(pace_->doublings + 1, RunnerPace::kDoublingsMax);
}

}  // namespace om::engine
