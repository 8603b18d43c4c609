#include "scheduler/local_scheduler.h"

#include <algorithm>

#include "base/check.h"
#include "base/log.h"
#include "scheduler/metrics.h"

namespace om::scheduler {
namespace {

constexpr size_t kEntriesMax = 256;       // Models remembered after they were unloaded.
constexpr size_t kPlansPerModelMax = 16;  // Context sizes remembered.
constexpr int kContextMin = 4, kVisionContextMin = 2048;
constexpr std::chrono::minutes kRatesOld{10};             // Since one of them was measured.
constexpr std::chrono::hours kFarFuture{24 * 365 * 100};  // Sums with it do not overflow.

io::Duration part_of(io::Duration took, double share) {
  return std::chrono::duration_cast<io::Duration>(took * share);
}

Error shutting_down() { return {Errc::unavailable, "the server is shutting down"}; }

}  // namespace

Error queue_full() {
  return {Errc::overloaded, "server busy, please try again.  maximum pending requests exceeded"};
}

class LocalLease final : public Lease {
 public:
  LocalLease(LocalScheduler& scheduler, const Digest& key, const Waiter& waiter, io::TimePoint now)
      : scheduler_(scheduler.self_),
        key_(key),
        instance_(waiter.granted),
        running_(waiter.running) {
    const io::Duration waited = now - waiter.since;
    load_time_ = waiter.saw_load ? std::min(instance_->load_time, waited) : io::Duration{};
    queue_time_ = waited - load_time_;
  }
  ~LocalLease() override {
    if (auto scheduler = scheduler_.lock()) {
      (*scheduler)->release(key_, instance_, running_, !failed_);
    }
  }
  LocalLease(const LocalLease&) = delete;
  LocalLease& operator=(const LocalLease&) = delete;

  engine::Engine& engine() override { return *instance_->engine; }
  std::chrono::nanoseconds load_time() const override { return load_time_; }
  std::chrono::nanoseconds queue_time() const override { return queue_time_; }
  void report_failure(const Error& error) override {
    failed_ = true;
    if (auto scheduler = scheduler_.lock()) (*scheduler)->distrust(instance_, error);
  }
  void note_prompt_progress(const engine::PromptProgress& progress) override {
    auto scheduler = scheduler_.lock();
    if (scheduler) (*scheduler)->note_progress(key_, *instance_, *running_, progress);
  }
  void note_first_token() override {
    auto scheduler = scheduler_.lock();
    if (scheduler) (*scheduler)->note_first_token(*instance_, *running_);
  }
  void note_end(const RunTimes& times) override {
    auto scheduler = scheduler_.lock();
    if (scheduler) (*scheduler)->learn(key_, *instance_, *running_, times);
  }

