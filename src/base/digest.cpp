#include "base/digest.h"

#include <openssl/evp.h>

#include "base/check.h"
#include "base/strings.h"

namespace om {

std::string to_hex(std::span<const uint8_t> bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (uint8_t byte : bytes) {
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

Result<Digest> Digest::parse(std::string_view text) {
  constexpr size_t kPrefix = 7, kLength = kPrefix + 64;
  const bool prefixed = text.starts_with("sha256:") || text.starts_with("sha256-");
  if (!prefixed || text.size() != kLength) {
    return fail(Errc::invalid_argument, "invalid digest format");
  }
  Digest digest;
  for (size_t i = 0; i < digest.bytes.size(); i++) {
    const int high = hex_value(text[kPrefix + 2 * i]);
    const int low = hex_value(text[kPrefix + 2 * i + 1]);
    if (high < 0 || low < 0) return fail(Errc::invalid_argument, "invalid digest format");
    digest.bytes[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return digest;
}

Digest Digest::of(std::string_view data) {
  Hasher hasher;
  hasher.update(data);
  return hasher.finish();
}

std::string Digest::hex() const { return to_hex(bytes); }
std::string Digest::str() const { return "sha256:" + hex(); }
std::string Digest::file_name() const { return "sha256-" + hex(); }

struct Hasher::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

Hasher::Hasher() : state_(std::make_unique<State>()) {
  CHECK(state_->context != nullptr);
  CHECK(EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) == 1);
}
Hasher::~Hasher() = default;
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;

void Hasher::update(std::string_view data) {
  CHECK(EVP_DigestUpdate(state_->context, data.data(), data.size()) == 1);
}

Digest Hasher::finish() {
  Digest digest;
  unsigned int length = 0;
  CHECK(EVP_DigestFinal_ex(state_->context, digest.bytes.data(), &length) == 1);
  CHECK(length == digest.bytes.size());
  return digest;
}

}  // namespace om
