#include "sim/random.h"

namespace om::sim {

void SimRandom::fill(std::span<uint8_t> bytes) {
  uint64_t word = 0;
  for (size_t i = 0; i < bytes.size(); i++) {
    if (i % sizeof(word) == 0) {
      state_ += 0x9e3779b97f4a7c15;
      word = state_;
      word = (word ^ word >> 30) * 0xbf58476d1ce4e5b9;
      word = (word ^ word >> 27) * 0x94d049bb133111eb;
      word ^= word >> 31;
    }
    bytes[i] = static_cast<uint8_t>(word);
    word >>= 8;
  }
}

}  // namespace om::sim
