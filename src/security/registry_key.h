// The key this machine shows to model registries: ed25519 (RFC 8032) in OpenSSH's file format
// (PROTOCOL.key of OpenSSH), the same file Ollama uses (~/.ollama/id_ed25519).
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "io/filesystem.h"
#include "io/random.h"

namespace om::security {

// A private key in memory. Plain value, immutable; wiped when destroyed. Signing may be done from
// any thread.
class RegistryKey {
 public:
  // Reads the key, or makes one (mode 0600, with its public half in PATH.pub) if there is none.
  // Two processes that start together end up with the same key. corrupt: not such a file.
  // unsupported: it has a passphrase or is not ed25519.
  static Result<RegistryKey> load_or_make(io::Filesystem& files, io::Random& random,
                                          const io::Path& path);
  static RegistryKey from_seed(const std::array<uint8_t, 32>& seed);
  static Result<RegistryKey> parse(std::string_view openssh_private_key);
  ~RegistryKey();
  RegistryKey(const RegistryKey&) = default;
  RegistryKey& operator=(const RegistryKey&) = default;

  std::string private_text(
      uint32_t check) const;          // `check`: any number, OpenSSH wants a random one.
  std::string public_text() const;    // "ssh-ed25519 AAAA..."
  std::string public_base64() const;  // The second word of public_text().
  std::string sign(std::string_view data) const;  // 64 raw bytes.

 private:
  RegistryKey() = default;
  std::array<uint8_t, 32> seed_{};
  std::array<uint8_t, 32> public_{};
};

}  // namespace om::security
