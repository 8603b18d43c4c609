#include "security/registry_key.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/base64.h"
#include "base/check.h"

namespace om::security {
namespace {

constexpr std::string_view kType = "ssh-ed25519";
constexpr std::string_view kMagic("openssh-key-v1\0", 15);
constexpr std::string_view kBegin = "-----BEGIN OPENSSH PRIVATE KEY-----";
constexpr std::string_view kEnd = "-----END OPENSSH PRIVATE KEY-----";
constexpr uint64_t kKeyFileBytesMax = 64 * 1024;

using PKey = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

PKey to_openssl(const std::array<uint8_t, 32>& seed) {
  PKey key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed.data(), seed.size()),
           &EVP_PKEY_free);
  CHECK(key != nullptr);
  return key;
}

void put_number(std::string& out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xff);
}

void put_string(std::string& out, std::string_view value) {
  put_number(out, static_cast<uint32_t>(value.size()));
  out += value;
}

std::string_view view(const std::array<uint8_t, 32>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Reads SSH wire values; after the first one that does not fit, `ok` stays false.
struct WireReader {
  std::string_view rest;
  bool ok = true;

  uint32_t number() {
    if (rest.size() < 4) {
      ok = false;
      return 0;
    }
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) value = value << 8 | static_cast<uint8_t>(rest[i]);
    rest.remove_prefix(4);
    return value;
  }
  std::string_view string() {
    const uint32_t length = number();
    if (!ok || rest.size() < length) {
      ok = false;
      return {};
    }
    const auto value = rest.substr(0, length);
    rest.remove_prefix(length);
    return value;
  }
};

}  // namespace

RegistryKey::~RegistryKey() { OPENSSL_cleanse(seed_.data(), seed_.size()); }

RegistryKey RegistryKey::from_seed(const std::array<uint8_t, 32>& seed) {
  RegistryKey key;
  key.seed_ = seed;
  size_t length = key.public_.size();
  const PKey pair = to_openssl(seed);
  CHECK(EVP_PKEY_get_raw_public_key(pair.get(), key.public_.data(), &length) == 1);
  return key;
}

std::string RegistryKey::public_base64() const {
  std::string blob;
  put_string(blob, kType);
  put_string(blob, view(public_));
  return base64_encode(blob);
}

std::string RegistryKey::public_text() const {
  return fmt::format("{} {}", kType, public_base64());
}

std::string RegistryKey::sign(std::string_view data) const {
  const PKey key = to_openssl(seed_);
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        &EVP_MD_CTX_free);
  CHECK(context != nullptr);
  CHECK(EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1);
  std::string signature(64, '\0');
  size_t length = signature.size();
  CHECK(EVP_DigestSign(context.get(), reinterpret_cast<uint8_t*>(signature.data()), &length,
                       reinterpret_cast<const uint8_t*>(data.data()), data.size()) == 1);
  CHECK(length == signature.size());
  return signature;
}

std::string RegistryKey::private_text(uint32_t check) const {
  std::string public_blob, secret, all(kMagic);
  put_string(public_blob, kType);
  put_string(public_blob, view(public_));
  put_number(secret, check);
  put_number(secret, check);
  put_string(secret, kType);
  put_string(secret, view(public_));
  put_string(secret, std::string(view(seed_)) + std::string(view(public_)));
  put_string(secret, "");  // Comment.
  for (char pad = 1; secret.size() % 8 != 0; pad++) secret += pad;
  put_string(all, "none");  // Cipher, key derivation and its options: no passphrase.
  put_string(all, "none");
  put_string(all, "");
  put_number(all, 1);
  put_string(all, public_blob);
  put_string(all, secret);
  std::string out = std::string(kBegin) + "\n";
  const std::string text = base64_encode(all);
  for (size_t at = 0; at < text.size(); at += 70) out += text.substr(at, 70) + "\n";
  OPENSSL_cleanse(secret.data(), secret.size());
  OPENSSL_cleanse(all.data(), all.size());
  return out + std::string(kEnd) + "\n";
}

Result<RegistryKey> RegistryKey::parse(std::string_view openssh_private_key) {
  const size_t begin = openssh_private_key.find(kBegin);
  const size_t end = openssh_private_key.find(kEnd);
  if (begin == std::string_view::npos || end == std::string_view::npos || end < begin) {
    return fail(Errc::corrupt, "not an OpenSSH private key");
  }
  const size_t start = begin + kBegin.size();
  auto decoded = base64_decode(openssh_private_key.substr(start, end - start));
  if (!decoded || !decoded->starts_with(kMagic)) {
    return fail(Errc::corrupt, "not an OpenSSH private key");
  }
  WireReader outer{std::string_view(*decoded).substr(kMagic.size())};
  const auto cipher = outer.string();
  outer.string();
  outer.string();
  const uint32_t count = outer.number();
  outer.string();
  WireReader inner{outer.string()};
  if (!outer.ok || count != 1) return fail(Errc::corrupt, "the OpenSSH private key is cut short");
  if (cipher != "none") {
    return fail(Errc::unsupported,
                "the private key has a passphrase; remove it with ssh-keygen -p");
  }
  const bool checks = inner.number() == inner.number();
  const auto type = inner.string();
  if (inner.ok && type != kType) {
    return fail(Errc::unsupported, "the private key is {}, not {}", type, kType);
  }
  const auto shown = inner.string();
  const auto secret = inner.string();
  if (!inner.ok || !checks || secret.size() != 64) {
    return fail(Errc::corrupt, "the OpenSSH private key is damaged");
  }
  std::array<uint8_t, 32> seed{};
  std::memcpy(seed.data(), secret.data(), seed.size());
  RegistryKey key = from_seed(seed);
  if (view(key.public_) != shown) {
    return fail(Errc::corrupt, "the private key and its public half do not belong together");
  }
  return key;
}

Result<RegistryKey> RegistryKey::load_or_make(io::Filesystem& files, io::Random& random,
                                              const io::Path& path) {
  const auto read = [&]() -> Result<RegistryKey> {
    TRY(const std::string text, files.read_file(path, kKeyFileBytesMax));
    auto key = parse(text);
    if (!key) return fail(annotate(key.error(), path));
    return key;
  };
  auto existing = read();
  if (existing || existing.error().code != Errc::not_found) return existing;

  std::array<uint8_t, 32> seed{};
  random.fill(seed);
  RegistryKey key = from_seed(seed);
  TRY_VOID(files.make_directories(io::parent(path)));
  const io::Path temporary = fmt::format("{}.{}.tmp", path, files.unique_suffix());
  auto made = [&]() -> Result<void> {
    TRY(auto file, files.open(temporary, io::Filesystem::Open::create_new));
    TRY_VOID(files.set_mode(temporary, 0600));  // Before the secret is in it.
    TRY_VOID(file->write_at(0, key.private_text(static_cast<uint32_t>(random.next()))));
    TRY_VOID(file->sync());
    // A link, not a rename: it fails if another process was first, whose key then counts.
    return files.link(temporary, path);
  }();
  (void)files.remove(temporary);
  if (!made) {
    if (made.error().code == Errc::already_exists) return read();
    return fail(made.error());
  }
  TRY_VOID(files.write_file(path + ".pub", key.public_text() + "\n"));
  TRY_VOID(files.sync_directory(io::parent(path)));
  return key;
}

}  // namespace om::security
