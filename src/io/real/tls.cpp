#include "io/real/tls.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "base/log.h"
#include "io/certificate_names.h"
#include "io/metrics.h"

namespace om::io {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;

namespace {

constexpr std::chrono::seconds kHandshakeMax{10};

// In TLS 1.3 a client learns only when it reads that the server did not like its certificate.
bool is_refusal(const boost::system::error_code& error) {
  if (error.category() != asio::error::get_ssl_category()) return false;
  switch (ERR_GET_REASON(static_cast<unsigned long>(error.value()))) {
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
    case SSL_R_TLSV1_ALERT_DECRYPT_ERROR:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
      return true;
    default:
      return false;
  }
}

class TlsStream final : public TickedStream {
 public:
  TlsStream(DeadlineTick& tick, Socket socket, TlsContext context)
      : TickedStream(tick, socket),
        context_(std::move(context)),
        stream_(std::move(socket), *context_) {}

  Task<Result<void>> handshake(ssl::stream_base::handshake_type side);
  void expect_server(std::shared_ptr<const Tls> tls);
  void expect_client(TimePoint latest) {
    handshake_due_ = true;
    TickedStream::set_deadline(latest);
  }
  Task<Result<size_t>> read_some(std::span<char> into) override;
  Task<Result<void>> write(std::span<const std::string_view> parts) override;
  void set_deadline(TimePoint deadline) override {
    wanted_deadline_ = deadline;
    if (!handshake_due_) TickedStream::set_deadline(deadline);
  }
  // Data may wait decrypted inside, or be a session ticket: a pooled TLS stream is used only if
  // the socket below it is silent.
  bool is_idle() override {
    if (ended() || !stream_.next_layer().is_open()) return false;
    char byte = 0;
    const auto handle = stream_.next_layer().native_handle();
    const ssize_t count = ::recv(handle, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
  }
  std::string peer_certificate_name() const override { return certificate_name_; }
  std::string peer_certificate_serial() const override { return certificate_serial_; }

 protected:
  void close_socket() override {
    boost::system::error_code ignored;  // Closing has no useful failure.
    stream_.next_layer().close(ignored);
  }

 private:
  Task<Result<void>> accept_handshake();
  void read_peer_certificate();
  Error told(const boost::system::error_code& error, std::string_view doing) const {
    Error failed = explain(error, doing);
    if (failed.code == Errc::unavailable && is_refusal(error)) failed.code = Errc::unauthenticated;
    return failed;
  }

  bool handshake_due_ = false;  // As a server, until the first read.
  TimePoint wanted_deadline_ = kNever;
  TlsContext context_;
  std::shared_ptr<const Tls> tls_;  // As a client: the context refers to its pin.
  std::string certificate_name_, certificate_serial_;
  ssl::stream<Socket> stream_;
  std::vector<asio::const_buffer> buffers_;  // What is being written.
};

void TlsStream::expect_server(std::shared_ptr<const Tls> tls) {
  tls_ = std::move(tls);
  if (tls_->server_name.empty()) return;
  SSL_set_tlsext_host_name(stream_.native_handle(), tls_->server_name.c_str());
  if (tls_->verify) stream_.set_verify_callback(ssl::host_name_verification(tls_->server_name));
}

Task<Result<void>> TlsStream::handshake(ssl::stream_base::handshake_type side) {
  const auto [error] = co_await stream_.async_handshake(side, asio::as_tuple(asio::use_awaitable));
  if (!error) {
    read_peer_certificate();
    co_return Result<void>{};
  }
  Error failed = explain(error, "TLS handshake");
  if (failed.code == Errc::unavailable && error.category() == asio::error::get_ssl_category()) {
    failed.code = Errc::unauthenticated;
  }
  co_return fail(std::move(failed));
}

Task<Result<void>> TlsStream::accept_handshake() {
  auto shaken = co_await handshake(ssl::stream_base::server);
  handshake_due_ = false;
  TickedStream::set_deadline(wanted_deadline_);
  if (!shaken) {
    metrics::tls_refused.add();
    log_debug("TLS handshake refused", field("peer", peer()), field("error", shaken.error()));
  }
  co_return shaken;
}

void TlsStream::read_peer_certificate() {
  SSL* native = stream_.native_handle();
  const X509* certificate = SSL_get0_peer_certificate(native);
  if (certificate == nullptr || (SSL_get_verify_mode(native) & SSL_VERIFY_PEER) == 0 ||
      SSL_get_verify_result(native) != X509_V_OK) {
    return;
  }
  auto name = common_name(X509_get_subject_name(certificate));
  if (!name) return;  // Somebody the authority vouches for, but nobody we could call by name.
  certificate_name_ = std::move(*name);
  certificate_serial_ = serial_text(certificate);
}

Task<Result<size_t>> TlsStream::read_some(std::span<char> into) {
  if (ended()) co_return fail(explain({}, "read"));
  if (handshake_due_) CO_TRY_VOID(co_await accept_handshake());
  const auto buffer = asio::buffer(into.data(), into.size());
  const auto [error, count] =
      co_await stream_.async_read_some(buffer, asio::as_tuple(asio::use_awaitable));
  // A peer that leaves without close_notify is told apart by the message framing above us.
  if (error == asio::error::eof || error == ssl::error::stream_truncated) co_return size_t{0};
  if (error) co_return fail(told(error, "read"));
  co_return count;
}

Task<Result<void>> TlsStream::write(std::span<const std::string_view> parts) {
  if (ended()) co_return fail(explain({}, "write"));
  buffers_.clear();
  for (const std::string_view part : parts) {
    if (!part.empty()) buffers_.emplace_back(part.data(), part.size());
  }
  // Asio copies small parts together for one record, and large ones not at all.
  const auto [error, count] = co_await asio::async_write(
      stream_, std::span<const asio::const_buffer>(buffers_), asio::as_tuple(asio::use_awaitable));
  if (error) co_return fail(explain(error, "write"));
  co_return Result<void>{};
}

}  // namespace

Task<Result<std::unique_ptr<Stream>>> connect_tls(DeadlineTick& tick, Clock& clock, Socket socket,
                                                  std::shared_ptr<const Tls> tls, Call call) {
  CO_TRY(auto context, make_tls_context(*tls, false));
  auto stream = std::make_unique<TlsStream>(tick, std::move(socket), std::move(context));
  stream->expect_server(std::move(tls));
  const TimePoint latest = clock.now() + kHandshakeMax;
  stream->set_deadline(std::min(call.deadline, latest));
  TlsStream* borrowed = stream.get();
  OnCancel on_cancel(call.cancel, [borrowed] { borrowed->abort(); });
  CO_TRY_VOID(co_await stream->handshake(ssl::stream_base::client));
  stream->set_deadline(kNever);
  co_return std::unique_ptr<Stream>(std::move(stream));
}

std::unique_ptr<Stream> accept_tls(DeadlineTick& tick, const Clock& clock, Socket socket,
                                   TlsContext context) {
  auto stream = std::make_unique<TlsStream>(tick, std::move(socket), std::move(context));
  stream->expect_client(clock.now() + kHandshakeMax);
  return stream;
}

}  // namespace om::io
