// The same server and client over TLS, with a certificate made on the spot.
#include "http/certificates_for_test.h"
#include "http/loopback_for_test.h"

namespace om::http {
namespace {

// A self-signed certificate for localhost, as files.
struct Certificate {
  DirectoryForTest directory;
  std::string certificate = directory / "server.crt", key = directory / "server.key";

  Certificate() {
    const CertificateForTest self({});
    self.write_chain(certificate);
    self.write_key(key);
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
