// Whether a silent runner still works: which requests wait for it, for what, and how long.
#pragma once

#include <list>
#include <memory>
#include <optional>

#include "engine/local/hindrance.h"
#include "engine/local/runner_pace.h"
#include "io/clock.h"

namespace om::engine {

// What a runner has to do for a request before the first token.
struct PromptWork {
  int64_t tokens = 0;  // At most; cached ones included. 0: unknown.
  bool media = false;
  bool aside = false;  // Not a prompt, but work beside the batches, such as tokenizing.
  int64_t bytes = 0;   // Of the text of that work.
};

// Pure: told what happens and when. A runner evaluates the prompts of all its requests in batches
// and tells each request of each batch: a silence is therefore about one batch, whichever request
// waits.
class SilenceWatch {
 public:
  using TimePoint = io::TimePoint;
  using Duration = io::Duration;

  // A request that expects events. While `waiting` it is watched.
  struct Request {
    PromptWork work;
    bool waiting = false, generating = false;
    bool beside = false;  // Other prompts ran beside it since its last progress.
    TimePoint waiting_since{}, last_event{};
    std::optional<TimePoint> first_waited;  // Since the last event.
    Duration waited{};                      // Altogether since then.
    // Part of `waited` in which something hindered the runner; the same before the last event.
    Duration hindered{}, hindered_before{};
    // As the runner last told.
    std::optional<int64_t> left;
    int64_t evaluated = 0, depth = 0;
    Duration time{};
  };
  using Handle = std::list<Request>::iterator;

  struct Progress {
    int64_t evaluated = 0, left = 0, depth = 0;  // Cached tokens are in the depth only.
    Duration time{};                             // Since the prompt's start, by the runner's clock.
  };

  struct Stall {
    Duration silence, limit;
    bool idle = false;  // The runner's threads did nothing either.
  };

  SilenceWatch(const LaunchOptions& options, std::shared_ptr<RunnerPace> pace);
  void use(std::shared_ptr<RunnerPace> pace) { pace_ = std::move(pace); }

  Handle add(PromptWork work, TimePoint now);
  void remove(Handle request);
  void begin_wait(Handle request, TimePoint now);
  void end_wait(Handle request) { request->waiting = false; }
  // An event came. The head of an answer does not count, nor do bytes that keep a connection open.
  void heard(Handle request, TimePoint now);
  void note_progress(Handle request, const Progress& progress);
  void note_evaluated(Handle request, Duration took);  // The whole prompt, in one batch.
  void note_token(Handle request);

  // Time has passed since; `look`: what the runner did meanwhile.
  void pass(TimePoint since, Duration passed, const ChildLook& look);
  bool is_awaited(TimePoint since) const;  // A request waited all the time since: look at it.
  std::optional<Stall> stalled() const;
  // The runner is ended for a stall. That may be wrong: the next runner gets more time.
  void note_wedge(const Stall& stall);
  bool has_worked() const { return evaluated_once_ || spoken_once_; }

 private:
  // The largest batch that the runner may be evaluating.
  struct Batch {
    int64_t tokens = 0, depth = 0;
    bool known = true;  // Its cost can be estimated.
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
  Duration idle_max_;  // 0: idle threads mean nothing.
  int64_t batch_;
  std::shared_ptr<RunnerPace> pace_;
  std::list<Request> requests_;
  Duration silence_{};        // How long a request waited since the last event.
  Duration blamed_{};         // Part of it in which nothing hindered the runner.
  Duration aside_{};          // The same for work beside the batches.
  Duration idle_{};           // How long it did nothing while a request waited.
  int64_t aside_left_ = 0;    // Bytes of such work whose request has left.
  bool prompt_left_ = false;  // A request has left whose prompt the runner may still evaluate.
  int64_t depth_left_ = 0;
  bool left_known_ = true;                             // That prompt's cost can be estimated.
  TimePoint prompt_ended_{};                           // When a prompt last ended.
  bool evaluated_once_ = false, spoken_once_ = false;  // By this runner.
};

}  // namespace om::engine
