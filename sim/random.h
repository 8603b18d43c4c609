// Random numbers that depend on the seed alone (SplitMix64, Steele, Lea and Flood 2014).
#pragma once

#include "io/random.h"

namespace om::sim {

class SimRandom final : public io::Random {
 public:
  explicit SimRandom(uint64_t seed) : state_(seed) {}
  void fill(std::span<uint8_t> bytes) override;

  bool chance(double probability) { return unit() < probability; }
  uint64_t between(uint64_t low, uint64_t high) { return low + below(high - low + 1); }

 private:
  uint64_t state_;
};

}  // namespace om::sim
