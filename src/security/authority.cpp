#include "security/authority.h"

#include <openssl/x509v3.h>

#include <algorithm>
#include <set>

#include "base/check.h"
#include "base/strings.h"
#include "io/certificate_names.h"
#include "security/certificates.h"
#include "security/openssl.h"

namespace om::security {
namespace {

constexpr size_t kClusterNameBytesMax = 40;
constexpr size_t kHostBytesMax = 253;
constexpr size_t kSerialBytes = 16;
constexpr size_t kSerialTimeBytes = 6;
constexpr size_t kSignatureBytes = 71;  // DER of two numbers, as long as half of all signatures.
constexpr int kSignTriesMax = 200;
constexpr io::WallTime kClockMin{std::chrono::seconds(1'735'689'600)};  // 2025.

using ExtensionPtr = std::unique_ptr<X509_EXTENSION, OpenSslFree<&X509_EXTENSION_free>>;
using OctetsPtr = std::unique_ptr<ASN1_OCTET_STRING, OpenSslFree<&ASN1_OCTET_STRING_free>>;
using NamesPtr = std::unique_ptr<GENERAL_NAMES, OpenSslFree<&GENERAL_NAMES_free>>;

KeyPtr make_key() {
  KeyPtr key(EVP_EC_gen("P-256"));
  CHECK(key != nullptr);
  return key;
}

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

void set_common_name(X509_NAME* name, std::string_view text) {
  CHECK(X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, bytes_of(text),
                                   static_cast<int>(text.size()), -1, 0) == 1);
}

// Signs until the signature has the usual length. Two tries on average, 25 us each.
template <class Sign, class Length>
void sign_evenly(Sign sign, Length length) {
  for (int i = 0; i < kSignTriesMax; i++) {
    CHECK(sign() > 0);
    if (length() == kSignatureBytes) return;
  }
}

void sign(X509* certificate, EVP_PKEY* key) {
  sign_evenly([&] { return X509_sign(certificate, key, EVP_sha256()); },
              [&] {
                const ASN1_BIT_STRING* signature = nullptr;
                X509_get0_signature(&signature, nullptr, certificate);
                return static_cast<size_t>(ASN1_STRING_length(signature));
              });
}

void sign(X509_REQ* request, EVP_PKEY* key) {
  sign_evenly([&] { return X509_REQ_sign(request, key, EVP_sha256()); },
              [&] {
                const ASN1_BIT_STRING* signature = nullptr;
                X509_REQ_get0_signature(request, &signature, nullptr);
                return static_cast<size_t>(ASN1_STRING_length(signature));
              });
}

// The time of issue, then randomness enough that nobody can foresee it (RFC 5280 section 4.1.2.2).
void set_serial(X509* certificate, io::Random& random, io::WallTime now) {
  const auto milliseconds = static_cast<uint64_t>(std::max<int64_t>(
      0, std::chrono::floor<std::chrono::milliseconds>(now).time_since_epoch().count()));
  std::array<uint8_t, kSerialBytes> serial{};
  random.fill(serial);
  for (size_t i = 0; i < kSerialTimeBytes; i++) {
    serial[i] = static_cast<uint8_t>(milliseconds >> 8 * (kSerialTimeBytes - 1 - i));
  }
  BIGNUM* number = BN_bin2bn(serial.data(), static_cast<int>(serial.size()), nullptr);
  CHECK(number != nullptr &&
        BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != nullptr);
  BN_free(number);
}

void set_time(ASN1_TIME* field, io::WallTime time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
  CHECK(ASN1_TIME_adj(field, seconds, 0, 0) != nullptr);
}

// Only for texts of our own: `value` is a small language.
void add_extension(X509* certificate, X509V3_CTX& context, int nid, const char* value) {
  const ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value));
  CHECK(extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1);
}

CertificatePtr new_certificate(EVP_PKEY* public_key, io::Random& random, io::WallTime now,
                               io::WallTime not_after) {
  CertificatePtr certificate(X509_new());
  CHECK(certificate != nullptr && X509_set_version(certificate.get(), X509_VERSION_3) == 1);
  set_serial(certificate.get(), random, now);
  // In proportion: else a short life would be two thirds over when it begins.
  const auto slack = std::clamp<io::Duration>(not_after - now, {}, kClockSlack);
  set_time(X509_getm_notBefore(certificate.get()), now - slack);
  set_time(X509_getm_notAfter(certificate.get()), not_after);
  CHECK(X509_set_pubkey(certificate.get(), public_key) == 1);
  return certificate;
}

Result<OctetsPtr> address_octets(std::string_view text) {
  OctetsPtr octets(a2i_IPADDRESS(std::string(text).c_str()));
  if (!octets) return fail(Errc::invalid_argument, "'{}' is not a numeric address", text);
  return octets;
}

void add_dns_name(GENERAL_NAMES* names, std::string_view text) {
  ASN1_IA5STRING* value = ASN1_IA5STRING_new();
  GENERAL_NAME* name = GENERAL_NAME_new();
  CHECK(value != nullptr && name != nullptr &&
        ASN1_STRING_set(value, text.data(), static_cast<int>(text.size())) == 1);
  GENERAL_NAME_set0_value(name, GEN_DNS, value);
  CHECK(sk_GENERAL_NAME_push(names, name) > 0);
}

Result<NamesPtr> alternative_names(const IssueOptions& options) {
  if (options.addresses.size() > kAddressesMax) {
    return fail(Errc::invalid_argument, "{} addresses, more than {}", options.addresses.size(),
                kAddressesMax);
  }
  std::set<std::string> addresses{"127.0.0.1", "::1"}, hosts;
  for (const std::string& address : options.addresses) {
    TRY(std::string canonical, canonical_host(address));
    (canonical_address(canonical) ? addresses : hosts).insert(std::move(canonical));
  }
  hosts.erase(options.name);
  hosts.erase("localhost");
  NamesPtr names(GENERAL_NAMES_new());
  CHECK(names != nullptr);
  add_dns_name(names.get(), options.name);
  add_dns_name(names.get(), "localhost");
  for (const std::string& host : hosts) add_dns_name(names.get(), host);
  for (const std::string& address : addresses) {
    TRY(OctetsPtr octets, address_octets(address));
    GENERAL_NAME* name = GENERAL_NAME_new();
    CHECK(name != nullptr);
    GENERAL_NAME_set0_value(name, GEN_IPADD, octets.release());
    CHECK(sk_GENERAL_NAME_push(names.get(), name) > 0);
  }
  return names;
}

// The request, once its signature has shown that the asker holds the key.
Result<RequestPtr> checked_request(std::string_view pem) {
  TRY(auto request, request_from_pem(pem));
  EVP_PKEY* key = X509_REQ_get0_pubkey(request.get());
  std::array<char, 32> group{};
  size_t length = 0;
  if (key == nullptr || EVP_PKEY_get_base_id(key) != EVP_PKEY_EC ||
      EVP_PKEY_get_group_name(key, group.data(), group.size(), &length) != 1 ||
      std::string_view(group.data(), length) != "prime256v1") {
    return fail(Errc::unsupported, "the certificate request's key is not ECDSA P-256");
  }
  if (X509_REQ_verify(request.get(), key) != 1) {
    return fail(Errc::corrupt, "the certificate request is not signed by its own key");
  }
  return request;
}

Result<std::string> name_in(const X509_REQ* request) {
  TRY(std::string name, io::common_name(X509_REQ_get_subject_name(request)));
  TRY_VOID(check_node_name(name));
  return name;
}

}  // namespace

