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

  std::shared_ptr<const io::Tls> as_server() const {
    io::Tls tls;
    tls.certificate_file = certificate;
    tls.key_file = key;
    return std::make_shared<const io::Tls>(tls);
  }
  // Who trusts it and expects it to be of that name.
  std::shared_ptr<const io::Tls> trusted_as(std::string name) const {
    io::Tls tls;
    tls.server_name = std::move(name);
    tls.ca_file = certificate;
    return std::make_shared<const io::Tls>(tls);
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
  auto listening = loopback.server.listen(io::Endpoint::tcp("127.0.0.1", 0), files.as_server());
  EXPECT_TRUE(listening.has_value()) << listening.error().what;
  if (!listening) co_return;
  const auto trusted = files.trusted_as("localhost");
  // Errc::internal: no error is expected.
  co_await ask(loopback, *listening, trusted, "secret", Errc::internal);
  co_await ask(loopback, *listening, trusted, std::string(500'000, 's'), Errc::internal);
  EXPECT_EQ(loopback.server.connections(), 1u);
  co_await ask(loopback, *listening, files.trusted_as("example.com"), "x", Errc::unauthenticated);
  const auto not_trusted = std::make_shared<const io::Tls>(io::Tls{.server_name = "localhost"});
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
  auto listening = loopback.server.listen(io::Endpoint::tcp("127.0.0.1", 0), files.as_server());
  EXPECT_TRUE(listening.has_value());
  if (!listening) co_return;
  auto stream = co_await loopback.world().network.connect(*listening, files.trusted_as("localhost"),
                                                          loopback.soon());
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
