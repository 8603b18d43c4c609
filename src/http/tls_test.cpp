// The same server and client over TLS, with a certificate made on the spot.
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include "http/loopback_for_test.h"

namespace om::http {
namespace {

// A self-signed certificate for localhost, as files.
struct Certificate {
  std::string certificate = fmt::format("/tmp/ollamamax_tls_{}.crt", getpid());
  std::string key = fmt::format("/tmp/ollamamax_tls_{}.key", getpid());

  Certificate() {
    EVP_PKEY* pair = EVP_EC_gen("P-256");
    X509* x509 = X509_new();
    X509_set_version(x509, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
    X509_gmtime_adj(X509_getm_notBefore(x509), -60);
    X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
    X509_set_pubkey(x509, pair);
    X509_NAME* name = X509_get_subject_name(x509);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
    X509_set_issuer_name(x509, name);
    X509_EXTENSION* names =
        X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "DNS:localhost");
    X509_add_ext(x509, names, -1);
    EXPECT_GT(X509_sign(x509, pair, EVP_sha256()), 0);
    FILE* file = fopen(certificate.c_str(), "w");
    EXPECT_EQ(PEM_write_X509(file, x509), 1);
    fclose(file);
    file = fopen(key.c_str(), "w");
    EXPECT_EQ(PEM_write_PrivateKey(file, pair, nullptr, nullptr, 0, nullptr, nullptr), 1);
    fclose(file);
    X509_EXTENSION_free(names);
    X509_free(x509);
    EVP_PKEY_free(pair);
  }
  ~Certificate() {
    unlink(certificate.c_str());
    unlink(key.c_str());
  }
};

io::Task<void> ask(Loopback& loopback, io::Endpoint at, std::shared_ptr<const io::Tls> tls,
                   std::string body, Errc error) {
  auto request = loopback.request("POST", "/echo", body);
  request.endpoint = at;
  request.tls = std::move(tls);
  auto response = co_await loopback.client.send(std::move(request), loopback.soon());
  if (!response) {
    EXPECT_EQ(response.error().code, error) << response.error().what;
    co_return;
  }
  EXPECT_EQ(error, Errc::internal) << "the connection should have been refused";
  const auto got = co_await (*response)->read_all(1 << 20);
  EXPECT_TRUE(got.has_value() && *got == body);
}

io::Task<void> over_tls(Loopback& loopback, const Certificate& files) {
  auto own = std::make_shared<io::Tls>();
  own->certificate_file = files.certificate;
  own->key_file = files.key;
  auto listening = loopback.server.listen(io::Endpoint::tcp("127.0.0.1", 0), own);
  EXPECT_TRUE(listening.has_value()) << listening.error().what;
  if (!listening) co_return;
  io::Tls trusting;
  trusting.server_name = "localhost";
  trusting.ca_file = files.certificate;
  const auto trusted = std::make_shared<const io::Tls>(trusting);
  // Errc::internal: no error is expected.
  co_await ask(loopback, *listening, trusted, "secret", Errc::internal);
  co_await ask(loopback, *listening, trusted, std::string(500'000, 's'), Errc::internal);
  EXPECT_EQ(loopback.server.connections(), 1u);
  trusting.server_name = "example.com";
  const auto other_name = std::make_shared<const io::Tls>(trusting);
  co_await ask(loopback, *listening, other_name, "x", Errc::unauthenticated);
  trusting = {.server_name = "localhost"};
  const auto not_trusted = std::make_shared<const io::Tls>(trusting);
  co_await ask(loopback, *listening, not_trusted, "x", Errc::unauthenticated);
}

TEST(Tls, CarriesRequestsAndRefusesForeignCertificates) {
  const Certificate files;
  Loopback loopback;
  loopback.run(over_tls(loopback, files));
  EXPECT_EQ(loopback.seen.requests, 2);
}

}  // namespace
}  // namespace om::http
