#include "io/real/network.h"

#include <netinet/tcp.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "io/real/operation_limit.h"
#include "io/real/peer_name.h"
#include "io/real/proxy_tunnel.h"
#include "io/real/tls.h"

namespace om::io {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

template <int kName>
using TcpOption = asio::detail::socket_option::integer<IPPROTO_TCP, kName>;

// A machine that vanished says nothing: no close, no reset. Its connection ends when what was sent
// is not acknowledged for so long, or, where nothing is sent, probes are not (RFC 5482).
constexpr std::chrono::milliseconds kSilentPeerMax{30'000};
// Of a server outside, which may take its time with what it was sent: longer than those who send to
// it wait for a sign of life.
constexpr std::chrono::milliseconds kSilentServerMax{150'000};
constexpr int kProbeAfterSeconds = 15, kProbeEverySeconds = 5;

void set_silence_max(Socket& socket, std::chrono::milliseconds silence) {
  error_code ignored;  // A socket that cannot do this still works.
  socket.set_option(TcpOption<TCP_USER_TIMEOUT>(static_cast<int>(silence.count())), ignored);
}

// Whom the system's authorities vouch for is none of our own machines.
bool is_outside(const Tls* tls) { return tls && tls->ca_file.empty() && !tls->ca_pin; }

// Tokens go out as they come, also under TLS: Nagle's algorithm would keep the second of two for
// the 40 ms that the peer delays its acknowledgement. A socket that cannot do this still works.
void set_tcp_options(Socket& socket) {
  error_code ignored;
  if (socket.local_endpoint(ignored).protocol().family() == AF_UNIX) return;
  socket.set_option(asio::ip::tcp::no_delay(true), ignored);
  socket.set_option(asio::socket_base::keep_alive(true), ignored);
  socket.set_option(TcpOption<TCP_KEEPIDLE>(kProbeAfterSeconds), ignored);
  socket.set_option(TcpOption<TCP_KEEPINTVL>(kProbeEverySeconds), ignored);
  set_silence_max(socket, kSilentPeerMax);
}

}  // namespace

Task<Result<std::vector<Socket::endpoint_type>>> RealNetwork::resolve(const Endpoint& to,
                                                                      Call call) {
  std::vector<Socket::endpoint_type> found;
  if (!to.unix_path.empty()) {
    if (to.unix_path.size() > 100) {
      co_return fail(Errc::invalid_argument, "{}: too long for a unix socket", to.unix_path);
    }
    found.emplace_back(asio::local::stream_protocol::endpoint(to.unix_path));
    co_return found;
  }
  error_code error;
  const auto address = asio::ip::make_address(to.host, error);
  if (!error) {
    found.emplace_back(asio::ip::tcp::endpoint(address, to.port));
    co_return found;
  }
  CO_TRY(const auto addresses, co_await lookups_.find(to.host, std::move(call)));
  for (const auto& each : addresses) found.emplace_back(asio::ip::tcp::endpoint(each, to.port));
  co_return found;
}

Task<Result<std::vector<Endpoint>>> RealNetwork::lookup(Endpoint name, Call call) {
  CO_TRY(const auto addresses, co_await resolve(name, std::move(call)));
  std::vector<Endpoint> found;
  for (const auto& address : addresses) found.push_back(endpoint_of(address));
  co_return found;
}

Task<Result<Socket>> RealNetwork::connect_socket(Socket::endpoint_type to, Call call) {
  Socket socket(context_);
  OperationLimit limit(clock_, call, [&socket] {
    error_code ignored;  // Closing has no useful failure.
    socket.close(ignored);
  });
  // Closing what is not open ends nothing: cancelled before now, it would connect without a limit.
  if (limit.ended()) co_return fail(limit.explain(Errc::unavailable, "connect"));
  const auto [error] = co_await socket.async_connect(to, asio::as_tuple(asio::use_awaitable));
  if (error) {
    co_return fail(limit.explain(
        Errc::unavailable, fmt::format("connect {}: {}", endpoint_of(to).str(), error.message())));
  }
  if (limit.ended()) co_return fail(limit.explain(Errc::unavailable, "connect"));
  set_tcp_options(socket);
  co_return socket;
}

// An address that swallows packets must not take the time of the next one (RFC 8305 does not even
// wait for so long).
constexpr std::chrono::seconds kAttemptMax{1};

Task<Result<Socket>> RealNetwork::connect_any(Endpoint to, Call call) {
  if (call.cancel.cancelled()) co_return fail(Errc::cancelled, "connect: cancelled");
  CO_TRY(const auto addresses, co_await resolve(to, call));
  Error last{Errc::not_found, fmt::format("lookup {}: no addresses", to.host)};
  for (size_t i = 0; i < addresses.size(); i++) {
    Call attempt = call;
    const bool more = i + 1 < addresses.size();
    if (more) attempt = clock_.call_within(kAttemptMax, call);
    auto socket = co_await connect_socket(addresses[i], std::move(attempt));
    if (socket) co_return socket;
    last = socket.error();
    if (last.code == Errc::cancelled || clock_.now() >= call.deadline) break;
  }
  co_return fail(std::move(last));
}

Task<Result<std::unique_ptr<Stream>>> RealNetwork::connect(Endpoint to,
                                                           std::shared_ptr<const Tls> tls,
                                                           Call call) {
  CO_TRY(Socket socket, co_await connect_any(std::move(to), call));
  if (is_outside(tls.get())) set_silence_max(socket, kSilentServerMax);
  if (!tls) co_return make_stream(tick_, copier_, std::move(socket));
  co_return co_await connect_tls(tick_, clock_, std::move(socket), std::move(tls), std::move(call));
}

Task<Result<std::unique_ptr<Stream>>> RealNetwork::connect_through(Proxy proxy, Endpoint to,
                                                                   std::shared_ptr<const Tls> tls,
                                                                   Call call) {
  auto socket = co_await connect_any(proxy.at, call);
  if (!socket) co_return fail(annotate(std::move(socket).error(), "proxy"));
  set_silence_max(*socket, kSilentServerMax);
  {
    OperationLimit limit(clock_, call, [&socket] {
      error_code ignored;  // Closing has no useful failure.
      socket->close(ignored);
    });
    const auto opened = co_await open_tunnel(*socket, proxy, to);
    if (!opened || limit.ended()) {
      const Error error = opened ? Error{Errc::unavailable, "proxy"} : opened.error();
      co_return fail(limit.explain(error.code, error.what));
    }
  }
  if (!tls) co_return make_stream(tick_, copier_, std::move(*socket));
  co_return co_await connect_tls(tick_, clock_, std::move(*socket), std::move(tls),
                                 std::move(call));
}

namespace {

using Acceptor = asio::basic_socket_acceptor<asio::generic::stream_protocol>;

class SocketListener final : public Listener {
 public:
  SocketListener(DeadlineTick& tick, FileCopier& copier, Clock& clock, Acceptor acceptor,
                 Endpoint local, std::unique_ptr<ServerTls> tls)
      : tick_(tick),
        copier_(copier),
        clock_(clock),
        acceptor_(std::move(acceptor)),
        local_(std::move(local)),
        tls_(std::move(tls)) {}
  ~SocketListener() override { close(); }

  Task<Result<std::unique_ptr<Stream>>> accept() override;
  void close() override;
  Endpoint local() const override { return local_; }

 private:
  DeadlineTick& tick_;
  FileCopier& copier_;
  Clock& clock_;
  Acceptor acceptor_;
  Endpoint local_;
  std::unique_ptr<ServerTls> tls_;  // Null: plain.
  CancelSource closed_;
};

void SocketListener::close() {
  if (!acceptor_.is_open()) return;
  error_code ignored;  // Closing has no useful failure.
  acceptor_.close(ignored);
  if (!local_.unix_path.empty()) ::unlink(local_.unix_path.c_str());
  closed_.cancel();
}

Task<Result<std::unique_ptr<Stream>>> SocketListener::accept() {
  while (acceptor_.is_open()) {
    Socket socket(acceptor_.get_executor());
    const auto [error] =
        co_await acceptor_.async_accept(socket, asio::as_tuple(asio::use_awaitable));
    if (!acceptor_.is_open()) break;
    if (error == asio::error::no_descriptors || error == error_code(ENFILE, error.category())) {
      // Out of descriptors: those in use go on; new clients wait in the kernel's queue.
      const auto slept =
          co_await clock_.sleep_for(std::chrono::milliseconds(100), Call{kNever, closed_.token()});
      if (!slept) break;
      continue;
    }
    if (error) continue;  // That client left before we answered.
    set_tcp_options(socket);
    if (!tls_) co_return make_stream(tick_, copier_, std::move(socket));
    co_return accept_tls(tick_, clock_, std::move(socket), tls_->current());
  }
  co_return fail(Errc::cancelled, "the listener is closed");
}

}  // namespace

Result<std::unique_ptr<Listener>> RealNetwork::listen(Endpoint at, std::shared_ptr<const Tls> tls) {
  Socket::endpoint_type endpoint;
  error_code error;
  if (!at.unix_path.empty()) {
    if (at.unix_path.size() > 100) {
      return fail(Errc::invalid_argument, "{}: too long for a unix socket", at.unix_path);
    }
    ::unlink(at.unix_path.c_str());
    endpoint = asio::local::stream_protocol::endpoint(at.unix_path);
  } else {
    const auto address =
        asio::ip::make_address(at.host == "localhost" ? "127.0.0.1" : at.host, error);
    if (error) {
      return fail(Errc::invalid_argument, "listen {}: not a numeric address", at.host);
    }
    endpoint = asio::ip::tcp::endpoint(address, at.port);
  }
  Acceptor acceptor(context_);
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(1024, error);
  if (error) {
    const bool in_use = error == asio::error::address_in_use;
    return fail(in_use ? Errc::already_exists : Errc::io_failed, "listen {}: {}", at.str(),
                error.message());
  }
  std::unique_ptr<ServerTls> server_tls;
  if (tls) {
    TRY(server_tls, ServerTls::make(std::move(tls)));
  }
  Endpoint local = endpoint_of(acceptor.local_endpoint(error));
  return std::make_unique<SocketListener>(tick_, copier_, clock_, std::move(acceptor),
                                          std::move(local), std::move(server_tls));
}

}  // namespace om::io
