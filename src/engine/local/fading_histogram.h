// A histogram of recent sizes in a fixed amount of memory.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace om::engine {

// Forgets: counts are halved now and then. A plain value.
class FadingHistogram {
 public:
  // Sizes are told apart between `unit` and 2^20 units.
  explicit FadingHistogram(double unit) : unit_(unit) {}

  void add(double size);
  void add(const FadingHistogram& other);  // Of the same unit.
  uint64_t count() const { return count_; }
  // The 99th percentile, or up to a fifth more; 0: it is empty.
  double p99() const;

 private:
  static constexpr size_t kBuckets = 81;  // The n-th holds sizes up to unit * 2^(n/4).
  static constexpr uint64_t kForgetAfter = 2048;

  double unit_;
  std::array<uint32_t, kBuckets> counts_{};
  uint64_t count_ = 0;
};

}  // namespace om::engine
