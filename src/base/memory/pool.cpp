#include "base/memory/pool.h"

#include <algorithm>
#include <map>

#include "base/metrics.h"

namespace om {
namespace {

using Sample = SampledMetric::Sample;

std::vector<Sample> samples(uint64_t PoolStats::* number) {
  static const std::string kLabel[] = {"pool"};
  std::vector<Sample> out;
  for (const auto& entry : pool_directory().list()) {
    const std::string_view value[] = {entry.name};
    out.push_back({format_labels(kLabel, value), static_cast<double>(entry.stats.*number)});
  }
  return out;
}

void declare(SampledMetric::Type type, std::string_view name, std::string_view help,
             uint64_t PoolStats::* number) {
  // Lives as long as the directory: for ever.
  new SampledMetric(type, name, help, [number] { return samples(number); });
}

}  // namespace

PoolDirectory::PoolDirectory() {
  using Type = SampledMetric::Type;
  declare(Type::counter, "ollamamax_pool_hits_total", "Requests a pool served from kept memory.",
          &PoolStats::hits);
  declare(Type::counter, "ollamamax_pool_misses_total",
          "Requests for which a pool had to allocate.", &PoolStats::misses);
  declare(Type::gauge, "ollamamax_pool_held_bytes", "Bytes a pool keeps idle.",
          &PoolStats::held_bytes);
  declare(Type::gauge, "ollamamax_pool_held_bytes_max", "Bytes a pool may keep idle.",
          &PoolStats::held_bytes_max);
  declare(Type::gauge, "ollamamax_pool_used_bytes", "Bytes of a pool in use.",
          &PoolStats::used_bytes);
}

PoolDirectory& pool_directory() {
  // Never destroyed: thread-local pools leave it while the program ends.
  static auto* directory = new PoolDirectory();
  return *directory;
}

std::vector<PoolDirectory::Entry> PoolDirectory::list() const {
  std::map<std::string, PoolStats> sums;
  const std::lock_guard lock(mutex_);
  for (const Pool* pool : pools_) {
    const auto stats = pool->stats();
    auto& sum = sums[pool->name()];
    sum.hits += stats.hits;
    sum.misses += stats.misses;
    sum.held_bytes += stats.held_bytes;
    sum.held_bytes_max += stats.held_bytes_max;
    sum.used_bytes += stats.used_bytes;
  }
  std::vector<Entry> entries;
  for (auto& [name, stats] : sums) {
    // Blocks freed by another thread than the one that made them, which has ended since.
    if (static_cast<int64_t>(stats.used_bytes) < 0) stats.used_bytes = 0;
    entries.push_back({name, stats});
  }
  return entries;
}

size_t PoolDirectory::trim_here(double fraction) {
  size_t released = 0;
  const std::lock_guard lock(mutex_);
  for (Pool* pool : pools_) {
    if (pool->trims_here()) released += pool->trim(fraction);
  }
  return released;
}

Pool::Pool(std::string_view name, size_t held_bytes_max)
    : name_(name), held_bytes_max_(held_bytes_max) {
  auto& directory = pool_directory();
  const std::lock_guard lock(directory.mutex_);
  directory.pools_.push_back(this);
}

Pool::~Pool() {
  auto& directory = pool_directory();
  const std::lock_guard lock(directory.mutex_);
  std::erase(directory.pools_, this);
}

PoolStats Pool::stats() const {
  const auto elsewhere = [](const auto& number) {
    return static_cast<uint64_t>(number.load(std::memory_order_relaxed));
  };
  return {.hits = hits_.value(),
          .misses = misses_.value() + elsewhere(elsewhere_.misses),
          .held_bytes = held_bytes_.value() + elsewhere(elsewhere_.held_bytes),
          .held_bytes_max = held_bytes_max_,
          .used_bytes = used_bytes_.value() + elsewhere(elsewhere_.used_bytes)};
}

size_t Pool::keep_after_trim(double fraction) const {
  const double kept = 1 - std::clamp(fraction, 0.0, 1.0);
  return static_cast<size_t>(static_cast<double>(held_bytes_.value()) * kept);
}

}  // namespace om
