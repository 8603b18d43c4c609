// What there is to lend: main memory and graphics cards, as other programs come and go.
#include <algorithm>

#include "base/log.h"
#include "scheduler/local_scheduler.h"
#include "scheduler/metrics.h"

namespace om::scheduler {
namespace {

using Phase = RunnerState::Phase;

// One part of so many of what the machine has left is not lent; of changes, that many steps count.
constexpr uint64_t kMarginParts = 20, kMemorySteps = 64;
// What cards have left is asked again if it was asked longer ago.
constexpr std::chrono::seconds kCardsAge{10};

}  // namespace

uint64_t LocalScheduler::bytes_of(const Instance& instance) {
  // What is mapped but not yet touched will be: the estimate is the floor.
  return std::max(instance.plan.bytes, instance.resident_bytes);
}

uint64_t LocalScheduler::graphics_of(const Instance& instance) {
  return std::min(instance.graphics_bytes, bytes_of(instance));
}

uint64_t LocalScheduler::sum_of(uint64_t (*bytes)(const Instance&)) const {
  uint64_t sum = 0;
  for (const auto& [key, entry] : models_) {
    if (entry->instance) sum += bytes(*entry->instance);
  }
  return sum;
}

uint64_t LocalScheduler::memory_used() const { return sum_of(bytes_of); }
uint64_t LocalScheduler::graphics_used() const { return sum_of(graphics_of); }

uint64_t LocalScheduler::graphics_free() const {
  return graphics_total_ - std::min(graphics_total_, graphics_used());
}

// Parts and models that are split are kept in main memory, and who wants no layers on a card.
bool LocalScheduler::uses_cards(const Target& target) const {
  return graphics_ && !options_.launch.deterministic && !target.is_part() && !target.split &&
         target.runner.num_gpu != 0;
}

void LocalScheduler::lend(uint64_t main_total, uint64_t graphics_total) {
  main_total_ = main_total;
  graphics_total_ = graphics_total;
  models_memory.set(static_cast<double>(memory_total()));
}

void LocalScheduler::note_memory_left(uint64_t bytes) {
  uint64_t reserved = 0, to_come = 0;
  for (const auto& [key, entry] : models_) {
    if (!entry->instance) continue;
    const uint64_t whole = bytes_of(*entry->instance) - graphics_of(*entry->instance);
    reserved += whole;
    uint64_t taken = entry->instance->engine->memory().anonymous;
    // On a card that shares the machine's memory: of that, and in no process's.
    if (!graphics_) taken += entry->instance->engine->graphics().bytes;
    to_come += whole - std::min(whole, taken);
  }
  const uint64_t free = bytes / kMarginParts * (kMarginParts - 1);
  const uint64_t left = free - std::min(free, options_.memory_reserve + to_come);
  const uint64_t total = std::min(options_.memory_total, reserved + left);
  // Programs come and go all the time: only what matters to a model is news.
  const uint64_t changed = std::max(total, main_total_) - std::min(total, main_total_);
  if (changed < options_.memory_total / kMemorySteps) return;
  lend(total, graphics_total_);
  pump();
}

void LocalScheduler::use_graphics(std::unique_ptr<GraphicsMemory> graphics, uint64_t left) {
  graphics_ = std::move(graphics);
  graphics_at_ = world_.clock.now();
  lend(main_total_, left);
}

bool LocalScheduler::is_loading() const {
  return std::ranges::any_of(models_, [](const auto& item) {
    return item.second->instance && item.second->instance->phase != Phase::ready;
  });
}

// While something loads or leaves, nobody knows what of the cards is whose.
io::Task<void> LocalScheduler::measure_graphics() {
  const bool is_new = world_.clock.now() - graphics_at_ < kCardsAge;
  if (!graphics_ || measuring_graphics_ || is_new || is_loading()) co_return;
  measuring_graphics_ = true;
  const auto left = co_await graphics_->left();
  measuring_graphics_ = false;
  graphics_at_ = world_.clock.now();
  if (!left) log_warn("graphics memory is not known", field("error", left.error()));
  if (!left || is_loading()) co_return;
  lend(main_total_, graphics_used() + *left);
}

void LocalScheduler::measure_instance(Instance& instance) const {
  if (graphics_) instance.graphics_bytes = instance.engine->graphics().bytes;
  const io::ProcessMemory memory = instance.engine->memory();
  instance.resident_bytes =
      instance.graphics_bytes > 0 ? memory.anonymous + instance.graphics_bytes : memory.resident;
}

}  // namespace om::scheduler
