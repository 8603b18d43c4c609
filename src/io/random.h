// Randomness as an interface: the system's, or a seeded one.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace om::io {

class Random {
 public:
  virtual ~Random() = default;
  virtual void fill(std::span<uint8_t> bytes) = 0;

  uint64_t next();
  uint64_t below(uint64_t bound);     // Uniform in [0, bound); bound > 0.
  double unit();                      // Uniform in [0, 1).
  std::string letters(size_t count);  // Of [a-z0-9], for ids.
};

}  // namespace om::io
