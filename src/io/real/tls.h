// TLS 1.2 and 1.3 over a socket.
#pragma once

#include <boost/asio/ssl/context.hpp>

#include "io/real/stream.h"

namespace om::io {

// invalid_argument: a file is missing or does not hold what it should.
Result<std::shared_ptr<boost::asio::ssl::context>> make_tls_context(const Tls& tls, bool server);

// As a client: takes the socket and shakes hands. unauthenticated: the peer's certificate does not
// check.
Task<Result<std::unique_ptr<Stream>>> connect_tls(DeadlineTick& tick, Clock& clock, Socket socket,
                                                  std::shared_ptr<const Tls> tls, Call call);

// As a server: the handshake is part of the first read, so a slow client holds up nobody else.
std::unique_ptr<Stream> accept_tls(DeadlineTick& tick, Socket socket,
                                   std::shared_ptr<boost::asio::ssl::context> context);

}  // namespace om::io
