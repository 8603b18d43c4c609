// Certificates made on the spot, as files in a directory of their own, for this room's tests.
#pragma once

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include <filesystem>
#include <string>

#include "io/network.h"

namespace om::http {

// A key and its certificate, signed by itself or by another.
class CertificateForTest {
 public:
  struct Options {
    const char* name = "localhost";
    const CertificateForTest* issuer = nullptr;  // Null: an authority.
    int serial = 1;
    long begins = -60, ends = 3600;  // Seconds from now.
  };

  explicit CertificateForTest(const Options& options)
      : key_(EVP_EC_gen("P-256")), certificate_(X509_new()), issuer_(options.issuer) {
    X509_set_version(certificate_, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate_), options.serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate_), options.begins);
    X509_gmtime_adj(X509_getm_notAfter(certificate_), options.ends);
    X509_set_pubkey(certificate_, key_);
    X509_NAME* name = X509_get_subject_name(certificate_);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(options.name), -1, -1, 0);
    const CertificateForTest& by = issuer_ != nullptr ? *issuer_ : *this;
    X509_set_issuer_name(certificate_, X509_get_subject_name(by.certificate_));
    add(NID_subject_alt_name, fmt::format("DNS:{},DNS:localhost", options.name));
    if (issuer_ == nullptr) add(NID_basic_constraints, "critical,CA:TRUE");
    EXPECT_GT(X509_sign(certificate_, by.key_, EVP_sha256()), 0);
  }
  ~CertificateForTest() {
    X509_free(certificate_);
    EVP_PKEY_free(key_);
  }
  CertificateForTest(const CertificateForTest&) = delete;
  CertificateForTest& operator=(const CertificateForTest&) = delete;

  // The certificate and those above it. A new file under the old name, as a renewal writes it.
  void write_chain(const std::string& path) const {
    replace(path, [&](FILE* file) {
      EXPECT_EQ(PEM_write_X509(file, certificate_), 1);
      if (issuer_ != nullptr) EXPECT_EQ(PEM_write_X509(file, issuer_->certificate_), 1);
    });
  }
  void write_key(const std::string& path) const {
    replace(path, [&](FILE* file) {
      EXPECT_EQ(PEM_write_PrivateKey(file, key_, nullptr, nullptr, 0, nullptr, nullptr), 1);
    });
  }
  Digest fingerprint() const {
    Digest digest;
    EXPECT_EQ(X509_digest(certificate_, EVP_sha256(), digest.bytes.data(), nullptr), 1);
    return digest;
  }

 private:
  void add(int nid, const std::string& value) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str());
    EXPECT_EQ(X509_add_ext(certificate_, extension, -1), 1);
    X509_EXTENSION_free(extension);
  }
  template <class Write>
  static void replace(const std::string& path, Write write) {
    FILE* file = fopen((path + ".new").c_str(), "w");
    write(file);
    fclose(file);
    std::filesystem::rename(path + ".new", path);
  }

  EVP_PKEY* key_;
  X509* certificate_;
  const CertificateForTest* issuer_;
};

// Removed with all that is in it.
class DirectoryForTest {
 public:
  DirectoryForTest() : path_(mkdtemp(template_.data())) {}
  ~DirectoryForTest() { std::filesystem::remove_all(path_); }
  DirectoryForTest(const DirectoryForTest&) = delete;
  DirectoryForTest& operator=(const DirectoryForTest&) = delete;
  std::string operator/(std::string_view name) const { return fmt::format("{}/{}", path_, name); }

 private:
  std::string template_ = "/tmp/ollamamax_tls_XXXXXX";
  std::string path_;
};

}  // namespace om::http
