// Certificates on both sides: who is let in, and what handlers learn of them.
#include <openssl/ssl.h>

#include <fstream>

#include "http/certificates_for_test.h"
#include "http/loopback_for_test.h"

namespace om::http {
namespace {

using io::ClientCertificate;

class MutualTls : public testing::Test {
 protected:
  MutualTls() {
    authority.write_chain(files / "ca.crt");
    write("server", {.name = "node-1", .issuer = &authority, .serial = 7});
  }
  void write(const std::string& file, const CertificateForTest::Options& options) {
    const CertificateForTest made(options);
    made.write_chain(files / (file + ".crt"));
    made.write_key(files / (file + ".key"));
  }
  io::Endpoint listen(ClientCertificate wanted) {
    auto tls = std::make_shared<io::Tls>();
    tls->ca_file = files / "ca.crt";
    tls->certificate_file = files / "server.crt";
    tls->key_file = files / "server.key";
    tls->client_certificate = wanted;
    auto at = loopback.server.listen(io::Endpoint::tcp("127.0.0.1", 0), tls);
    EXPECT_TRUE(at.has_value()) << at.error().what;
    return *at;
  }
  io::Tls client(const std::string& certificate = {}) {
    io::Tls tls{.server_name = "node-1", .ca_file = files / "ca.crt"};
    if (certificate.empty()) return tls;
    tls.certificate_file = files / (certificate + ".crt");
    tls.key_file = files / (certificate + ".key");
    return tls;
  }
  // Errc::internal: it was answered.
  Errc ask(io::Endpoint at, const io::Tls& tls, size_t body_bytes = 10) {
    Errc code = Errc::internal;
    loopback.run(send(at, std::make_shared<const io::Tls>(tls), body_bytes, code));
    return code;
  }
  io::Task<void> send(io::Endpoint at, std::shared_ptr<const io::Tls> tls, size_t body_bytes,
                      Errc& code) {
    auto request = loopback.request("POST", "/echo", std::string(body_bytes, 'b'));
    request.endpoint = at;
    request.tls = std::move(tls);
    auto response = co_await loopback.client.send(std::move(request), loopback.soon());
    if (!response) {
      code = response.error().code;
      last_error = response.error().what;
      co_return;
    }
    const auto body = co_await (*response)->read_all(1 << 20);
    EXPECT_TRUE(body.has_value() && body->size() == body_bytes);
  }

