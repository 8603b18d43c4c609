#include "security/certificates.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <charconv>

#include "base/check.h"
#include "io/certificate_names.h"
#include "security/authority.h"
#include "security/openssl.h"

namespace om::security {
namespace {

constexpr size_t kSerialDigits = 32;
constexpr size_t kSerialTimeDigits = 12;
constexpr int kAlternativeNamesMax = 64;

using StorePtr = std::unique_ptr<X509_STORE, OpenSslFree<&X509_STORE_free>>;
using StoreContextPtr = std::unique_ptr<X509_STORE_CTX, OpenSslFree<&X509_STORE_CTX_free>>;

struct StackFree {
  void operator()(STACK_OF(X509) * stack) const { sk_X509_free(stack); }  // Not the elements.
};

std::string_view view(const ASN1_STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
          static_cast<size_t>(ASN1_STRING_length(text))};
}

Digest fingerprint_of(const X509* certificate) {
  Digest digest;
  unsigned size = 0;
  CHECK(X509_digest(certificate, EVP_sha256(), digest.bytes.data(), &size) == 1 &&
        size == digest.bytes.size());
  return digest;
}

Result<void> read_alternative_names(const X509* certificate, CertificateFacts& facts) {
  const std::unique_ptr<GENERAL_NAMES, OpenSslFree<&GENERAL_NAMES_free>> names(
      static_cast<GENERAL_NAMES*>(
          X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  if (!names) return {};
  const int count = sk_GENERAL_NAME_num(names.get());
  if (count > kAlternativeNamesMax) {
    return fail(Errc::corrupt, "a certificate with {} names", count);
  }
  for (int i = 0; i < count; i++) {
    int type = 0;
    const void* value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), i), &type);
    if (type == GEN_DNS) {
      facts.dns_names.emplace_back(view(static_cast<const ASN1_STRING*>(value)));
    } else if (type == GEN_IPADD) {
      std::string address = address_text(view(static_cast<const ASN1_STRING*>(value)));
      if (!address.empty()) facts.addresses.push_back(std::move(address));
    }
  }
  return {};
}

Result<void> verify_for(X509_STORE* store, const std::vector<CertificatePtr>& chain, int purpose,
                        io::WallTime now) {
  const std::unique_ptr<STACK_OF(X509), StackFree> between(sk_X509_new_null());
  for (size_t i = 1; i < chain.size(); i++) sk_X509_push(between.get(), chain[i].get());
  const StoreContextPtr context(X509_STORE_CTX_new());
  CHECK(context && X509_STORE_CTX_init(context.get(), store, chain[0].get(), between.get()) == 1);
  CHECK(X509_STORE_CTX_set_purpose(context.get(), purpose) == 1);
  X509_STORE_CTX_set_time(
      context.get(), 0,
      std::chrono::system_clock::to_time_t(std::chrono::floor<std::chrono::seconds>(now)));
  if (X509_verify_cert(context.get()) == 1) return {};
  const int error = X509_STORE_CTX_get_error(context.get());
  return fail(Errc::unauthenticated, "{}", X509_verify_cert_error_string(error));
}

}  // namespace

Result<CertificateFacts> read_certificate(std::string_view pem) {
  const OpenSslErrors errors;
  TRY(const auto certificate, certificate_from_pem(pem));
  CertificateFacts facts;
  TRY(facts.name, io::common_name(X509_get_subject_name(certificate.get())));
  facts.serial = io::serial_text(certificate.get());
  facts.not_before = wall_time(X509_get0_notBefore(certificate.get()));
  facts.not_after = wall_time(X509_get0_notAfter(certificate.get()));
  facts.fingerprint = fingerprint_of(certificate.get());
  facts.is_authority = X509_check_ca(certificate.get()) == 1;
  TRY_VOID(read_alternative_names(certificate.get(), facts));
  return facts;
}

