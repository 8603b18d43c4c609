// The system's random numbers.
#pragma once

#include "io/random.h"

namespace om::io {

class RealRandom final : public Random {
 public:
  void fill(std::span<uint8_t> bytes) override;
};

}  // namespace om::io