  DirectoryForTest files;
  CertificateForTest authority{{.name = "home"}};
  CertificateForTest other_authority{{.name = "home"}};
  std::string last_error;
  Loopback loopback;
};

TEST_F(MutualTls, TellsTheHandlerWhoAsks) {
  write("client", {.name = "node-2", .issuer = &authority, .serial = 258});
  EXPECT_EQ(ask(listen(ClientCertificate::required), client("client")), Errc::internal);
  EXPECT_EQ(loopback.seen.certificate, "node-2");
  EXPECT_EQ(loopback.seen.certificate_serial, "00000000000000000000000000000102");
}

TEST_F(MutualTls, RefusesWhoShowsNoCertificate) {
  const auto at = listen(ClientCertificate::required);
  EXPECT_EQ(ask(at, client()), Errc::unauthenticated) << last_error;
  EXPECT_EQ(loopback.seen.requests, 0);
}

// The server closes while the client still sends; the client must hear why all the same.
TEST_F(MutualTls, SaysWhyInTheMiddleOfALargeBody) {
  const auto at = listen(ClientCertificate::required);
  EXPECT_EQ(ask(at, client(), 8 << 20), Errc::unauthenticated) << last_error;
}

TEST_F(MutualTls, AnswersWhoHasNoneYetWhereItOnlyAsks) {
  loopback.seen.certificate = "before";
  EXPECT_EQ(ask(listen(ClientCertificate::asked), client()), Errc::internal) << last_error;
  EXPECT_EQ(loopback.seen.certificate, "");
}

TEST_F(MutualTls, NamesWhoHasOneWhereItOnlyAsks) {
  write("client", {.name = "node-2", .issuer = &authority});
  EXPECT_EQ(ask(listen(ClientCertificate::asked), client("client")), Errc::internal);
  EXPECT_EQ(loopback.seen.certificate, "node-2");
}

TEST_F(MutualTls, SeesNoNameWhereItDoesNotAsk) {
  write("client", {.name = "node-2", .issuer = &authority});
  EXPECT_EQ(ask(listen(ClientCertificate::ignored), client("client")), Errc::internal);
  EXPECT_EQ(loopback.seen.certificate, "");
}

TEST_F(MutualTls, RefusesCertificatesOfAnotherAuthority) {
  write("client", {.name = "node-2", .issuer = &other_authority});
  EXPECT_EQ(ask(listen(ClientCertificate::required), client("client")), Errc::unauthenticated);
  EXPECT_EQ(loopback.seen.requests, 0);
}

TEST_F(MutualTls, RefusesAWrongCertificateAlsoWhereItOnlyAsks) {
  write("client", {.name = "node-2", .issuer = &other_authority});
  EXPECT_EQ(ask(listen(ClientCertificate::asked), client("client")), Errc::unauthenticated);
  EXPECT_EQ(loopback.seen.requests, 0);
}

TEST_F(MutualTls, RefusesAnExpiredClient) {
  write("client", {.name = "node-2", .issuer = &authority, .begins = -7200, .ends = -60});
  EXPECT_EQ(ask(listen(ClientCertificate::required), client("client")), Errc::unauthenticated);
  EXPECT_EQ(loopback.seen.requests, 0);
}

TEST_F(MutualTls, RefusesAnExpiredServer) {
  write("server", {.name = "node-1", .issuer = &authority, .begins = -7200, .ends = -60});
  EXPECT_EQ(ask(listen(ClientCertificate::ignored), client()), Errc::unauthenticated);
}

TEST_F(MutualTls, RefusesAServerOfAnotherName) {
  auto tls = client();
  tls.server_name = "node-3";
  EXPECT_EQ(ask(listen(ClientCertificate::ignored), tls), Errc::unauthenticated);
}

TEST_F(MutualTls, DoesNotListenWithoutAnAuthorityToCheckClients) {
  auto tls = std::make_shared<io::Tls>();
  tls->client_certificate = ClientCertificate::asked;
  const auto at = loopback.server.listen(io::Endpoint::tcp("127.0.0.1", 0), tls);
  EXPECT_EQ(at.error().code, Errc::invalid_argument);
  EXPECT_EQ(ask(listen(ClientCertificate::asked), client()), Errc::internal);
}

TEST_F(MutualTls, TrustsThePinnedAuthorityBeforeItHasTheFile) {
  io::Tls tls{.ca_pin = authority.fingerprint()};  // Any node of that cluster will do.
  EXPECT_EQ(ask(listen(ClientCertificate::asked), tls), Errc::internal) << last_error;
}

TEST_F(MutualTls, RefusesAServerThatDoesNotComeFromThePinnedAuthority) {
  const auto at = listen(ClientCertificate::asked);
  EXPECT_EQ(ask(at, {.ca_pin = other_authority.fingerprint()}), Errc::unauthenticated);
}

// Anybody can send a cluster's public certificate along with his own.
TEST_F(MutualTls, RefusesAServerThatOnlyShowsThePinnedAuthority) {
  const CertificateForTest own({.name = "node-1", .issuer = &other_authority});
  own.write_chain(files / "own.crt");
  authority.write_chain(files / "server.crt");
  std::ofstream(files / "chain.crt")
      << std::ifstream(files / "own.crt").rdbuf() << std::ifstream(files / "server.crt").rdbuf();
  std::filesystem::rename(files / "chain.crt", files / "server.crt");
  own.write_key(files / "server.key");
  const auto at = listen(ClientCertificate::asked);
  EXPECT_EQ(ask(at, {.ca_pin = authority.fingerprint()}), Errc::unauthenticated);
}

io::Task<void> look_at_server(Loopback& loopback, io::Endpoint at,
                              std::shared_ptr<const io::Tls> tls, std::string& serial) {
  auto stream = co_await loopback.world().network.connect(at, tls, loopback.soon());
  EXPECT_TRUE(stream.has_value());
  if (!stream) co_return;
  EXPECT_EQ((*stream)->peer_certificate_name(), "node-1");
  serial = (*stream)->peer_certificate_serial();
}

io::Task<void> renew(Loopback& loopback, io::Endpoint at, std::shared_ptr<const io::Tls> tls,
                     const CertificateForTest& renewed, const DirectoryForTest& files) {
  std::string serial;
  co_await look_at_server(loopback, at, tls, serial);
  EXPECT_TRUE(serial.ends_with("07")) << serial;
  renewed.write_chain(files / "server.crt");
  // The key is still the old one: they do not fit, the old pair goes on.
  co_await look_at_server(loopback, at, tls, serial);
  EXPECT_TRUE(serial.ends_with("07")) << serial;
  renewed.write_key(files / "server.key");
  co_await look_at_server(loopback, at, tls, serial);
  EXPECT_TRUE(serial.ends_with("08")) << serial;
}

TEST_F(MutualTls, TakesUpARenewedCertificateForNewConnections) {
  const auto at = listen(ClientCertificate::asked);
  const CertificateForTest renewed({.name = "node-1", .issuer = &authority, .serial = 8});
  loopback.run(renew(loopback, at, std::make_shared<io::Tls>(client()), renewed, files));
}

io::Task<void> ask_beside_a_silent_one(Loopback& loopback, io::Endpoint at,
                                       std::shared_ptr<const io::Tls> tls) {
  const auto silent = co_await loopback.world().network.connect(at, nullptr, loopback.soon());
  EXPECT_TRUE(silent.has_value());
  std::string serial;
  co_await look_at_server(loopback, at, tls, serial);
  EXPECT_FALSE(serial.empty());
}

TEST_F(MutualTls, DoesNotWaitForWhoNeverShakesHands) {
  const auto at = listen(ClientCertificate::required);
  write("client", {.name = "node-2", .issuer = &authority});
  loopback.run(ask_beside_a_silent_one(loopback, at, std::make_shared<io::Tls>(client("client"))));
}

// A blocking client of OpenSSL's own, which offers the session of its first visit.
struct Visitor {
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SSL_SESSION* session = nullptr;

