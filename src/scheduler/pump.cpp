// Asks decide() for the head of each queue and does what it says.
#include <algorithm>

#include "base/check.h"
#include "base/log.h"
#include "scheduler/local_scheduler.h"
#include "scheduler/metrics.h"

namespace om::scheduler {
namespace {

using Phase = RunnerState::Phase;

void keep_main_memory(RunnerState& runner) {
  runner.bytes -= runner.graphics;
  runner.graphics = 0;
}

double gigabytes(uint64_t bytes) { return static_cast<double>(bytes) / (1 << 30); }

Error refusal(const std::string& model, int context, const Refuse& never) {
  if (never.pinned > 0) {
    return {Errc::unavailable,
            fmt::format("model '{}' cannot be loaded: pinned models, or parts of other nodes' "
                        "models, take all {} places of OLLAMA_MAX_LOADED_MODELS; unpin one "
                        "(ollamamax unpin) or raise OLLAMA_MAX_LOADED_MODELS",
                        model, never.pinned)};
  }
  return {Errc::unavailable,
          fmt::format("model '{}' with a context of {} tokens needs {:.1f} GiB of memory, but only "
                      "{:.1f} GiB can be used for it; a smaller num_ctx, a smaller quantization or "
                      "OLLAMA_KV_CACHE_TYPE=q8_0 needs less",
                      model, context, gigabytes(never.needs), gigabytes(never.has))};
}

}  // namespace

void LocalScheduler::pump() {
  // What is done may ask for a pump again; it is done in a loop, not in depth.
  if (pumping_) {
    pump_again_ = true;
    return;
  }
  pumping_ = true;
  do {
    pump_again_ = false;
    wake_at_ = io::kNever;
    keep_what_is_not_in_the_way();
    end_idle();
    // Who waits longest goes first: it decides what memory is used for.
    std::vector<std::pair<io::TimePoint, Digest>> order;
    for (const auto& [key, entry] : models_) {
      if (const Waiter* head = entry->head(world_.clock.now()))
        order.emplace_back(rank_of(*head), key);
    }
    std::ranges::sort(order);
    std::optional<Ahead> ahead;
    for (const auto& [rank, key] : order) {
      while (!stopping_ && pump_model(key, *models_.at(key), ahead)) {
      }
    }
    refuse_expired();  // Not before: who can go at once is served however short its patience.
  } while (pump_again_);
  pumping_ = false;
  queue_length.set(static_cast<double>(waiting()));
  arm_timer();
}

bool LocalScheduler::pump_model(const Digest& key, ModelEntry& entry, std::optional<Ahead>& ahead) {
  Waiter* head = entry.head(world_.clock.now());
  if (!head) return false;
  std::vector<Digest> others;
  NodeState node = node_state(key, others);
  node.ahead = ahead;
  const Demand demand = demand_of(entry, *head);
  if (!head->options.may_evict && !has_room(node, demand)) {
    refuse(entry, *head, {Errc::overloaded, "the memory was taken by another model"});
    return true;
  }
  const Action action = decide(node, demand);
  if (!ahead && waits_for_room(node, action)) {
    ahead = Ahead{demand.plans.back().bytes, demand.since};
  }
  return perform(key, entry, *head, action, others);
}

Demand LocalScheduler::demand_of(const ModelEntry& entry, const Waiter& waiter) {
  return {.context = waiter.context,
          .suspect = waiter.suspect,
          .plans = waiter.plans,
          .since = waiter.since,
          .rank = rank_of(waiter),
          .not_before = entry.start_of(*waiter.wish)};
}

bool LocalScheduler::perform(const Digest& key, ModelEntry& entry, Waiter& head,
                             const Action& action, const std::vector<Digest>& others) {
  if (std::holds_alternative<Grant>(action)) {
    grant(entry, head);
    return true;
  }
  if (const auto* wait = std::get_if<Wait>(&action)) {
    if (wait->until) wake_at(*wait->until);
    return false;
  }
  if (const auto* load = std::get_if<Load>(&action)) {
    begin_load(key, entry, head, load->plan);
    for (const auto& [id, waiter] : entry.waiters) waiter->saw_load = true;
    return false;
  }
  if (std::holds_alternative<Replace>(action)) {
    end(key, entry.instance, "replaced");
    return false;
  }
  if (const auto* evict = std::get_if<Evict>(&action)) {
    for (size_t i : evict->others) end(others[i], models_.at(others[i])->instance, "evicted");
    return false;
  }
  if (const auto* drain = std::get_if<DrainOthers>(&action)) {
    for (size_t i : drain->others) models_.at(others[i])->instance->in_the_way_of = key;
    return false;
  }
  refuse(entry, head, refusal(entry.target.name, head.context, std::get<Refuse>(action)));
  return true;
}

NodeState LocalScheduler::node_state(const Digest& key, std::vector<Digest>& others) const {
  NodeState node;
  node.now = world_.clock.now();
  node.loaded_max = options_.loaded_max;
  for (const auto& [other, entry] : models_) {
    if (!entry->instance) continue;
    if (other == key) {
      node.own = runner_state(*entry, *entry->instance);
    } else {
      RunnerState& runner = node.others.emplace_back(runner_state(*entry, *entry->instance));
      const Waiter* head = runner.running > 0 ? entry->head(node.now) : nullptr;
      if (head) runner.head_rank = rank_of(*head);  // Nobody asks it of an idle one.
      others.push_back(other);
    }
  }
  uint64_t used = memory_used();
  if (uses_cards(models_.at(key)->target)) {
    node.memory_total = memory_total();
    node.graphics_total = graphics_total_;
    node.graphics_free = graphics_free();
  } else {
    // Nothing of it can lie on a card, and nothing that leaves a card helps it.
    node.memory_total = main_total_;
    used -= graphics_used();
    if (node.own) keep_main_memory(*node.own);
    for (RunnerState& other : node.others) keep_main_memory(other);
  }
  node.memory_free = node.memory_total - std::min(used, node.memory_total);
  return node;
}

RunnerState LocalScheduler::runner_state(const ModelEntry& entry, const Instance& instance) const {
  RunnerState state;
  state.phase = instance.phase;
  state.context = instance.plan.context;
  state.slots = instance.plan.slots;
  state.running = static_cast<int>(instance.running.size());
  state.bytes = bytes_of(instance);
  state.graphics = graphics_of(instance);
  // Another node's model stands on a part: it ends with its lease.
  state.pinned = entry.pinned || entry.target.is_part();
  state.draining = instance.is_draining();
  state.exclusive = instance.exclusive;
  state.value = entry.value(world_.clock.now());
  state.queued = static_cast<int>(entry.waiters.size());
  state.load_started = instance.load_started;
  return state;
}

void LocalScheduler::grant(ModelEntry& entry, Waiter& waiter) {
  Instance& instance = *entry.instance;
  CHECK(static_cast<int>(instance.running.size()) < instance.plan.slots, "a slot given twice");
  instance.running.push_back({.fingerprint = waiter.options.fingerprint,
                              .prompt_left = waiter.options.prompt_tokens,
                              .marked = instance.prompts.begin(world_.clock.now())});
  instance.exclusive = waiter.suspect;
  requests_running.add();
  if (waiter.options.keep_alive.duration) {
    entry.keep_alive = *waiter.options.keep_alive.duration;
  } else if (entry.keep_alive.count() >= 0) {
    entry.keep_alive = std::max(entry.keep_alive, waiter.options.keep_alive_min);
  }
  entry.expires = io::kNever;
  entry.add_use(world_.clock.now());
  waiter.granted = entry.instance;
  waiter.running = std::prev(instance.running.end());
  leave(entry, waiter, true);
  waiter.wake.notify_all();
}

void LocalScheduler::refuse(ModelEntry& entry, Waiter& waiter, Error error) {
  waiter.refused = std::move(error);
  leave(entry, waiter, false);
  waiter.wake.notify_all();
}

void LocalScheduler::refuse_all(ModelEntry& entry, const Error& error) {
  while (!entry.waiters.empty()) refuse(entry, *entry.waiters.begin()->second, error);
}

void LocalScheduler::refuse_displaced(uint64_t id) {
  for (const auto& [key, entry] : models_) {
    const auto found = entry->waiters.find(id);
    if (found == entry->waiters.end()) continue;
    queue_refused.with({"displaced"}).add();
    return refuse(*entry, *found->second, queue_full());
  }
  CHECK(false, "a place in the waiting room without a waiter");
}

void LocalScheduler::refuse_expired() {
  const io::TimePoint now = world_.clock.now();
  for (const auto& [key, entry] : models_) {
    for (uint64_t id : entry->queue.take_expired(now)) {
      queue_refused.with({"patience"}).add();
      pump_again_ = true;
      Waiter& waiter = *entry->waiters.at(id);
      entry->waiters.erase(id);
      refuse(*entry, waiter,
             {Errc::overloaded, "server busy, please try again.  its turn did not come in time"});
    }
    if (const auto next = entry->queue.next_deadline()) wake_at(*next);
  }
}

// The clock of keep_alive runs while a runner has nothing to do.
void LocalScheduler::start_keep_alive(ModelEntry& entry) {
  if (!entry.instance || !entry.instance->running.empty()) return;
  const bool forever = entry.keep_alive.count() < 0 || entry.pinned;
  const io::TimePoint now = world_.clock.now();
  const bool far = entry.keep_alive > io::kNever - now;
  entry.expires = forever || far ? io::kNever : now + entry.keep_alive;
}

// Nobody waits any more for the load that others were to make room for, or it has begun.
void LocalScheduler::keep_what_is_not_in_the_way() {
  for (auto& [key, entry] : models_) {
    if (!entry->instance || !entry->instance->in_the_way_of) continue;
    const auto wanted = models_.find(*entry->instance->in_the_way_of);
    const bool waits = wanted != models_.end() && !wanted->second->waiters.empty();
    if (!waits || wanted->second->instance) entry->instance->in_the_way_of.reset();
  }
}

void LocalScheduler::end_idle() {
  const io::TimePoint now = world_.clock.now();
  for (auto& [key, entry] : models_) {
    if (!entry->instance) continue;
    Instance& instance = *entry->instance;
    if (instance.phase == Phase::loading) {
      // A preload that nobody waits for any more.
      if (entry->waiters.empty()) instance.load_cancel.cancel();
      continue;
    }
    if (instance.phase != Phase::ready || !instance.running.empty()) continue;
    if (instance.is_draining()) {
      end(key, entry->instance, "unhealthy or in the way");
    } else if (entry->waiters.empty() && entry->expires <= now) {
      end(key, entry->instance, "expired");
    } else if (entry->waiters.empty()) {
      wake_at(entry->expires);
    }
  }
}

void LocalScheduler::wake_at(io::TimePoint when) { wake_at_ = std::min(wake_at_, when); }

void LocalScheduler::arm_timer() {
  if (wake_at_ == timer_at_ && timer_ != 0) return;
  world_.clock.cancel_timer(timer_);
  timer_ = 0;
  timer_at_ = wake_at_;
  if (wake_at_ == io::kNever || stopping_) return;
  timer_ = world_.clock.start_timer(wake_at_, [this] {
    timer_ = 0;
    pump();
  });
}

}  // namespace om::scheduler
