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

io::Task<void> stream_over_tls(Loopback& loopback, const Certificate& files,
                               std::vector<std::string>& records) {
  auto own = std::make_shared<io::Tls>();
  own->certificate_file = files.certificate;
  own->key_file = files.key;
  auto listening = loopback.server.listen(io::Endpoint::tcp("127.0.0.1", 0), own);
  EXPECT_TRUE(listening.has_value());
  if (!listening) co_return;
  auto trusting = std::make_shared<io::Tls>();
  trusting->server_name = "localhost";
  trusting->ca_file = files.certificate;
  auto stream =
      co_await loopback.world().network.connect(*listening, std::move(trusting), loopback.soon());
  EXPECT_TRUE(stream.has_value());
  if (!stream) co_return;
  const auto asked = co_await (*stream)->write(
      "GET /stream?n=3 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(asked.has_value());
  std::array<char, 4096> buffer;
  while (true) {
    const auto count = co_await (*stream)->read_some(buffer);  // OpenSSL gives one record a time.
    if (!count || *count == 0) co_return;
    records.emplace_back(buffer.data(), *count);
  }
}

TEST(Tls, AChunkAndItsFramingAreOneRecord) {
  const Certificate files;
  Loopback loopback;
  std::vector<std::string> records;
  loopback.run(stream_over_tls(loopback, files, records));
  ASSERT_GE(records.size(), 4u);
  EXPECT_EQ(records.back(), "0\r\n\r\n");
  for (size_t i = 1; i + 1 < records.size(); i++) {
    EXPECT_GT(records[i].size(), 5u) << records[i];  // Not the size line or the line end alone.
    EXPECT_TRUE(records[i].ends_with("\r\n")) << records[i];
  }
}

}  // namespace
}  // namespace om::http