  Visitor(const DirectoryForTest& files, int version) {
    SSL_CTX_set_max_proto_version(context, version);
    SSL_CTX_use_certificate_chain_file(context, (files / "client.crt").c_str());
    SSL_CTX_use_PrivateKey_file(context, (files / "client.key").c_str(), SSL_FILETYPE_PEM);
  }
  ~Visitor() {
    SSL_SESSION_free(session);
    SSL_CTX_free(context);
  }
  // Whether the session was resumed; the server's answer must have come.
  bool visit(uint16_t port) {
    BIO* bio = BIO_new_ssl_connect(context);
    SSL* ssl = nullptr;
    BIO_get_ssl(bio, &ssl);
    BIO_set_conn_hostname(bio, fmt::format("127.0.0.1:{}", port).c_str());
    if (session != nullptr) SSL_set_session(ssl, session);
    constexpr std::string_view kRequest =
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    BIO_write(bio, kRequest.data(), static_cast<int>(kRequest.size()));
    std::string answer(4096, '\0');
    EXPECT_GT(BIO_read(bio, answer.data(), static_cast<int>(answer.size())), 0);
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200"));
    const bool resumed = SSL_session_reused(ssl) == 1;
    SSL_SESSION_free(session);
    session = SSL_get1_session(ssl);
    BIO_free_all(bio);
    return resumed;
  }
};

io::Task<void> visit_twice(Loopback& loopback, Visitor& visitor, uint16_t port) {
  for (int i = 0; i < 2; i++) {
    loopback.seen.certificate.clear();
    const auto visit = [&] { return visitor.visit(port); };
    const bool resumed = co_await loopback.world().workers.run(visit);
    EXPECT_FALSE(resumed);
    EXPECT_EQ(loopback.seen.certificate, "node-2");
  }
}

TEST_F(MutualTls, SeesTheCertificateAgainOnEveryConnection) {
  write("client", {.name = "node-2", .issuer = &authority});
  const auto at = listen(ClientCertificate::required);
  Visitor modern(files, TLS1_3_VERSION);
  loopback.run(visit_twice(loopback, modern, at.port));
}

TEST_F(MutualTls, SeesTheCertificateAgainOnEveryOlderConnection) {
  write("client", {.name = "node-2", .issuer = &authority});
  const auto at = listen(ClientCertificate::required);
  Visitor old(files, TLS1_2_VERSION);
  loopback.run(visit_twice(loopback, old, at.port));
}

}  // namespace
}  // namespace om::http
