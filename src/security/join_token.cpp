#include "security/join_token.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <limits>

#include "base/base64.h"
#include "base/check.h"

namespace om::security {
namespace {

constexpr std::string_view kPrefix = "omjoin-";
constexpr uint8_t kVersion = 1;
constexpr size_t kIdBytes = 8;
constexpr size_t kHostBytesMax = 253;  // Of a DNS name.
constexpr size_t kTextBytesMax = 4096;
constexpr std::string_view kDamaged = "the token is damaged; copy all of it";

// The CRC of Ethernet and zlib: finds every change within 32 neighbouring bits.
uint32_t crc32(std::string_view bytes) {
  uint32_t crc = 0xffff'ffff;
  for (const char byte : bytes) {
    crc ^= static_cast<uint8_t>(byte);
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb8'8320 : 0);
  }
  return ~crc;
}

void put_number(std::string& out, uint64_t value, size_t bytes) {
  for (size_t i = bytes; i > 0; i--) out += static_cast<char>(value >> 8 * (i - 1) & 0xff);
}

// After the first field that does not fit, `ok` stays false.
struct FieldReader {
  std::string_view rest;
  bool ok = true;

  std::string_view bytes(size_t count) {
    if (rest.size() < count) {
      ok = false;
      return {};
    }
    const auto value = rest.substr(0, count);
    rest.remove_prefix(count);
    return value;
  }
  uint64_t number(size_t count) {
    uint64_t value = 0;
    for (const char byte : bytes(count)) value = value << 8 | static_cast<uint8_t>(byte);
    return value;
  }
};

Result<void> check_endpoints(const std::vector<io::Endpoint>& endpoints) {
  if (endpoints.empty() || endpoints.size() > JoinToken::kEndpointsMax) {
    return fail(Errc::invalid_argument, "a join token holds 1 to {} addresses, not {}",
                JoinToken::kEndpointsMax, endpoints.size());
  }
  for (const io::Endpoint& endpoint : endpoints) {
    // Visible ASCII: the host goes into a lookup and into messages.
    const bool plain =
        std::ranges::all_of(endpoint.host, [](char c) { return c > ' ' && c < 127; });
    if (!endpoint.unix_path.empty() || endpoint.host.empty() || endpoint.port == 0 || !plain ||
        endpoint.host.size() > kHostBytesMax) {
      return fail(Errc::invalid_argument, "'{}' is not an address other machines can reach",
                  endpoint.str());
    }
  }
  return {};
}

std::string hex(std::string_view bytes) {
  return to_hex({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
}

std::string from_hex(std::string_view text) {
  std::string bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    const auto digit = [&](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
    bytes += static_cast<char>(digit(text[i]) << 4 | digit(text[i + 1]));
  }
  return bytes;
}

Digest hash_of(const Secret& secret) { return Digest::of(secret.reveal()); }

Result<JoinToken> parse_fields(std::string_view fields) {
  FieldReader reader{fields};
  JoinToken token;
  token.id = hex(reader.bytes(kIdBytes));
  token.secret = Secret(reader.bytes(JoinToken::kSecretBytes));
  std::ranges::copy(reader.bytes(token.ca_pin.bytes.size()), token.ca_pin.bytes.begin());
  token.expires = io::WallTime(std::chrono::seconds(reader.number(4)));
  const uint64_t count = reader.number(1);
  for (uint64_t i = 0; i < count && reader.ok; i++) {
    const std::string_view host = reader.bytes(reader.number(1));
    token.endpoints.push_back(
        io::Endpoint::tcp(std::string(host), static_cast<uint16_t>(reader.number(2))));
  }
  if (!reader.ok || !reader.rest.empty() || !check_endpoints(token.endpoints)) {
    return fail(Errc::invalid_argument, "{}", kDamaged);
  }
  return token;
}

}  // namespace

Result<JoinToken> make_join_token(std::vector<io::Endpoint> endpoints, const Digest& ca_pin,
                                  io::WallTime expires, io::Random& random) {
  TRY_VOID(check_endpoints(endpoints));
  const auto seconds = std::chrono::floor<std::chrono::seconds>(expires);
  if (seconds.time_since_epoch().count() < 0 ||
      seconds.time_since_epoch().count() > std::numeric_limits<uint32_t>::max()) {
    return fail(Errc::invalid_argument, "a join token cannot last that long");
  }
  std::array<uint8_t, kIdBytes> id{};
  std::array<uint8_t, JoinToken::kSecretBytes> secret{};
  random.fill(id);
  random.fill(secret);
  JoinToken token{.id = to_hex(id),
                  .secret = Secret({reinterpret_cast<const char*>(secret.data()), secret.size()}),
                  .ca_pin = ca_pin,
                  .expires = seconds,
                  .endpoints = std::move(endpoints)};
  OPENSSL_cleanse(secret.data(), secret.size());
  return token;
}

std::string join_token_text(const JoinToken& token) {
  CHECK(token.id.size() == 2 * kIdBytes &&
            token.secret.reveal().size() == JoinToken::kSecretBytes &&
            check_endpoints(token.endpoints),
        "a join token that make_join_token() did not make");
  std::string bytes(1, static_cast<char>(kVersion));
  bytes += from_hex(token.id);
  bytes += token.secret.reveal();
  bytes.append(reinterpret_cast<const char*>(token.ca_pin.bytes.data()), token.ca_pin.bytes.size());
  const auto expires = std::chrono::floor<std::chrono::seconds>(token.expires.time_since_epoch());
  put_number(bytes, static_cast<uint64_t>(expires.count()), 4);
  put_number(bytes, token.endpoints.size(), 1);
  for (const io::Endpoint& endpoint : token.endpoints) {
    put_number(bytes, endpoint.host.size(), 1);
    bytes += endpoint.host;
    put_number(bytes, endpoint.port, 2);
  }
  put_number(bytes, crc32(bytes), 4);
  std::string text = std::string(kPrefix) + base64_encode(bytes, Base64::url_unpadded);
  OPENSSL_cleanse(bytes.data(), bytes.size());
  return text;
}

Result<JoinToken> parse_join_token(std::string_view text) {
  if (text.size() > kTextBytesMax) {
    return fail(Errc::invalid_argument, "a join token is not that long");
  }
  std::string compact;
  for (const char c : text) {
    if (c != ' ' && c != '\t' && c != '\r' && c != '\n') compact += c;
  }
  if (!compact.starts_with(kPrefix)) {
    return fail(Errc::invalid_argument,
                "not a join token: one starts with '{}'; make one with `ollamamax cluster token`",
                kPrefix);
  }
  const std::string_view encoded = std::string_view(compact).substr(kPrefix.size());
  auto bytes = base64_decode(encoded, Base64::url_unpadded);
  // Encoded again: the last character has bits that decoding ignores.
  if (!bytes || bytes->size() < 5 || base64_encode(*bytes, Base64::url_unpadded) != encoded) {
    return fail(Errc::invalid_argument, "{}", kDamaged);
  }
  const auto fields = std::string_view(*bytes).substr(0, bytes->size() - 4);
  FieldReader reader{std::string_view(*bytes).substr(fields.size())};
  if (reader.number(4) != crc32(fields)) return fail(Errc::invalid_argument, "{}", kDamaged);
  if (static_cast<uint8_t>(fields[0]) != kVersion) {
    return fail(Errc::invalid_argument,
                "the token is of another version of OllamaMax; update this node");
  }
  auto token = parse_fields(fields.substr(1));
  OPENSSL_cleanse(bytes->data(), bytes->size());
  return token;
}

JoinTokenRecord join_token_record(const JoinToken& token) {
  return {.id = token.id, .secret_hash = hash_of(token.secret), .expires = token.expires};
}

Result<void> check_join_secret(const JoinTokenRecord& record, const Secret& secret,
                               io::WallTime now) {
  const Digest hash = hash_of(secret);
  if (CRYPTO_memcmp(hash.bytes.data(), record.secret_hash.bytes.data(), hash.bytes.size()) != 0) {
    return fail(Errc::unauthenticated, "the join token's secret is wrong");
  }
  // Only who knows the secret hears what became of the token.
  if (!record.used_by.empty()) {
    return fail(Errc::forbidden, "the join token was used already, by node '{}'; make another",
                record.used_by);
  }
  if (now >= record.expires) {
    return fail(Errc::forbidden, "the join token has expired; make another");
  }
  return {};
}

}  // namespace om::security
