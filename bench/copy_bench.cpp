// The parts of the copy benchmark, one role a process; bench/copy puts them together.
//
//   copy_bench serve PORT FILE     gives out FILE as the mirror and the peer server do
//   copy_bench pieces PORT FILE    the same, read and written piece by piece
//   copy_bench tls PORT FILE PEM   the same with TLS, as nodes give blobs to each other
//   copy_bench openssl PORT FILE PEM    OpenSSL alone: a thread that reads, encrypts and sends
//   copy_bench take PORT PATH STREAMS BYTES [PEM]    reads the file in ranges and forgets it; a
//                                                    figure. PEM: with TLS, and who must have it
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <ctime>
#include <thread>

#include "base/check.h"
#include "http/client.h"
#include "http/forwarding_writer.h"
#include "http/range.h"
#include "io/real.h"
#include "io/task_group.h"

namespace {

using namespace om;

constexpr uint64_t kRangeBytes = 16 << 20;  // What a node asks of another with one request.

// Hides the kernel's copying: what every connection with TLS does.
class PieceWriter final : public http::ForwardingWriter {
  using ForwardingWriter::ForwardingWriter;
};

io::Task<void> give(io::World& world, std::string path, bool pieces, http::Request& request,
                    http::ResponseWriter& response) {
  http::FileToSend file;
  file.path = std::move(path);
  PieceWriter writer(response);
  http::ResponseWriter& used = pieces ? static_cast<http::ResponseWriter&>(writer) : response;
  const auto sent = co_await http::send_file(world, request, used, std::move(file));
  CHECK(sent.has_value(), sent ? "" : sent.error().what);
}

constexpr size_t kPieceBytes = 512 << 10;  // What the node reads at once, too.

// Requests of one connection, as `take` makes them, with nothing but OpenSSL and blocking calls.
void answer_blocking(SSL* tls, int file) {
  std::string request(4096, 0), piece(kPieceBytes, 0);
  while (true) {
    const int got = SSL_read(tls, request.data(), static_cast<int>(request.size() - 1));
    if (got <= 0) return;
    const size_t range = request.find("bytes=");
    CHECK(range < static_cast<size_t>(got), "a request without a range");
    char* end = nullptr;
    uint64_t at = std::strtoull(request.data() + range + 6, &end, 10);
    const uint64_t last = std::strtoull(end + 1, nullptr, 10);
    const auto head =
        fmt::format("HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\n\r\n", last + 1 - at);
    SSL_write(tls, head.data(), static_cast<int>(head.size()));
    while (at <= last) {
      const uint64_t size = std::min<uint64_t>(last + 1 - at, kPieceBytes);
      const ssize_t count = ::pread(file, piece.data(), size, static_cast<off_t>(at));
      CHECK(count > 0);
      if (SSL_write(tls, piece.data(), static_cast<int>(count)) <= 0) return;
      at += static_cast<uint64_t>(count);
    }
  }
}

void serve_openssl(uint16_t port, const std::string& path, const char* pem) {
  SSL_CTX* context = SSL_CTX_new(TLS_server_method());
  CHECK(SSL_CTX_use_certificate_chain_file(context, pem) == 1);
  CHECK(SSL_CTX_use_PrivateKey_file(context, pem, SSL_FILETYPE_PEM) == 1);
  const int listening = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
  ::setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(port);
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK(::bind(listening, reinterpret_cast<sockaddr*>(&at), sizeof(at)) == 0);
  CHECK(::listen(listening, 64) == 0);
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  CHECK(file >= 0);
  while (true) {
    const int socket = ::accept(listening, nullptr, nullptr);
    CHECK(socket >= 0);
    ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    std::thread([=] {
      SSL* tls = SSL_new(context);
      SSL_set_fd(tls, socket);
      if (SSL_accept(tls) == 1) answer_blocking(tls, file);
      SSL_free(tls);
      ::close(socket);
    }).detach();
  }
}

std::shared_ptr<const io::Tls> tls_of(const char* pem, bool server) {
  if (pem == nullptr) return nullptr;
  auto tls = std::make_shared<io::Tls>();
  if (server) {
    tls->certificate_file = tls->key_file = pem;
  } else {
    tls->ca_file = pem;
  }
  return tls;
}

struct Ranges {
  std::shared_ptr<const io::Tls> tls;
  uint64_t next = 0, end = 0, taken = 0;
};

io::Task<void> take_ranges(http::Client& client, uint16_t port, std::string path, Ranges& ranges) {
  std::string buffer;
  while (ranges.next < ranges.end) {
    const uint64_t first = ranges.next;
    ranges.next = std::min(ranges.end, first + kRangeBytes);
    http::ClientRequest request;
    request.endpoint = io::Endpoint::tcp("127.0.0.1", port);
    request.tls = ranges.tls;
    request.host = "127.0.0.1";
    request.target = path;
    request.headers.set("Range", fmt::format("bytes={}-{}", first, ranges.next - 1));
    auto response = co_await client.send(std::move(request), {});
    CHECK(response.has_value() && (*response)->status() == 206, "no part of the file came");
    for (bool more = true; more;) {
      buffer.clear();
      const auto read = co_await (*response)->read_some(buffer);
      CHECK(read.has_value(), "the connection broke");
      ranges.taken += buffer.size();
      more = *read;
    }
  }
}

io::Task<void> take(io::World& world, http::Client& client, uint16_t port, std::string path,
                    int streams, uint64_t bytes, std::shared_ptr<const io::Tls> tls) {
  Ranges ranges{std::move(tls), 0, bytes, 0};
  io::TaskGroup group(world.executor, world.clock);
  const io::TimePoint begun = world.clock.now();
  for (int i = 0; i < streams; i++) group.spawn(take_ranges(client, port, path, ranges));
  co_await group.wait();
  const double seconds = std::chrono::duration<double>(world.clock.now() - begun).count();
  CHECK(ranges.taken == bytes);
  fmt::print("bytes={} seconds={:.4f}\n", ranges.taken, seconds);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string role = argc > 3 ? argv[1] : "";
  const auto port = static_cast<uint16_t>(argc > 3 ? std::atoi(argv[2]) : 0);
  std::signal(SIGPIPE, SIG_IGN);
  io::RealWorld real;
  io::World& world = real.world();
  if (role == "take" && (argc == 6 || argc == 7)) {
    auto tls = tls_of(argc == 7 ? argv[6] : nullptr, false);
    http::Client client(world);
    real.run_until_done(take(world, client, port, argv[3], std::atoi(argv[4]),
                             std::strtoull(argv[5], nullptr, 10), std::move(tls)));
    return 0;
  }
  if (role == "openssl" && argc == 5) serve_openssl(port, argv[3], argv[4]);
  if (role == "serve" || role == "pieces" || (role == "tls" && argc == 5)) {
    const std::string path = argv[3];
    http::Server server(
        world, {}, [&world, path, pieces = role == "pieces"](auto& request, auto&, auto& response) {
          return give(world, path, pieces, request, response);
        });
    const auto listening = server.listen(io::Endpoint::tcp("127.0.0.1", port),
                                         tls_of(role == "tls" ? argv[4] : nullptr, true));
    CHECK(listening.has_value(), listening ? "" : listening.error().what);
    real.on_signal({SIGTERM}, [](int) { std::_Exit(0); });
    real.run();
    return 0;
  }
  fmt::print(stderr, "usage: see the head of bench/copy_bench.cpp\n");
  return 2;
}
