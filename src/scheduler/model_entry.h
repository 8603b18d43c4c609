// What LocalScheduler keeps of one model: its queue, its runner, its history.
#pragma once

#include <array>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/measured_rate.h"
#include "engine/loadable_engine.h"
#include "io/event.h"
#include "scheduler/fair_queue.h"
#include "scheduler/placement.h"
#include "scheduler/prompt_share.h"
#include "scheduler/scheduler.h"

namespace om::scheduler {

// A request that holds a slot.
struct RunningRequest {
  std::string fingerprint;
  int64_t prompt_left = 0;         // Tokens of its prompt that the runner has not evaluated yet.
  engine::PromptProgress learned;  // The part that the entry's rate has learned, up to `marked`.
  PromptShare::Mark marked;
  std::optional<PromptShare::Mark> first_token;  // Until then its prompt is evaluated.
};

// What a request asks of a launch. If a load fails for one wish, it may succeed for another.
struct LaunchWish {
  LaunchWish(int context_length, const model::RunnerOptions& options)
      : context(context_length), runner(options) {
    runner.num_ctx.reset();  // `context` holds it.
  }
  bool operator==(const LaunchWish&) const = default;

  int context;
  model::RunnerOptions runner;
};

struct FailedLoad {
  LaunchWish wish;
  Error error;
};

// One child and the requests that run on it. Shared by the model's entry and the leases.
struct Instance {
  RunnerState::Phase phase = RunnerState::Phase::loading;
  Plan plan;
  std::optional<LaunchWish> wish;  // The wish it was loaded for.
  std::unique_ptr<engine::LoadableEngine> engine;
  io::CancelSource load_cancel;
  std::list<RunningRequest> running;
  PromptShare prompts;
  bool unhealthy = false, exclusive = false, died = false;
  std::optional<Digest> in_the_way_of;  // The model whose load waits for this one's memory.
  // Gets no new requests, and ends with its last one.
  bool is_draining() const { return unhealthy || in_the_way_of; }
  io::TimePoint load_started{};
  io::Duration load_time{};
  uint64_t resident_bytes = 0;  // As last measured, memory on cards included.
  uint64_t graphics_bytes = 0;  // On cards: as expected while it loads, then as the runner told.
};

// A request in the queue. Lives in the frame of acquire(), which takes it out before it returns.
struct Waiter {
  Waiter(io::Clock& clock, const AcquireOptions& acquire_options)
      : options(acquire_options), since(clock.now()), wake(clock) {}

  const AcquireOptions& options;
  uint64_t id = 0;  // In the queue and the waiting room.
  int context = 0;
  bool suspect = false;
  io::TimePoint since;
  std::optional<LaunchWish> wish;
  // How the model can be launched for it.
  std::vector<Plan> plans;

  std::shared_ptr<Instance> granted;
  std::list<RunningRequest>::iterator running;  // In granted->running.
  std::optional<Error> refused;
  bool saw_load = false;
  io::Event wake;

  bool is_settled() const { return granted || refused; }
};

// Classes of the queue. Two apart: interactive requests pass a batch request until it has aged
// twice.
inline constexpr int kInteractiveClass = 1, kBatchClass = 3;

// Order in which waiting requests get memory: lowest first. Batch requests age into interactive
// ones.
inline io::TimePoint rank_of(const Waiter& waiter) {
  const bool batch = waiter.options.priority == Priority::batch;
  return batch ? waiter.since + (kBatchClass - kInteractiveClass) * FairQueue::kAgeing
               : waiter.since;
}

// Rates are not measured with fewer tokens.
inline constexpr double kPromptTokensMin = 32, kOutputTokensMin = 8;

struct ModelEntry {
  Target target;  // As last asked for.
  FairQueue queue;
  std::map<uint64_t, Waiter*> waiters;  // The requests in `queue`, by id.
  std::shared_ptr<Instance> instance;
  bool pinned = false;

  io::Duration keep_alive{};  // Negative: forever.
  io::TimePoint expires = io::kNever;

  // Crashes and failed loads in a row. No load before `not_before`; before `other_not_before` if it
  // is for a wish that has not failed yet.
  int failures = 0;
  io::TimePoint not_before{}, other_not_before{};
  std::vector<FailedLoad> failed_loads;  // Since a load succeeded; one for each wish.

  // For value(): uses, halved every kUseHalfLife, and what a load takes.
  double uses = 0;
  io::TimePoint uses_at{};
  double load_cost_seconds = 1;
  // Measured: tokens a second of prompts, and of one answer that runs alone; of this runner and of
  // earlier ones in the same place (cards or main memory).
  MeasuredRate prompt_rate{kPromptTokensMin}, output_rate{kOutputTokensMin};
  io::TimePoint measured_at{};  // When one of the two was last measured.

  // Plans for the target's files, by context and num_batch: nothing else of a request matters.
  std::map<std::pair<int, int>, std::vector<Plan>> plans;

  const FailedLoad* failed_load(const LaunchWish& wish) const;  // Null: none failed.
  void add_failed_load(FailedLoad failed);
  io::TimePoint start_of(const LaunchWish& wish) const;  // No load for the wish before.

  // Called when a runner was loaded: takes the rates measured in that place.
  void use_rates_of(const engine::GraphicsUse& graphics);

  // Marks a use. value() is the expected cost of having to load it again.
  void add_use(io::TimePoint now);
  double value(io::TimePoint now) const;
  // Expected cost of unloading it now, in seconds: load time x probability that it is wanted soon.
  double expected_loss(io::TimePoint now) const;
  void add(Waiter& waiter);
  void remove(Waiter& waiter, bool served);
  // The next to be served; null if nobody waits.
  Waiter* head(io::TimePoint now) const;
  bool is_empty() const { return waiters.empty() && !instance; }

 private:
  // Rates of runners with nothing on cards, with a part of the model there, with all of it.
  std::array<std::pair<MeasuredRate, MeasuredRate>, 3> other_rates_{
      std::pair(prompt_rate, output_rate), std::pair(prompt_rate, output_rate),
      std::pair(prompt_rate, output_rate)};
  size_t place_ = 0;
};

inline constexpr std::chrono::minutes kUseHalfLife{10};

}  // namespace om::scheduler
