// Whether a runner that is silent still works: who waits for it, for what, and for how long.
#pragma once

#include <list>
#include <memory>
#include <optional>

#include "engine/local/hindrance.h"
#include "engine/local/runner_pace.h"
#include "io/clock.h"

namespace om::engine {

// What a request has a runner do before its first token.
struct PromptWork {
  int64_t tokens = 0;  // At most, what is cached included; 0: unknown.
  bool media = false;
  bool aside = false;  // No prompt: what the runner does beside its batches, and at once.
  int64_t bytes = 0;   // Of the text that it does so with.
};

// Pure: told what happens and when. A runner evaluates the prompts of all its requests in batches
// and tells each request of each batch, so that a silence is about one batch, whoever waits.
class SilenceWatch {
 public:
  using TimePoint = io::TimePoint;
  using Duration = io::Duration;

  // A request that expects events. While `waiting` it is watched.
  struct Request {
    PromptWork work;
    bool waiting = false, generating = false;
    bool beside = false;  // Other prompts, since its last progress.
    TimePoint waiting_since{}, last_event{};
    std::optional<TimePoint> first_waited;  // Since the last event.
    Duration waited{};                      // Altogether since then.
    // Of that, while something hindered the runner; the same before the last event.
    Duration hindered{}, hindered_before{};
    // As last told.
    std::optional<int64_t> left;
    int64_t evaluated = 0, depth = 0;
    Duration time{};
  };
  using Handle = std::list<Request>::iterator;

  struct Progress {
    int64_t evaluated = 0, left = 0, depth = 0;  // Cached tokens are in the depth only.
    Duration time{};                             // By the runner's clock, since it began.
  };

  struct Stall {
    Duration silence, limit;
    bool idle = false;  // It did nothing else either.
  };

  SilenceWatch(const LaunchOptions& options, std::shared_ptr<RunnerPace> pace);
  void use(std::shared_ptr<RunnerPace> pace) { pace_ = std::move(pace); }

  Handle add(PromptWork work, TimePoint now);
  void remove(Handle request);
  void begin_wait(Handle request, TimePoint now);
  void end_wait(Handle request) { request->waiting = false; }
  // An event came. The head of an answer is none, nor is what only keeps a connection open.
  void heard(Handle request, TimePoint now);
  void note_progress(Handle request, const Progress& progress);
  void note_evaluated(Handle request, Duration took);  // All of it in one batch.
  void note_token(Handle request);

  // Time has passed since; `look`: what the runner did meanwhile.
  void pass(TimePoint since, Duration passed, const ChildLook& look);
  bool is_awaited(TimePoint since) const;  // By one, all the time since: then it is worth a look.
  std::optional<Stall> stalled() const;
  // The runner is ended for it, which may have been wrong: the next one gets longer.
  void note_wedge(const Stall& stall);
  bool has_worked() const { return evaluated_once_ || spoken_once_; }

 private:
  // The largest that may be on its way.
  struct Batch {
    int64_t tokens = 0, depth = 0;
    bool known = true;  // What it costs.
  };
  static bool waits(const Request& request, TimePoint since);
  Batch next_batch() const;
  static bool is_known(const Request& request);
  int64_t next_depth(const Request& request) const;
  bool has_prompts() const;
  Duration fresh_limit(Duration first) const;
  Duration token_limit() const;
  Duration aside_limit() const;
  Duration prompt_limit(const Batch& batch) const;

  Duration floor_, first_, prompt_first_;
  Duration idle_max_;  // 0: that it seems to do nothing tells nothing.
  int64_t batch_;
  std::shared_ptr<RunnerPace> pace_;
  std::list<Request> requests_;
  Duration silence_{};        // How long somebody waited since the last event.
  Duration blamed_{};         // Of that, while nothing hindered the runner.
  Duration aside_{};          // The same of what it does aside, which its batches tell nothing of.
  Duration idle_{};           // How long it has done nothing though somebody waited.
  int64_t aside_left_ = 0;    // Bytes, by who gave up on it.
  bool prompt_left_ = false;  // By who gave up on it; the runner may still evaluate it.
  int64_t depth_left_ = 0;
  bool left_known_ = true;                             // What that prompt costs.
  TimePoint prompt_ended_{};                           // When a prompt was last known to.
  bool evaluated_once_ = false, spoken_once_ = false;  // By this runner.
};

}  // namespace om::engine