 private:
  std::weak_ptr<LocalScheduler*> scheduler_;
  Digest key_;
  std::shared_ptr<Instance> instance_;
  std::list<RunningRequest>::iterator running_;
  io::Duration load_time_{}, queue_time_{};
  bool failed_ = false;
};

LocalScheduler::LocalScheduler(io::World& world, LocalSchedulerOptions options,
                               engine::EngineFactory make_engine,
                               std::unique_ptr<MemoryPlans> plans)
    : world_(world),
      options_(std::move(options)),
      make_engine_(std::move(make_engine)),
      plans_(std::move(plans)),
      room_(options_.queue_max),
      left_(world.clock),
      tasks_(world.executor, world.clock) {
  lend(options_.memory_total, 0);
}

LocalScheduler::~LocalScheduler() {
  CHECK(tasks_.size() == 0, "LocalScheduler::stop() was not awaited");
  world_.clock.cancel_timer(timer_);
}

int LocalScheduler::wanted_context(const Target& target) const {
  int context = target.runner.num_ctx.value_or(options_.default_context);
  if (context <= 0) context = options_.default_context;
  context = std::max(context, target.projector_paths.empty() ? kContextMin : kVisionContextMin);
  return target.trained_context > 0 ? std::min(context, target.trained_context) : context;
}

ModelEntry& LocalScheduler::entry_of(const Target& target) {
  forget_empty_entries();
  auto& entry = models_[target.key()];
  if (!entry) {
    entry = std::make_unique<ModelEntry>();
    entry->uses_at = world_.clock.now();
    entry->keep_alive = options_.keep_alive;
  }
  entry->target = target;
  return *entry;
}

void LocalScheduler::forget_empty_entries() {
  if (models_.size() <= kEntriesMax) return;
  std::erase_if(models_, [&](const auto& item) {
    return item.second->is_empty() && !item.second->pinned &&
           item.second->not_before <= world_.clock.now();
  });
}

io::Task<Result<std::vector<Plan>>> LocalScheduler::plans_for(const Target& target, int context) {
  const Digest key = target.key();
  const std::pair wanted(context, target.runner.num_batch.value_or(0));
  if (const auto known = models_.find(key); known != models_.end()) {
    const auto& plans = known->second->plans;
    if (const auto found = plans.find(wanted); found != plans.end()) co_return found->second;
  }
  auto made = co_await plans_->plans(target, context);
  if (!made) {
    if (made.error().code == Errc::corrupt && on_doubt_) on_doubt_(target);
    co_return made;
  }
  CHECK(!made->empty(), "no plan for a model");
  auto& plans = entry_of(target).plans;
  if (plans.size() >= kPlansPerModelMax) plans.clear();
  plans[wanted] = *made;
  co_return made;
}

Result<void> LocalScheduler::admit(const ModelEntry& entry, const Waiter& waiter) {
  const io::TimePoint now = world_.clock.now();
  if (quarantine_.is_refused(waiter.options.fingerprint, now)) {
    quarantine_refused.add();
    return fail(Errc::invalid_argument,
                "this request ended the model's runner twice and is not tried again");
  }
  // A model that cannot be loaded says so at once instead of keeping its users waiting. With other
  // options it may be.
  const FailedLoad* failed = entry.instance ? nullptr : entry.failed_load(*waiter.wish);
  if (failed && now < entry.not_before) return fail(failed->error);
  return {};
}

io::Task<Result<std::unique_ptr<Lease>>> LocalScheduler::acquire(Target target,
                                                                 AcquireOptions options,
                                                                 io::Call call) {
  if (stopping_) co_return fail(shutting_down());
  if (call.cancel.cancelled()) co_return fail(Errc::cancelled, "the request was cancelled");
  const Entered entered(*this);
  Waiter waiter(world_.clock, options);
  CO_TRY_VOID(co_await make_plans(target, waiter));
  if (stopping_) co_return fail(shutting_down());
  co_return co_await wait_for_grant(target, waiter, call);
}

io::Task<Result<void>> LocalScheduler::make_plans(const Target& target, Waiter& waiter) {
  if (target.is_part()) {
    waiter.context = 1;
    waiter.plans = {Plan{.slots = 1, .context = 1, .bytes = target.part_bytes}};
    co_return Result<void>{};
  }
  const auto known = models_.find(target.key());
  if (known == models_.end() || !known->second->instance) co_await measure_graphics();
  waiter.context = wanted_context(target);
  CO_TRY(waiter.plans, co_await plans_for(target, waiter.context));
  if (target.split) {
    Plan plan = split_launch(waiter.plans.back());
    plan.bytes = target.split->main_bytes;
    plan.parts = target.split->parts;
    waiter.plans = {std::move(plan)};
    co_return Result<void>{};
  }
  const ModelEntry& entry = entry_of(target);
  const int current = entry.instance ? entry.instance->plan.context : 0;
  // A runner that is too small is replaced by one with room to grow, if that fits too.
  const int grown = grown_context(waiter.context, current, target.trained_context);
  if (grown > waiter.context) {
    CO_TRY(auto larger, co_await plans_for(target, grown));
    waiter.plans.insert(waiter.plans.begin(), larger.begin(), larger.end());
  }
  co_return Result<void>{};
}

io::Task<Result<std::unique_ptr<Lease>>> LocalScheduler::wait_for_grant(const Target& target,
                                                                        Waiter& waiter,
                                                                        io::Call call) {
  const Digest key = target.key();
  ModelEntry& entry = entry_of(target);  // Stays while a waiter or a running request is in it.
  waiter.wish.emplace(waiter.context, target.runner);
  CO_TRY_VOID(admit(entry, waiter));
  waiter.suspect = quarantine_.is_suspect(waiter.options.fingerprint, world_.clock.now());
  waiter.saw_load = entry.instance && entry.instance->phase == RunnerState::Phase::loading;
  CO_TRY_VOID(enter(key, entry, waiter));
  pump();
  std::optional<Error> gave_up;
  while (!waiter.is_settled() && !gave_up) {
    auto woken = co_await waiter.wake.wait(call);
    if (!woken) gave_up = std::move(woken).error();
  }
  if (waiter.refused) co_return fail(std::move(*waiter.refused));
  if (!waiter.granted) {
    leave(entry, waiter, false);
    pump();  // Others may go now, and a load for nobody is given up.
    co_return fail(std::move(*gave_up));
  }
  queue_seconds.with({to_string(waiter.options.priority)})
      .observe(std::chrono::duration<double>(world_.clock.now() - waiter.since).count());
  auto lease = std::make_unique<LocalLease>(*this, key, waiter, world_.clock.now());
  if (gave_up) co_return fail(std::move(*gave_up));  // Granted too late; the lease gives it back.
  co_return std::unique_ptr<Lease>(std::move(lease));
}

// A place in the queue of its model, if there is one. Who can go at once needs none: a free slot is
// no queue. Nor do those that resume: as many of them can come as ran before.
Result<void> LocalScheduler::enter(const Digest& key, ModelEntry& entry, Waiter& waiter) {
  waiter.id = ++last_waiter_;
  entry.add(waiter);
  if (waiter.options.resumes || can_grant(key, entry, waiter)) return {};
  const AcquireOptions& options = waiter.options;
  const double weight = std::clamp(options.weight, FairQueue::kWeightMin, FairQueue::kWeightMax);
  const auto entered =
      room_.enter({waiter.id, options.client, weight, options.priority == Priority::batch});
  if (entered.displaced) refuse_displaced(*entered.displaced);
  if (entered.accepted) return {};
  entry.remove(waiter, false);
  queue_refused.with({"full"}).add();
  return fail(queue_full());
}

void LocalScheduler::leave(ModelEntry& entry, Waiter& waiter, bool served) {
  entry.remove(waiter, served);
  room_.leave(waiter.id);
}

// True if the one who came last can go at once.
bool LocalScheduler::can_grant(const Digest& key, const ModelEntry& entry,
                               const Waiter& waiter) const {
  std::vector<Digest> others;
  return entry.head(world_.clock.now()) == &waiter &&
         std::holds_alternative<Grant>(decide(node_state(key, others), demand_of(entry, waiter)));
}

void LocalScheduler::release(const Digest& key, const std::shared_ptr<Instance>& instance,
                             std::list<RunningRequest>::iterator request, bool answered) {
  if (answered && !instance->died) quarantine_.acquit(request->fingerprint);
  note_first_token(*instance, *request);
  instance->running.erase(request);
  instance->exclusive = false;
  requests_running.subtract();
  if (ModelEntry* entry = find_entry(key, *instance)) {
    if (answered && !instance->died) entry->failures = 0;
    start_keep_alive(*entry);
  }
  pump();
}

ModelEntry* LocalScheduler::find_entry(const Digest& key, const Instance& instance) {
  const auto found = models_.find(key);
  const bool has_it = found != models_.end() && found->second->instance.get() == &instance;
  return has_it ? found->second.get() : nullptr;
}

// The rate is learned while the prompt is evaluated: a slow node is to be known as one before it
// has given its first answer.
void LocalScheduler::note_progress(const Digest& key, Instance& instance, RunningRequest& request,
                                   const engine::PromptProgress& progress) {
  request.prompt_left = progress.left;
  const PromptShare::Mark now = instance.prompts.mark(world_.clock.now());
  // Another prompt, under the same lease.
  if (progress.evaluated < request.learned.evaluated) {
    request.learned = {};
    request.marked = now;
  }
  const int64_t tokens = progress.evaluated - request.learned.evaluated;
  ModelEntry* entry = find_entry(key, instance);
  if (entry == nullptr || tokens < kPromptTokensMin) return;
  entry->prompt_rate.add(
      static_cast<double>(tokens),
      part_of(progress.time - request.learned.time, PromptShare::of_prompt(request.marked, now)));
  request.learned = progress;
  request.marked = now;
}

void LocalScheduler::note_first_token(Instance& instance, RunningRequest& request) {
  request.prompt_left = 0;
  if (request.first_token) return;
  request.first_token = instance.prompts.end(world_.clock.now());
}

void LocalScheduler::learn(const Digest& key, Instance& instance, const RunningRequest& request,
                           const RunTimes& times) {
  ModelEntry* entry = find_entry(key, instance);
  if (entry == nullptr) return;
  const int64_t evaluated = times.prompt_tokens - times.cached_tokens - request.learned.evaluated;
  // Told as if it had run alone, so that it means the same whoever runs there when it is used.
  const PromptShare::Mark end = instance.prompts.mark(world_.clock.now());
  const PromptShare::Mark first = request.first_token.value_or(end);
  const bool prompt = entry->prompt_rate.add(
      static_cast<double>(evaluated), part_of(times.prompt_time - request.learned.time,
                                              PromptShare::of_prompt(request.marked, first)));
  const double beside = static_cast<double>(instance.running.size()) - 1;
  const bool answer = entry->output_rate.add(
      static_cast<double>(times.output_tokens) * (1 + kBatchSlowdown * std::max(0.0, beside)),
      part_of(times.output_time, PromptShare::of_answer(first, end)));
  // Where answers are short only prompts tell how fast it is.
  if (prompt || answer) entry->measured_at = world_.clock.now();
}

void LocalScheduler::distrust(const std::shared_ptr<Instance>& instance, const Error& error) {
  // A death is noticed by itself. A child that lives on but breaks connections or sends nonsense
  // is replaced when its other requests have ended.
  if (error.code != Errc::unavailable && error.code != Errc::corrupt) return;
  if (instance->phase != RunnerState::Phase::ready || stopping_) return;
  instance->unhealthy = true;
  log_warn("runner misbehaved and will be replaced", field("reason", error.what));
}

bool LocalScheduler::unload(const Digest& key) {
  const auto known = models_.find(key);
  if (known == models_.end() || !known->second->instance) return false;
  ModelEntry& entry = *known->second;
  entry.keep_alive = io::Duration{0};
  entry.expires = world_.clock.now();
  const bool was_pinned = std::exchange(entry.pinned, false);
  pump();
  if (was_pinned && on_unpin_) on_unpin_();
  return true;
}

void LocalScheduler::end_split() {
  for (auto& [key, entry] : models_) {
    if (!entry->instance || entry->instance->plan.parts.empty() || entry->pinned) continue;
    entry->keep_alive = io::Duration{0};
    if (entry->instance->running.empty()) entry->expires = world_.clock.now();
  }
  pump();
}

bool LocalScheduler::pin(const Digest& key, bool pinned) {
  const auto known = models_.find(key);
  if (known == models_.end() || (pinned && !known->second->instance)) return false;
  known->second->pinned = pinned;
  start_keep_alive(*known->second);
  pump();
  return true;
}

bool LocalScheduler::is_pinned(const Digest& key) const {
  const auto known = models_.find(key);
  return known != models_.end() && known->second->pinned;
}

bool LocalScheduler::is_loaded(const Digest& key) const {
  const auto known = models_.find(key);
  return known != models_.end() && known->second->instance;
}

LoadedModel LocalScheduler::loaded_model(const Digest& key, const ModelEntry& entry) const {
  const Instance& instance = *entry.instance;
  LoadedModel model;
  model.name = entry.target.name;
  model.manifest = entry.target.manifest;
  model.key = key;
  model.size_bytes = bytes_of(instance);
  // Also where the card's memory is the machine's.
  const engine::GraphicsUse graphics = instance.engine->graphics();
  model.graphics_bytes = std::min(model.size_bytes, graphics.bytes);
  model.on_card = graphics.whole();
  model.context_length = instance.plan.context;
  model.slots = instance.plan.slots;
  model.running = static_cast<int>(instance.running.size());
  model.queued = static_cast<int>(entry.waiters.size());
  model.loading = instance.phase == RunnerState::Phase::loading;
  model.stopping = instance.phase == RunnerState::Phase::leaving || instance.is_draining();
  model.pinned = entry.pinned;
  model.part_of = entry.target.part_of;
  for (const engine::PartShare& part : instance.plan.parts) {
    model.parts.push_back({part.node, part.bytes});
  }
  model.load_progress = model.loading ? instance.engine->load_progress() : 1;
  if (entry.keep_alive.count() >= 0 && !entry.pinned) {
    const io::TimePoint now = world_.clock.now();
    const io::Duration left = entry.expires == io::kNever ? entry.keep_alive : entry.expires - now;
    model.expires_at = world_.clock.wall_now() + std::min<io::Duration>(left, kFarFuture);
  }
  return model;
}

std::vector<LoadedModel> LocalScheduler::loaded() const {
  std::vector<LoadedModel> result;
  for (const auto& [key, entry] : models_) {
    if (entry->instance) result.push_back(loaded_model(key, *entry));
  }
  return result;
}

cluster::RunnerInfo LocalScheduler::runner_info(const ModelEntry& entry, LoadedModel model) const {
  cluster::RunnerInfo runner;
  runner.model = std::move(model.name);
  runner.manifest = model.manifest;
  runner.key = model.key;
  runner.stopping = model.stopping;
  runner.pinned = model.pinned;
  runner.part_of = std::move(model.part_of);
  for (LoadedPart& part : model.parts) runner.parts.push_back({std::move(part.node), part.bytes});
  runner.loading = model.loading;
  if (model.loading) runner.load_progress = std::floor(model.load_progress * 20) / 20;
  if (model.expires_at) {
    // In whole seconds: a clock that runs is no news.
    const auto left = *model.expires_at - world_.clock.wall_now();
    runner.expires_ms = std::chrono::round<std::chrono::seconds>(left).count() * 1000;
  }
  runner.context_length = model.context_length;
  runner.slots = model.slots;
  runner.running = model.running;
  runner.queued = model.queued;
  runner.size_bytes = model.size_bytes;
  runner.graphics_bytes = model.graphics_bytes;
  runner.on_card = model.on_card;
  runner.prompt_rate = in_steps(entry.prompt_rate.per_second());
  runner.output_rate = in_steps(entry.output_rate.per_second());
  runner.rates_are_old =
      runner.output_rate > 0 && world_.clock.now() - entry.measured_at > kRatesOld;
  runner.value = in_steps(entry.expected_loss(world_.clock.now()));
  for (const RunningRequest& request : entry.instance->running) {
    runner.pending_prompt_tokens += request.prompt_left;
  }
  for (const auto& [id, waiter] : entry.waiters) {
    runner.pending_prompt_tokens += waiter->options.prompt_tokens;
  }
  return runner;
}

cluster::NodeInfo LocalScheduler::node_info(std::string name) const {
  cluster::NodeInfo node;
  node.name = std::move(name);
  node.memory_total = memory_total();
  node.memory_used = memory_used();
  node.graphics_total = graphics_total_;
  node.graphics_used = graphics_used();
  node.cores = options_.launch.threads;
  node.processors = std::min<double>(options_.processors, options_.launch.threads);
  node.load_rate = in_steps(load_rate_.per_second());
  node.reported = world_.clock.now();
  for (const auto& [key, entry] : models_) {
    if (entry->instance) node.runners.push_back(runner_info(*entry, loaded_model(key, *entry)));
  }
  return node;
}

io::Task<void> LocalScheduler::stop() {
  stopping_ = true;
  for (auto& [key, entry] : models_) {
    refuse_all(*entry, shutting_down());
    if (entry->instance) end(key, entry->instance, "stopped");
  }
  co_await tasks_.stop();
  // Whoever reads a model's header, or waits for what the cards say, cannot be called off.
  while (inside_ > 0) {
    const auto left = co_await left_.wait();
    if (!left) break;
  }
}

}  // namespace om::scheduler
