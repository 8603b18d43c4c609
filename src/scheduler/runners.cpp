// Starting, ending and losing runners.
#include <algorithm>
#include <set>

#include "base/log.h"
#include "scheduler/local_scheduler.h"
#include "scheduler/metrics.h"

namespace om::scheduler {
namespace {

using Phase = RunnerState::Phase;

constexpr int kThreadsMax = 512;  // GGML_MAX_N_THREADS: with more it does not begin.

double seconds(io::Duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

engine::LaunchOptions LocalScheduler::launch_options(const Target& target, const Plan& plan) const {
  engine::LaunchOptions launch = options_.launch;
  launch.name = target.name;
  launch.model_path = target.weights_path;
  launch.adapter_paths = target.adapter_paths;
  launch.projector_paths = target.projector_paths;
  launch.draft_path = target.draft_path;
  launch.embedding = target.embedding;
  launch.context_length = plan.context;
  launch.slots = plan.slots;
  launch.batch = plan.batch;
  launch.weight_bytes = plan.weight_bytes;
  launch.prompt_cache_mib = plan.prompt_cache_mib;
  launch.checkpoints = plan.checkpoints;
  launch.parts = plan.parts;
  launch.is_part = target.is_part();
  const model::RunnerOptions& wanted = target.runner;
  if (wanted.num_thread && *wanted.num_thread > 0) {
    launch.threads = std::min(*wanted.num_thread, kThreadsMax);
  }
  if (wanted.num_gpu) launch.gpu_layers = wanted.num_gpu;
  if (wanted.main_gpu) launch.main_gpu = wanted.main_gpu;
  if (wanted.use_mmap) launch.use_mmap = wanted.use_mmap;
  if (wanted.draft_num_predict) launch.draft_tokens = *wanted.draft_num_predict;
  return launch;
}

void LocalScheduler::begin_load(const Digest& key, ModelEntry& entry, const Waiter& head,
                                const Plan& plan) {
  auto instance = std::make_shared<Instance>();
  instance->plan = plan;
  instance->wish = head.wish;
  entry.target.runner = head.wish->runner;  // Others may have asked since, and for something else.
  if (uses_cards(entry.target)) instance->graphics_bytes = std::min(plan.bytes, graphics_free());
  instance->engine = make_engine_(launch_options(entry.target, plan));
  instance->load_started = world_.clock.now();
  entry.instance = instance;
  entry.keep_alive = options_.keep_alive;
  entry.expires = io::kNever;
  models_loaded.add();
  log_info("load model", field("model", entry.target.name), field("context", plan.context),
           field("slots", plan.slots), field("bytes", plan.bytes));
  tasks_.spawn(run_load(key, std::move(instance)));
}

io::Task<void> LocalScheduler::run_load(Digest key, std::shared_ptr<Instance> instance) {
  auto result =
      co_await instance->engine->load(io::Call{io::kNever, instance->load_cancel.token()});
  ModelEntry& entry = *models_.at(key);  // An entry with an instance is never forgotten.
  instance->load_time = world_.clock.now() - instance->load_started;
  if (!result) {
    models_loaded.subtract();
    entry.instance.reset();
    load_failed(key, *instance, std::move(result).error());
    pump();
    co_return;
  }
  loads.with({"ok"}).add();
  entry.failed_loads.clear();
  entry.not_before = entry.other_not_before = {};
  load_seconds.observe(seconds(instance->load_time));
  log_info("model loaded", field("model", entry.target.name),
           field("seconds", instance->load_time));
  entry.load_cost_seconds = std::max(0.01, seconds(instance->load_time));
  load_rate_.add(
      static_cast<double>(instance->plan.weight_bytes),
      instance->load_time - std::min<io::Duration>(kLoadStart, instance->load_time * 9 / 10));
  instance->plan.context =
      std::max(instance->plan.context, instance->engine->properties().context_length);
  instance->plan.slots = instance->engine->properties().slots;
  measure_instance(*instance);
  entry.use_rates_of(instance->engine->graphics());
  instance->phase = Phase::ready;
  std::weak_ptr<Instance> weak = instance;
  instance->engine->on_death([this, key, weak] { died(key, weak); });
  start_keep_alive(entry);
  if (stopping_ || instance->load_cancel.cancelled()) end(key, instance, "stopped");
  if (!instance->engine->alive()) died(key, instance);  // Between the answer and now.
  pump();
}

void LocalScheduler::load_failed(const Digest& key, const Instance& instance, Error error) {
  ModelEntry& entry = *models_.at(key);
  if (error.code == Errc::cancelled) {
    loads.with({"cancelled"}).add();
    return;
  }
  loads.with({"failed"}).add();
  log_error("load failed", field("model", entry.target.name), field("reason", error.what));
  back_off(entry);
  entry.other_not_before = world_.clock.now() + options_.backoff_first;
  entry.add_failed_load({*instance.wish, std::move(error)});
  if (on_doubt_) on_doubt_(entry.target);
  refuse_failed(entry);
}

// Those who asked for something else are pumped again.
void LocalScheduler::refuse_failed(ModelEntry& entry) {
  std::vector<std::pair<Waiter*, const FailedLoad*>> failed;
  for (const auto& [id, waiter] : entry.waiters) {
    if (const auto* load = entry.failed_load(*waiter->wish)) failed.emplace_back(waiter, load);
  }
  for (const auto& [waiter, load] : failed) refuse(entry, *waiter, load->error);
}

void LocalScheduler::back_off(ModelEntry& entry) {
  const int doublings = std::min(entry.failures++, 16);
  const io::Duration pause =
      std::min<io::Duration>(options_.backoff_first * (1 << doublings), options_.backoff_max);
  entry.not_before = world_.clock.now() + pause;
}

void LocalScheduler::end(const Digest& key, const std::shared_ptr<Instance>& instance,
                         std::string_view reason) {
  if (instance->phase == Phase::leaving) return;
  if (instance->phase == Phase::loading) {
    instance->load_cancel.cancel();  // run_load() does the rest.
    return;
  }
  instance->phase = Phase::leaving;
  unloads.with({reason}).add();
  log_info("unload model", field("model", models_.at(key)->target.name), field("reason", reason));
  tasks_.spawn(run_end(key, instance));
}

io::Task<void> LocalScheduler::run_end(Digest key, std::shared_ptr<Instance> instance) {
  co_await instance->engine->stop();
  models_loaded.subtract();
  ModelEntry& entry = *models_.at(key);
  if (entry.instance == instance) entry.instance.reset();
  entry.expires = io::kNever;
  pump();
}

void LocalScheduler::died(const Digest& key, const std::weak_ptr<Instance>& weak) {
  const auto instance = weak.lock();
  if (!instance || instance->phase != Phase::ready) return;
  ModelEntry& entry = *models_.at(key);
  instance->died = true;
  const io::TimePoint now = world_.clock.now();
  std::set<std::string_view> suspects;  // The same question asked by many is one suspect.
  const engine::Blame blame = instance->engine->blame();
  if (blame != engine::Blame::none) {
    for (const RunningRequest& request : instance->running) suspects.insert(request.fingerprint);
  }
  for (const std::string_view suspect : suspects) {
    if (blame == engine::Blame::death) {
      quarantine_.add_death(suspect, now);
    } else {
      quarantine_.add_suspicion(suspect, now);
    }
  }
  // The first death in a row may be chance: it starts again at once.
  if (entry.failures > 0) {
    back_off(entry);
  } else {
    entry.failures = 1;
  }
  log_error("runner died", field("model", entry.target.name),
            field("requests", instance->running.size()));
  end(key, instance, "died");
  pump();
}

}  // namespace om::scheduler
