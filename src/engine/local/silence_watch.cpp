#include "engine/local/silence_watch.h"

#include <algorithm>

namespace om::engine {
namespace {

constexpr auto kPromptMax = std::chrono::milliseconds(50);  // From an event to the next wait.
constexpr int kFreshFloors = 3;
constexpr int kStarved = 4;

}  // namespace

SilenceWatch::SilenceWatch(const LaunchOptions& options, std::shared_ptr<RunnerPace> pace)
    : floor_(options.stall_floor),
      first_(options.stall_first),
      prompt_first_(options.prefill_stall_first),
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
  if (request->work.aside) {
    aside_ = Duration{};
    return;
  }
  // A reader that came late says nothing about the runner.
  if (request->first_waited && *request->first_waited - request->last_event < kPromptMax) {
    const Duration gap = now - request->last_event;
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
    pace_->prompts.add(tokens, progress.depth, progress.time - request->time);
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
  if (!request->beside) pace_->prompts.add(request->work.tokens, request->work.tokens, took);
  evaluated_once_ = true;
  request->left = 0;
}

void SilenceWatch::note_token(Handle request) {
  if (!request->generating) prompt_ended_ = std::max(prompt_ended_, request->last_event);
  request->generating = spoken_once_ = true;
}

// Those who leave before anything came take nothing away: a child that is wedged keeps everybody
// waiting, however soon each of them gives up.
void SilenceWatch::pass(TimePoint since, Duration passed, double free_share) {
  const Duration blamed(static_cast<int64_t>(static_cast<double>(passed.count()) * free_share));
  bool somebody_waits = false, somebody_waits_aside = false;
  for (Request& request : requests_) {
    if (!request.waiting || request.waiting_since > since) continue;
    (request.work.aside ? somebody_waits_aside : somebody_waits) = true;
    if (!request.work.aside) request.waited += passed;
  }
  if (somebody_waits_aside) aside_ += blamed;
  if (!somebody_waits) return;
  silence_ += passed;
  blamed_ += blamed;
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

// Of the batch that is on its way, as the largest that it may be.
SilenceWatch::Duration SilenceWatch::prompt_limit() const {
  int64_t left = prompt_left_ ? batch_ : 0, depth = depth_left_;
  bool known = left_known_;
  for (const Request& request : requests_) {
    if (request.generating) continue;
    known &= is_known(request);
    left += request.left.value_or(request.work.tokens);
    depth = std::max(depth, next_depth(request));
  }
  const Duration unknown = pace_->events.limit();
  if (!known) return unknown;
  const Duration floor = evaluated_once_ ? floor_ : fresh_limit(prompt_first_);
  return pace_->prompts.limit(std::min(left, batch_), depth, floor, unknown);
}

std::optional<SilenceWatch::Stall> SilenceWatch::stalled() const {
  const bool prompts = has_prompts();
  if (const Duration limit = fresh_limit(first_); aside_ > limit) return Stall{aside_, limit};
  Duration limit{}, longest{};
  if (!prompts || std::ranges::any_of(requests_, [](const Request& request) {
        return request.generating && !request.work.aside;
      })) {
    limit = token_limit();
    longest = first_;
  }
  Duration starved = limit;
  if (prompts) {  // One long prompt keeps everybody's tokens waiting.
    limit = std::max(limit, prompt_limit());
    longest = prompt_first_;
    starved = std::max(limit, pace_->events.limit());
  }
  longest = std::max(limit, longest);
  starved *= kStarved;
  for (const Request& request : requests_) {
    if (!request.waiting || request.work.aside) continue;
    if (blamed_ > limit || silence_ > longest) return Stall{silence_, limit};
    // While others advance, one that starves is given longer.
    if (request.waited > starved) return Stall{request.waited, starved};
  }
  return std::nullopt;
}

}  // namespace om::engine
