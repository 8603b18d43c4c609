#include "io/real/tls_context.h"

#include "base/log.h"
#include "io/metrics.h"

namespace om::io {

namespace ssl = boost::asio::ssl;

namespace {

Result<void> load_files(const Tls& tls, bool server, ssl::context& context) {
  boost::system::error_code error;
  // A key with a passphrase is an error, not a question on the terminal.
  context.set_password_callback(
      [](size_t, ssl::context::password_purpose) { return std::string(); }, error);
  if (error) return fail(Errc::invalid_argument, "passphrase: {}", error.message());
  if (!tls.ca_file.empty()) {
    context.load_verify_file(tls.ca_file, error);
    if (error) return fail(Errc::invalid_argument, "{}: {}", tls.ca_file, error.message());
  } else if (!server && !tls.ca_pin) {
    context.set_default_verify_paths(error);
    if (error) return fail(Errc::invalid_argument, "system certificates: {}", error.message());
  }
  if (tls.certificate_file.empty()) return {};
  context.use_certificate_chain_file(tls.certificate_file, error);
  if (error) return fail(Errc::invalid_argument, "{}: {}", tls.certificate_file, error.message());
  context.use_private_key_file(tls.key_file, ssl::context::pem, error);
  if (error) return fail(Errc::invalid_argument, "{}: {}", tls.key_file, error.message());
  return {};
}

// Trusts the pinned authority if the peer shows it, and nothing else.
int verify_pinned(X509_STORE_CTX* context, void* tls) {
  const Digest& pin = *static_cast<const Tls*>(tls)->ca_pin;
  const STACK_OF(X509)* shown = X509_STORE_CTX_get0_untrusted(context);
  for (int i = 0; i < sk_X509_num(shown); i++) {
    Digest fingerprint;
    unsigned size = 0;
    X509* certificate = sk_X509_value(shown, i);
    if (X509_digest(certificate, EVP_sha256(), fingerprint.bytes.data(), &size) == 1 &&
        fingerprint == pin) {
      X509_STORE_add_cert(X509_STORE_CTX_get0_store(context), certificate);
    }
  }
  return X509_verify_cert(context);
}

}  // namespace

Result<TlsContext> make_tls_context(const Tls& tls, bool server) {
  auto context =
      std::make_shared<ssl::context>(server ? ssl::context::tls_server : ssl::context::tls_client);
  SSL_CTX* native = context->native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  TRY_VOID(load_files(tls, server, *context));
  int mode = !server && tls.verify ? ssl::verify_peer : ssl::verify_none;
  if (server && tls.client_certificate != ClientCertificate::ignored) {
    if (tls.ca_file.empty()) {
      return fail(Errc::invalid_argument, "no authority to check client certificates against");
    }
    mode = ssl::verify_peer;
    if (tls.client_certificate == ClientCertificate::required) {
      mode |= ssl::verify_fail_if_no_peer_cert;
    }
    // A resumed session does not show its certificate again: one that has expired meanwhile, or
    // whose authority is no longer trusted, would pass.
    SSL_CTX_set_session_cache_mode(native, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(native, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(native, 0);
  }
  boost::system::error_code error;
  context->set_verify_mode(mode, error);
  if (error) return fail(Errc::invalid_argument, "certificate checks: {}", error.message());
  if (!server && tls.ca_pin) {
    // The stream that uses the context keeps `tls`.
    SSL_CTX_set_cert_verify_callback(native, &verify_pinned, const_cast<Tls*>(&tls));
  }
  return context;
}

Result<std::unique_ptr<ServerTls>> ServerTls::make(std::shared_ptr<const Tls> tls) {
  Stamp stamp = look(*tls);
  TRY(TlsContext context, make_tls_context(*tls, true));
  return std::unique_ptr<ServerTls>(
      new ServerTls(std::move(tls), std::move(stamp), std::move(context)));
}

ServerTls::Stamp ServerTls::look(const Tls& tls) {
  Stamp stamp;
  for (const std::string* path : {&tls.ca_file, &tls.certificate_file, &tls.key_file}) {
    struct stat status{};
    if (path->empty() || ::stat(path->c_str(), &status) != 0) continue;
    for (const int64_t part :
         {static_cast<int64_t>(status.st_ino), status.st_size, status.st_mtim.tv_sec,
          status.st_mtim.tv_nsec, status.st_ctim.tv_sec, status.st_ctim.tv_nsec}) {
      stamp.push_back(part);
    }
  }
  return stamp;
}

TlsContext ServerTls::current() {
  // Taken before reading: what changes while it is read is seen next time.
  Stamp stamp = look(*tls_);
  if (stamp == stamp_) return context_;
  auto context = make_tls_context(*tls_, true);
  if (!context) {
    // Between the replacing of two files they need not fit. Tried again for the next connection.
    metrics::tls_reload_failures.add();
    if (stamp != failed_stamp_) {
      log_warn("changed certificate files not taken up",
               field("certificate", tls_->certificate_file), field("error", context.error()));
    }
    failed_stamp_ = std::move(stamp);
    return context_;
  }
  stamp_ = std::move(stamp);
  metrics::tls_reloads.add();
  log_info("changed certificate files taken up", field("certificate", tls_->certificate_file));
  context_ = std::move(*context);
  return context_;
}

}  // namespace om::io
