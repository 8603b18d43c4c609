#include "io/certificate_names.h"

#include <openssl/bn.h>

#include <algorithm>

#include "base/check.h"
#include "base/strings.h"

namespace om::io {

namespace {
constexpr size_t kSerialDigitsMin = 32;
}

Result<std::string> common_name(const X509_NAME* subject) {
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0) return fail(Errc::corrupt, "the certificate names nobody");
  if (X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0) {
    return fail(Errc::corrupt, "the certificate has more than one common name");
  }
  unsigned char* text = nullptr;
  const int size =
      ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  if (size < 0) return fail(Errc::corrupt, "the certificate's common name is not text");
  std::string name(reinterpret_cast<const char*>(text), static_cast<size_t>(size));
  OPENSSL_free(text);
  const bool plain = std::ranges::all_of(name, [](char c) { return c >= ' ' && c < 127; });
  if (!plain || name.empty()) {
    return fail(Errc::corrupt, "the certificate's common name is not plain text");
  }
  return name;
}

std::string serial_text(const X509* certificate) {
  BIGNUM* number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr);
  if (number == nullptr) return std::string(kSerialDigitsMin, '0');
  char* hex = BN_bn2hex(number);
  CHECK(hex != nullptr);
  std::string text = to_lower(hex);
  OPENSSL_free(hex);
  BN_free(number);
  if (text.size() < kSerialDigitsMin) text.insert(0, kSerialDigitsMin - text.size(), '0');
  return text;
}

}  // namespace om::io
