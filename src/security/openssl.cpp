#include "security/openssl.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <algorithm>

#include "base/check.h"

namespace om::security {
namespace {

using BioPtr = std::unique_ptr<BIO, OpenSslFree<&BIO_free>>;

// Without this OpenSSL would ask on the terminal for the passphrase.
int no_passphrase(char* /*into*/, int /*size*/, int /*writing*/, void* /*context*/) { return -1; }

Result<BioPtr> reader(std::string_view pem) {
  if (pem.size() > kPemBytesMax) {
    return fail(Errc::corrupt, "PEM text of {} bytes, more than the {} allowed", pem.size(),
                kPemBytesMax);
  }
  BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  CHECK(bio != nullptr);
  return bio;
}

std::string_view written(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<size_t>(size)};
}

}  // namespace

OpenSslErrors::OpenSslErrors() { ERR_clear_error(); }
OpenSslErrors::~OpenSslErrors() { ERR_clear_error(); }

std::string OpenSslErrors::reason() {
  const char* text = ERR_reason_error_string(ERR_peek_error());
  return text != nullptr ? text : "unknown reason";
}

Result<std::vector<CertificatePtr>> certificates_from_pem(std::string_view pem) {
  const OpenSslErrors errors;
  TRY(const auto bio, reader(pem));
  std::vector<CertificatePtr> found;
  while (true) {
    CertificatePtr next(PEM_read_bio_X509(bio.get(), nullptr, &no_passphrase, nullptr));
    if (!next) break;
    if (found.size() == kChainLengthMax) {
      return fail(Errc::corrupt, "more than {} certificates in one text", kChainLengthMax);
    }
    found.push_back(std::move(next));
  }
  // The end of the text is the one error that every chain ends with.
  if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
    return fail(Errc::corrupt, "a damaged certificate: {}", OpenSslErrors::reason());
  }
  if (found.empty()) return fail(Errc::corrupt, "no certificate in the text");
  return found;
}

Result<CertificatePtr> certificate_from_pem(std::string_view pem) {
  TRY(auto chain, certificates_from_pem(pem));
  return std::move(chain.front());
}

Result<RequestPtr> request_from_pem(std::string_view pem) {
  const OpenSslErrors errors;
  TRY(const auto bio, reader(pem));
  RequestPtr request(PEM_read_bio_X509_REQ(bio.get(), nullptr, &no_passphrase, nullptr));
  if (!request) {
    return fail(Errc::corrupt, "not a certificate request: {}", OpenSslErrors::reason());
  }
  return request;
}

Result<KeyPtr> key_from_pem(std::string_view pem) {
  const OpenSslErrors errors;
  TRY(const auto bio, reader(pem));
  KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, &no_passphrase, nullptr));
  if (!key) return fail(Errc::corrupt, "not a private key: {}", OpenSslErrors::reason());
  return key;
}

std::string to_pem(const X509* certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  CHECK(bio != nullptr && PEM_write_bio_X509(bio.get(), certificate) == 1);
  return std::string(written(bio.get()));
}

std::string to_pem(const X509_REQ* request) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  CHECK(bio != nullptr && PEM_write_bio_X509_REQ(bio.get(), request) == 1);
  return std::string(written(bio.get()));
}

Secret to_pem(const EVP_PKEY* key) {
  const BioPtr bio(BIO_new(BIO_s_mem()));  // Wipes its buffer when freed.
  CHECK(bio != nullptr &&
        PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  return Secret(written(bio.get()));
}

std::string address_text(std::string_view bytes) {
  if (bytes.size() != 4 && bytes.size() != 16) return {};
  std::array<char, INET6_ADDRSTRLEN> text{};
  const int family = bytes.size() == 4 ? AF_INET : AF_INET6;
  CHECK(inet_ntop(family, bytes.data(), text.data(), text.size()) != nullptr);
  return text.data();
}

io::WallTime wall_time(const ASN1_TIME* time) {
  // A certificate may say 9999; WallTime ends in 2262.
  constexpr int64_t kSecondsMax = 9'000'000'000;
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return {};
  const int64_t seconds = std::clamp<int64_t>(timegm(&parts), -kSecondsMax, kSecondsMax);
  return io::WallTime(std::chrono::seconds(seconds));
}

}  // namespace om::security
