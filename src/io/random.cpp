#include "io/random.h"

#include "base/check.h"

namespace om::io {

uint64_t Random::next() {
  std::array<uint8_t, sizeof(uint64_t)> bytes{};
  fill(bytes);
  uint64_t value = 0;
  std::memcpy(&value, bytes.data(), sizeof(value));
  return value;
}

uint64_t Random::below(uint64_t bound) {
  CHECK(bound > 0);
  // Values past the last whole multiple of `bound` would favour small results: draw again.
  const uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
  uint64_t value = next();
  while (value >= limit) value = next();
  return value % bound;
}

double Random::unit() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

std::string Random::letters(size_t count) {
  static constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789";
  std::string out;
  for (size_t i = 0; i < count; i++) out += kLetters[below(kLetters.size())];
  return out;
}

}  // namespace om::io
