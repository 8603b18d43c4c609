// A SHA-256 value: the name of a blob, and how it is computed.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace om {

// 32 bytes. Written "sha256:<64 hex>" in JSON and manifests, "sha256-<64 hex>" in file names.
struct Digest {
  std::array<uint8_t, 32> bytes{};

  // invalid_argument: anything but "sha256:" or "sha256-" and 64 hex digits.
  static Result<Digest> parse(std::string_view text);
  static Digest of(std::string_view data);

  std::string hex() const;        // 64 digits, nothing before them.
  std::string str() const;        // "sha256:..."
  std::string file_name() const;  // "sha256-..."

  auto operator<=>(const Digest&) const = default;
};

// SHA-256 over data that comes in pieces. Used from one thread at a time.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;

  void update(std::string_view data);
  Digest finish();  // Once; the hasher is spent afterwards.

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string to_hex(std::span<const uint8_t> bytes);

}  // namespace om

template <>
struct std::hash<om::Digest> {
  size_t operator()(const om::Digest& digest) const noexcept {
    size_t value = 0;
    for (size_t i = 0; i < sizeof(value); i++) value = value << 8 | digest.bytes[i];
    return value;
  }
};
