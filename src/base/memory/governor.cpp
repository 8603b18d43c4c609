#include "base/memory/governor.h"

#include <algorithm>

#include "base/memory/memory_metrics.h"

namespace om {

std::string_view to_string(MemoryLevel level) {
  switch (level) {
    case MemoryLevel::normal:
      return "normal";
    case MemoryLevel::trim:
      return "trim";
    case MemoryLevel::shed:
      return "shed";
  }
  return "unknown";
}

MemoryLevel MemoryGovernor::wanted(const MemorySample& sample, double factor) const {
  const double used = sample.limit_bytes == 0 ? 0
                                              : static_cast<double>(sample.used_bytes) /
                                                    static_cast<double>(sample.limit_bytes);
  const auto own_above = [&](uint64_t bytes) {
    return bytes > 0 &&
           static_cast<double>(sample.own_bytes) >= static_cast<double>(bytes) * factor;
  };
  if (used >= options_.shed_used * factor || own_above(options_.shed_own_bytes) ||
      sample.full_avg10 >= options_.shed_pressure * factor) {
    return MemoryLevel::shed;
  }
  if (used >= options_.trim_used * factor || own_above(options_.trim_own_bytes) ||
      sample.some_avg10 >= options_.trim_pressure * factor) {
    return MemoryLevel::trim;
  }
  return MemoryLevel::normal;
}

void MemoryGovernor::move(const MemorySample& sample) {
  const auto up = wanted(sample, 1);
  if (up > level_) {
    level_ = up;
    calm_ = 0;
    return;
  }
  if (wanted(sample, options_.release) >= level_) {
    calm_ = 0;
    return;
  }
  if (++calm_ < options_.calm_samples) return;
  level_ = static_cast<MemoryLevel>(static_cast<int>(level_) - 1);
  calm_ = 0;
}

MemoryGovernor::Outcome MemoryGovernor::observe(const MemorySample& sample) {
  const auto before = level_;
  if (level_ != MemoryLevel::normal || wanted(sample, 1) != MemoryLevel::normal) move(sample);
  Outcome outcome{.level = level_, .changed = level_ != before};
  if (level_ == MemoryLevel::normal) {
    fraction_ = 0;
  } else if (calm_ == 0 && wanted(sample, 1) != MemoryLevel::normal) {
    // Pressure is there now. Asking gently first keeps the pools useful through a short peak.
    fraction_ = fraction_ == 0 ? options_.first_fraction : std::min(1.0, fraction_ * 2);
    if (level_ == MemoryLevel::shed) fraction_ = 1;
    outcome.trim_fraction = fraction_;
    outcome.trimmed_bytes = trim_pools();
  }
  memory_level.set(static_cast<double>(level_));
  return outcome;
}

size_t MemoryGovernor::trim_pools() {
  size_t trimmed = 0;
  for (Pool* pool : pools_) trimmed += pool->trim(fraction_);
  if (directory_ != nullptr) trimmed += directory_->trim_here(fraction_);
  if (after_trim_) after_trim_();
  memory_trims.add();
  memory_trimmed_bytes.add(trimmed);
  return trimmed;
}

}  // namespace om
