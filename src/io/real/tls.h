// TLS 1.2 and 1.3 over a socket.
#pragma once

#include "io/real/stream.h"
#include "io/real/tls_context.h"

namespace om::io {

// As a client: takes the socket and shakes hands. unauthenticated: the peer's certificate does not
// check.
Task<Result<std::unique_ptr<Stream>>> connect_tls(DeadlineTick& tick, Clock& clock, Socket socket,
                                                  std::shared_ptr<const Tls> tls, Call call);

// As a server: the handshake is part of the first read, so a slow client holds up nobody else. It
// ends at the latest 10 s from now.
std::unique_ptr<Stream> accept_tls(DeadlineTick& tick, const Clock& clock, Socket socket,
                                   TlsContext context);

}  // namespace om::io
