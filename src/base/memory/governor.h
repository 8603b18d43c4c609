// Decides when to give memory back. A pure state machine: app feeds it samples (about one a
// second), it trims the pools registered with it and says at which level the program is:
//
//   normal  nothing to do
//   trim    pools and caches give back a growing part of what they keep idle
//   shed    besides, new work is refused until it is over; this comes last
//
// It rises at once and comes down one level at a time, after several calm samples below a lower
// threshold, so that it does not swing with the load it controls.
#pragma once

#include <cstddef>
#include <functional>
#include <string_view>
#include <vector>

#include "base/memory/memory_sample.h"
#include "base/memory/pool.h"

namespace om {

enum class MemoryLevel { normal, trim, shed };
std::string_view to_string(MemoryLevel level);

struct GovernorOptions {
  // Parts of the limit in use.
  double trim_used = 0.85;
  double shed_used = 0.95;
  // Percent of time lost: `some` for trim, `full` for shed.
  double trim_pressure = 10;
  double shed_pressure = 25;
  // This process alone. The budget at 1,000 streams is 200 MB: trim below it. 0: no limit.
  uint64_t trim_own_bytes = 160'000'000;
  uint64_t shed_own_bytes = 1'000'000'000;
  // A level ends below this part of the threshold that started it ...
  double release = 0.9;
  // ... after so many samples in a row.
  int calm_samples = 5;
  // The part of the idle memory the first trim takes; it doubles while the pressure lasts.
  double first_fraction = 0.25;
};

// Used from the io thread. Pools must be removed before they end.
class MemoryGovernor {
 public:
  explicit MemoryGovernor(GovernorOptions options = {}) : options_(options) {}

  void add(Pool& pool) { pools_.push_back(&pool); }
  void remove(Pool& pool) { std::erase(pools_, &pool); }
  // Besides, all that this directory's pools let the io thread trim.
  void set_directory(PoolDirectory& directory) { directory_ = &directory; }
  // Called after each trim, to hand freed memory to the system (malloc_trim).
  void set_after_trim(std::function<void()> callback) { after_trim_ = std::move(callback); }

  struct Outcome {
    MemoryLevel level = MemoryLevel::normal;
    bool changed = false;
    double trim_fraction = 0;  // 0: nothing was trimmed.
    size_t trimmed_bytes = 0;
  };
  Outcome observe(const MemorySample& sample);

  MemoryLevel level() const { return level_; }
  // New work is to be refused with 503.
  bool shedding() const { return level_ == MemoryLevel::shed; }

 private:
  // The level the sample asks for when all thresholds are multiplied by `factor`.
  MemoryLevel wanted(const MemorySample& sample, double factor) const;
  void move(const MemorySample& sample);
  size_t trim_pools();

  const GovernorOptions options_;
  std::vector<Pool*> pools_;
  PoolDirectory* directory_ = nullptr;
  std::function<void()> after_trim_;
  MemoryLevel level_ = MemoryLevel::normal;
  int calm_ = 0;
  double fraction_ = 0;
};

}  // namespace om
