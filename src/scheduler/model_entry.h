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
struct Holder {
  std::string fingerprint;
  int64_t prompt_left = 0;         // Tokens of its prompt that the runner has not evaluated yet.
  engine::PromptProgress learned;  // What the entry's rate has learned of it, until `marked`.
  PromptShare::Mark marked;
  std::optional<PromptShare::Mark> first_token;  // Until then its prompt is evaluated.
};

// What a request asks of a launch: where one failed, another one may do.
struct LaunchWish {
  LaunchWish(int context_length, const model::RunnerOptions& options)
      : context(context_length), runner(options) {
    runner.num_ctx.reset();  // The context is what came of it.
  }
  bool operator==(const LaunchWish&) const = default;

  int context;
  model::RunnerOptions runner;
};

struct FailedLoad {
  LaunchWish wish;
  Error error;
};

// One child and who works on it. Shared by the model's entry and the leases on it.
struct Instance {
  RunnerState::Phase phase = RunnerState::Phase::loading;
  Plan plan;
  std::optional<LaunchWish> wish;  // That it was loaded for.
  std::unique_ptr<engine::LoadableEngine> engine;
  io::CancelSource load_cancel;
  std::list<Holder> holders;
  PromptShare prompts;
  bool unhealthy = false, exclusive = false, died = false;
  std::optional<Digest> in_the_way_of;  // That model's load, while one waits for it.
  // Gets no new requests, and ends with its last one.
  bool is_draining() const { return unhealthy || in_the_way_of; }
  io::TimePoint load_started{};
  io::Duration load_time{};
  uint64_t resident_bytes = 0;  // When last measured, what lies on cards included.
  uint64_t graphics_bytes = 0;  // On cards: as expected while it loads, then as it told.
};

// A request in the queue. Lives in acquire()'s frame, which takes it out before it ends.
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
  std::list<Holder>::iterator holder;  // In granted->holders.
  std::optional<Error> refused;
  bool saw_load = false;
  io::Event wake;

  bool is_settled() const { return granted || refused; }
};

// Classes of the queue. Two apart: a batch request lets interactive ones pass for two ageings.
inline constexpr int kInteractiveClass = 1, kBatchClass = 3;

// Whose model is served first where several wait for memory: the least. Batch requests age into
// interactive ones.
inline io::TimePoint rank_of(const Waiter& waiter) {
  const bool batch = waiter.options.priority == Priority::batch;
  return batch ? waiter.since + (kBatchClass - kInteractiveClass) * FairQueue::kAgeing
               : waiter.since;
}

// With fewer tokens a rate is not measured.
inline constexpr double kPromptTokensMin = 32, kOutputTokensMin = 8;

struct ModelEntry {
  Target target;  // As last asked for.
  FairQueue queue;
  std::map<uint64_t, Waiter*> waiters;  // Those of the queue, by their id.
  std::shared_ptr<Instance> instance;
  bool pinned = false;

  io::Duration keep_alive{};  // Negative: forever.
  io::TimePoint expires = io::kNever;

  // Crashes and failed loads in a row; no start before `not_before`, or before `other_not_before`
  // for who asks for what has not failed yet.
  int failures = 0;
  io::TimePoint not_before{}, other_not_before{};
  std::vector<FailedLoad> failed_loads;  // Since one succeeded; one of a wish.

  // For the value of keeping it: uses, halved every kUseHalfLife, and what a load takes.
  double uses = 0;
  io::TimePoint uses_at{};
  double load_cost_seconds = 1;
  // Measured: tokens a second of prompts, and of the answer of one stream that runs alone. By this
  // runner and earlier ones that lay where it lies.
  MeasuredRate prompt_rate{kPromptTokensMin}, output_rate{kOutputTokensMin};
  io::TimePoint measured_at{};  // One of the two.

  // Of the target's files. By context and num_batch, which is all that they hold of a request.
  std::map<std::pair<int, int>, std::vector<Plan>> plans;

  const FailedLoad* failed_load(const LaunchWish& wish) const;  // Null: none such.
  void add_failed_load(FailedLoad failed);
  io::TimePoint start_of(const LaunchWish& wish) const;  // No load for it before.

  // A runner was loaded that lies there.
  void use_rates_of(const engine::GraphicsUse& graphics);

  // Marks a use. value() is the expected cost of having to load it again.
  void add_use(io::TimePoint now);
  double value(io::TimePoint now) const;
  // Seconds that it costs others if it is unloaded now: a load x how probably that is wanted soon.
  double expected_loss(io::TimePoint now) const;
  void add(Waiter& waiter);
  void remove(Waiter& waiter, bool served);
  // The next to be served; null if nobody waits.
  Waiter* head(io::TimePoint now) const;
  bool is_empty() const { return waiters.empty() && !instance; }

 private:
  // Of runners without a card, with a part of the model there, with all of it.
  std::array<std::pair<MeasuredRate, MeasuredRate>, 3> other_rates_{
      std::pair(prompt_rate, output_rate), std::pair(prompt_rate, output_rate),
      std::pair(prompt_rate, output_rate)};
  size_t place_ = 0;
};

inline constexpr std::chrono::minutes kUseHalfLife{10};

}  // namespace om::scheduler
