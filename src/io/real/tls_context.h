// OpenSSL's settings for one side of TLS, made from a Tls and the files it names.
#pragma once

#include <sys/stat.h>

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <vector>

#include "io/network.h"

namespace om::io {

using TlsContext = std::shared_ptr<boost::asio::ssl::context>;

// invalid_argument: a file is missing or does not hold what it should.
Result<TlsContext> make_tls_context(const Tls& tls, bool server);

// A server's settings, which follow its files: three stat calls a connection. io thread only.
class ServerTls {
 public:
  // Errors as make_tls_context().
  static Result<std::unique_ptr<ServerTls>> make(std::shared_ptr<const Tls> tls);

  // For the next connection. Connections keep what they were begun with.
  TlsContext current();

 private:
  using Stamp = std::vector<int64_t>;  // Differs when a file was replaced or written.

  ServerTls(std::shared_ptr<const Tls> tls, Stamp stamp, TlsContext context)
      : tls_(std::move(tls)), stamp_(std::move(stamp)), context_(std::move(context)) {}
  static Stamp look(const Tls& tls);

  std::shared_ptr<const Tls> tls_;
  Stamp stamp_;         // Of the files that the context was made of, taken before reading them.
  Stamp failed_stamp_;  // Of those told to be wrong: once is enough.
  TlsContext context_;
};

}  // namespace om::io
