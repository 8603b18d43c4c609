// OpenSSL's objects with owners, and PEM text in and out of them. For this room's sources only.
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/task.h"
#include "security/secret.h"

namespace om::security {

template <auto free>
struct OpenSslFree {
  template <class T>
  void operator()(T* object) const {
    free(object);
  }
};
using KeyPtr = std::unique_ptr<EVP_PKEY, OpenSslFree<&EVP_PKEY_free>>;
using CertificatePtr = std::unique_ptr<X509, OpenSslFree<&X509_free>>;
using RequestPtr = std::unique_ptr<X509_REQ, OpenSslFree<&X509_REQ_free>>;

// OpenSSL's list of errors belongs to the thread, and Asio's TLS streams read it too: whoever calls
// into OpenSSL leaves it as empty as it found it.
class OpenSslErrors {
 public:
  OpenSslErrors();
  ~OpenSslErrors();
  OpenSslErrors(const OpenSslErrors&) = delete;
  OpenSslErrors& operator=(const OpenSslErrors&) = delete;
  static std::string reason();  // Of the first error, for people.
};

inline constexpr size_t kPemBytesMax = 64 * 1024;
inline constexpr size_t kChainLengthMax = 8;

// corrupt: not such a PEM text, too large, or a key that has a passphrase.
Result<std::vector<CertificatePtr>> certificates_from_pem(std::string_view pem);
Result<CertificatePtr> certificate_from_pem(std::string_view pem);  // The first one.
Result<RequestPtr> request_from_pem(std::string_view pem);
Result<KeyPtr> key_from_pem(std::string_view pem);
std::string to_pem(const X509* certificate);
std::string to_pem(const X509_REQ* request);
Secret to_pem(const EVP_PKEY* key);

// "10.0.0.1" or "::1" from 4 or 16 bytes; empty for another length.
std::string address_text(std::string_view bytes);

// Seconds since 1970, within what WallTime can hold.
io::WallTime wall_time(const ASN1_TIME* time);

}  // namespace om::security