Result<std::string> canonical_address(std::string_view text) {
  const OpenSslErrors errors;
  TRY(const OctetsPtr octets, address_octets(text));
  return address_text({reinterpret_cast<const char*>(ASN1_STRING_get0_data(octets.get())),
                       static_cast<size_t>(ASN1_STRING_length(octets.get()))});
}

Result<std::string> canonical_host(std::string_view text) {
  if (auto address = canonical_address(text)) return address;
  std::string name = to_lower(text);
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  const bool allowed = std::ranges::all_of(
      name, [&](char c) { return plain(c) || c == '-' || c == '_' || c == '.'; });
  if (name.empty() || name.size() > kHostBytesMax || !allowed || !plain(name.front()) ||
      !plain(name.back()) || name.contains("..")) {
    return fail(Errc::invalid_argument, "'{}' is neither an address nor the name of a host",
                text.substr(0, kHostBytesMax));
  }
  return name;
}

Result<Authority> make_authority(std::string_view cluster, io::Random& random, io::WallTime now) {
  const OpenSslErrors errors;
  const bool plain = std::ranges::all_of(cluster, [](char c) { return c >= ' ' && c < 127; });
  if (cluster.empty() || cluster.size() > kClusterNameBytesMax || !plain) {
    return fail(Errc::invalid_argument, "a cluster's name has 1 to {} printable characters",
                kClusterNameBytesMax);
  }
  if (now < kClockMin) {
    const std::chrono::year_month_day day(std::chrono::floor<std::chrono::days>(now));
    return fail(
        Errc::invalid_argument,
        "this machine's clock says that it is {}: set it first, certificates would end by it",
        static_cast<int>(day.year()));
  }
  const KeyPtr key = make_key();
  const CertificatePtr certificate = new_certificate(key.get(), random, now, now + kAuthorityLife);
  X509_NAME* name = X509_get_subject_name(certificate.get());
  set_common_name(name, fmt::format("OllamaMax {}", cluster));
  CHECK(X509_set_issuer_name(certificate.get(), name) == 1);
  X509V3_CTX context;
  X509V3_set_ctx(&context, certificate.get(), certificate.get(), nullptr, nullptr, 0);
  add_extension(certificate.get(), context, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
  add_extension(certificate.get(), context, NID_key_usage, "critical,keyCertSign,cRLSign");
  add_extension(certificate.get(), context, NID_subject_key_identifier, "hash");
  sign(certificate.get(), key.get());
  return Authority{to_pem(certificate.get()), to_pem(key.get())};
}

Result<CertificateRequest> make_certificate_request(std::string_view node_name) {
  const OpenSslErrors errors;
  TRY_VOID(check_node_name(node_name));
  const KeyPtr key = make_key();
  const RequestPtr request(X509_REQ_new());
  CHECK(request != nullptr && X509_REQ_set_pubkey(request.get(), key.get()) == 1);
  set_common_name(X509_REQ_get_subject_name(request.get()), node_name);
  sign(request.get(), key.get());
  return CertificateRequest{to_pem(key.get()), to_pem(request.get())};
}

Result<std::string> requested_name(std::string_view request_pem) {
  const OpenSslErrors errors;
  TRY(const auto request, checked_request(request_pem));
  return name_in(request.get());
}

Result<Digest> requested_key(std::string_view request_pem) {
  const OpenSslErrors errors;
  TRY(const auto request, checked_request(request_pem));
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(X509_REQ_get0_pubkey(request.get()), &der);
  CHECK(size > 0);
  const Digest digest = Digest::of({reinterpret_cast<const char*>(der), static_cast<size_t>(size)});
  OPENSSL_free(der);
  return digest;
}

Result<std::string> issue_certificate(const Authority& authority, std::string_view request_pem,
                                      const IssueOptions& options, io::Random& random) {
  const OpenSslErrors errors;
  TRY(const auto request, checked_request(request_pem));
  TRY(const std::string name, name_in(request.get()));
  if (name != options.name) {
    return fail(Errc::invalid_argument, "the certificate request is for '{}', not for '{}'", name,
                options.name);
  }
  TRY(const auto issuer, certificate_from_pem(authority.certificate));
  TRY(const auto key, key_from_pem(authority.key.reveal()));
  if (X509_check_private_key(issuer.get(), key.get()) != 1) {
    return fail(Errc::unauthenticated, "the private key is not the cluster authority's");
  }
  const io::WallTime issuer_end = wall_time(X509_get0_notAfter(issuer.get()));
  if (issuer_end <= options.now) {
    return fail(Errc::forbidden, "the cluster's authority has expired");
  }
  TRY(const auto names, alternative_names(options));
  const CertificatePtr certificate =
      new_certificate(X509_REQ_get0_pubkey(request.get()), random, options.now,
                      std::min(options.now + options.life, issuer_end));
  if (!options.replaces.empty()) {
    const io::WallTime after = issue_time(options.replaces) + std::chrono::milliseconds(1);
    set_serial(certificate.get(), random, std::max(options.now, after));
  }
  if (options.begins_by < wall_time(X509_get0_notBefore(certificate.get()))) {
    set_time(X509_getm_notBefore(certificate.get()), options.begins_by);
  }
  set_common_name(X509_get_subject_name(certificate.get()), name);
  CHECK(X509_set_issuer_name(certificate.get(), X509_get_subject_name(issuer.get())) == 1);
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer.get(), certificate.get(), nullptr, nullptr, 0);
  add_extension(certificate.get(), context, NID_basic_constraints, "critical,CA:FALSE");
  add_extension(certificate.get(), context, NID_key_usage, "critical,digitalSignature");
  add_extension(certificate.get(), context, NID_ext_key_usage, "serverAuth,clientAuth");
  add_extension(certificate.get(), context, NID_subject_key_identifier, "hash");
  add_extension(certificate.get(), context, NID_authority_key_identifier, "keyid:always");
  CHECK(X509_add1_ext_i2d(certificate.get(), NID_subject_alt_name, names.get(), 0,
                          X509V3_ADD_DEFAULT) == 1);
  sign(certificate.get(), key.get());
  return to_pem(certificate.get());
}

}  // namespace om::security