Result<void> verify_certificate(std::string_view chain_pem, std::string_view authorities_pem,
                                io::WallTime now) {
  const OpenSslErrors errors;
  TRY(const auto chain, certificates_from_pem(chain_pem));
  TRY(const auto authorities, certificates_from_pem(authorities_pem));
  const StorePtr store(X509_STORE_new());
  CHECK(store != nullptr);
  for (const auto& authority : authorities) {
    CHECK(X509_STORE_add_cert(store.get(), authority.get()) == 1);
  }
  for (const int purpose : {X509_PURPOSE_SSL_SERVER, X509_PURPOSE_SSL_CLIENT}) {
    auto verified = verify_for(store.get(), chain, purpose, now);
    if (!verified) {
      const auto name = io::common_name(X509_get_subject_name(chain[0].get()));
      return fail(annotate(std::move(verified).error(),
                           fmt::format("the certificate of '{}'", name ? *name : "nobody")));
    }
  }
  return {};
}

Result<std::string> find_pinned(std::string_view chain_pem, const Digest& pin) {
  const OpenSslErrors errors;
  TRY(const auto chain, certificates_from_pem(chain_pem));
  for (const auto& certificate : chain) {
    if (fingerprint_of(certificate.get()) == pin) return to_pem(certificate.get());
  }
  return fail(Errc::unauthenticated, "the chain ends with another authority than the pinned one");
}

Result<void> check_key_pair(std::string_view certificate_pem, const Secret& key_pem) {
  const OpenSslErrors errors;
  TRY(const auto certificate, certificate_from_pem(certificate_pem));
  TRY(const auto key, key_from_pem(key_pem.reveal()));
  if (X509_check_private_key(certificate.get(), key.get()) == 1) return {};
  return fail(Errc::unauthenticated, "the private key is not the certificate's");
}

io::WallTime renewal_time(const CertificateFacts& facts, io::Duration life) {
  io::WallTime begun = facts.not_before;
  if (const io::WallTime issued = issue_time(facts.serial); issued < facts.not_after) {
    // One that a node gave itself begins when its first one did (IssueOptions::begins_by).
    begun = std::max(begun, issued - std::min<io::Duration>(facts.not_after - issued, kClockSlack));
  } else {
    // A clock was far ahead: the serials carry its time until that time is there. The first one may
    // have begun years ago, and this one would be due at once, again and again.
    begun = std::max(begun, facts.not_after - life);
  }
  return begun + (facts.not_after - begun) / 3 * 2;
}

bool needs_renewal(const CertificateFacts& facts, io::WallTime now, io::Duration life) {
  return now >= renewal_time(facts, life);
}

io::WallTime issue_time(std::string_view serial) {
  uint64_t milliseconds = 0;
  if (serial.size() != kSerialDigits) return {};
  const std::string_view digits = serial.substr(0, kSerialTimeDigits);
  const auto [stopped, error] = std::from_chars(digits.begin(), digits.end(), milliseconds, 16);
  // Beyond what WallTime can hold: not one of ours.
  if (error != std::errc() || stopped != digits.end() || milliseconds > 9'000'000'000'000)
    return {};
  return io::WallTime(std::chrono::milliseconds(milliseconds));
}

Result<void> check_node_name(std::string_view name) {
  constexpr size_t kNameBytesMax = 63;
  const auto letter = [](char c) { return c >= 'a' && c <= 'z'; };
  const auto plain = [&](char c) { return letter(c) || (c >= '0' && c <= '9'); };
  const bool allowed = std::ranges::all_of(
      name, [&](char c) { return plain(c) || c == '-' || c == '_' || c == '.'; });
  // With a letter it is no IPv4 address, which TLS would compare with other fields.
  if (name.empty() || name.size() > kNameBytesMax || !allowed || !plain(name.front()) ||
      !plain(name.back()) || !std::ranges::any_of(name, letter) || name.contains("..")) {
    return fail(Errc::invalid_argument,
                "'{}' is not a node name: 1 to {} lower-case letters, digits, '-', '_' and '.', at "
                "least one letter, a letter or digit at both ends",
                name.substr(0, 2 * kNameBytesMax), kNameBytesMax);
  }
  if (name == "localhost") {
    return fail(Errc::invalid_argument, "'localhost' means every machine; name the node otherwise");
  }
  return {};
}

}  // namespace om::security
