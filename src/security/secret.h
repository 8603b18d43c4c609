// Bytes that must not be seen: private keys, one-time secrets. Wiped from memory when destroyed;
// nothing prints one by accident, because only reveal() shows what is inside.
#pragma once

#include <openssl/crypto.h>

#include <string_view>
#include <vector>

namespace om::security {

// Plain value; any thread.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string_view bytes) : bytes_(bytes.begin(), bytes.end()) {}
  ~Secret() { wipe(); }
  Secret(const Secret&) = default;
  Secret(Secret&&) noexcept = default;
  Secret& operator=(const Secret& other) {
    if (this == &other) return *this;
    wipe();
    bytes_ = other.bytes_;
    return *this;
  }
  Secret& operator=(Secret&& other) noexcept {
    if (this == &other) return *this;
    wipe();
    bytes_ = std::move(other.bytes_);
    return *this;
  }

  std::string_view reveal() const { return {bytes_.data(), bytes_.size()}; }
  bool empty() const { return bytes_.empty(); }

 private:
  void wipe() {
    if (!bytes_.empty()) OPENSSL_cleanse(bytes_.data(), bytes_.size());
  }
  std::vector<char> bytes_;  // Not a string: a short one would leave its bytes behind when moved.
};

}  // namespace om::security
