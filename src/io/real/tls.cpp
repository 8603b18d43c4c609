#include "io/real/tls.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "io/real/peer_name.h"

namespace om::io {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;

Result<std::shared_ptr<ssl::context>> make_tls_context(const Tls& tls, bool server) {
  auto context =
      std::make_shared<ssl::context>(server ? ssl::context::tls_server : ssl::context::tls_client);
  boost::system::error_code error;
  SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
  if (!tls.ca_file.empty()) {
    context->load_verify_file(tls.ca_file, error);
    if (error) return fail(Errc::invalid_argument, "{}: {}", tls.ca_file, error.message());
  } else {
    context->set_default_verify_paths(error);
    if (error) return fail(Errc::invalid_argument, "system certificates: {}", error.message());
  }
  if (!tls.certificate_file.empty()) {
    context->use_certificate_chain_file(tls.certificate_file, error);
    if (error) return fail(Errc::invalid_argument, "{}: {}", tls.certificate_file, error.message());
    context->use_private_key_file(tls.key_file, ssl::context::pem, error);
    if (error) return fail(Errc::invalid_argument, "{}: {}", tls.key_file, error.message());
  }
  const bool verify = server ? tls.require_peer_certificate : tls.verify;
  int mode = verify ? ssl::verify_peer : ssl::verify_none;
  if (server && verify) mode |= ssl::verify_fail_if_no_peer_cert;
  context->set_verify_mode(mode, error);
  if (error) return fail(Errc::invalid_argument, "certificate checks: {}", error.message());
  return context;
}

namespace {

class TlsStream final : public TickedStream {
 public:
  TlsStream(DeadlineTick& tick, Socket socket, std::shared_ptr<ssl::context> context, bool server)
      : TickedStream(tick),
        handshake_due_(server),
        context_(std::move(context)),
        peer_(peer_name(socket)),
        stream_(std::move(socket), *context_) {}

  Task<Result<void>> handshake(ssl::stream_base::handshake_type side);
  void expect_server(const Tls& tls) {
    if (tls.server_name.empty()) return;
    SSL_set_tlsext_host_name(stream_.native_handle(), tls.server_name.c_str());
    if (tls.verify) stream_.set_verify_callback(ssl::host_name_verification(tls.server_name));
  }
  Task<Result<size_t>> read_some(std::span<char> into) override;
  Task<Result<void>> write(std::span<const std::string_view> parts) override;
  // Data may wait decrypted inside, or be a session ticket: a pooled TLS stream is used only if
  // the socket below it is silent.
  bool is_idle() override {
    if (ended() || !stream_.next_layer().is_open()) return false;
    char byte = 0;
    const auto handle = stream_.next_layer().native_handle();
    const ssize_t count = ::recv(handle, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
  }
  std::string peer() const override { return peer_; }

 protected:
  void close_socket() override {
    boost::system::error_code ignored;  // Closing has no useful failure.
    stream_.next_layer().close(ignored);
  }

 private:
  bool handshake_due_;
  std::shared_ptr<ssl::context> context_;
  std::string peer_;
  ssl::stream<Socket> stream_;
  std::string gathered_;  // TLS wants one buffer a record.
};

Task<Result<void>> TlsStream::handshake(ssl::stream_base::handshake_type side) {
  const auto [error] = co_await stream_.async_handshake(side, asio::as_tuple(asio::use_awaitable));
  if (!error) co_return Result<void>{};
  Error told = explain(error, "TLS handshake");
  if (told.code == Errc::unavailable && error.category() == asio::error::get_ssl_category()) {
    told.code = Errc::unauthenticated;
  }
  co_return fail(std::move(told));
}

Task<Result<size_t>> TlsStream::read_some(std::span<char> into) {
  if (ended()) co_return fail(explain({}, "read"));
  if (handshake_due_) {
    handshake_due_ = false;
    CO_TRY_VOID(co_await handshake(ssl::stream_base::server));
  }
  const auto buffer = asio::buffer(into.data(), into.size());
  const auto [error, count] =
      co_await stream_.async_read_some(buffer, asio::as_tuple(asio::use_awaitable));
  // A peer that leaves without close_notify is told apart by the message framing above us.
  if (error == asio::error::eof || error == ssl::error::stream_truncated) co_return size_t{0};
  if (error) co_return fail(explain(error, "read"));
  co_return count;
}

Task<Result<void>> TlsStream::write(std::span<const std::string_view> parts) {
  if (ended()) co_return fail(explain({}, "write"));
  std::string_view data = parts.size() == 1 ? parts[0] : std::string_view{};
  if (parts.size() != 1) {
    gathered_.clear();
    for (const std::string_view part : parts) gathered_ += part;
    data = gathered_;
  }
  const auto buffer = asio::buffer(data.data(), data.size());
  const auto [error, count] =
      co_await asio::async_write(stream_, buffer, asio::as_tuple(asio::use_awaitable));
  if (error) co_return fail(explain(error, "write"));
  co_return Result<void>{};
}

}  // namespace

Task<Result<std::unique_ptr<Stream>>> connect_tls(DeadlineTick& tick, Clock& clock, Socket socket,
                                                  std::shared_ptr<const Tls> tls, Call call) {
  CO_TRY(auto context, make_tls_context(*tls, false));
  auto stream = std::make_unique<TlsStream>(tick, std::move(socket), std::move(context), false);
  stream->expect_server(*tls);
  const TimePoint latest = clock.now() + std::chrono::seconds(10);
  stream->set_deadline(std::min(call.deadline, latest));
  TlsStream* borrowed = stream.get();
  OnCancel on_cancel(call.cancel, [borrowed] { borrowed->abort(); });
  CO_TRY_VOID(co_await stream->handshake(ssl::stream_base::client));
  stream->set_deadline(kNever);
  co_return std::unique_ptr<Stream>(std::move(stream));
}

std::unique_ptr<Stream> accept_tls(DeadlineTick& tick, Socket socket,
                                   std::shared_ptr<ssl::context> context) {
  return std::make_unique<TlsStream>(tick, std::move(socket), std::move(context), true);
}

}  // namespace om::io
