// Asks a proxy for a way to somebody else (RFC 9110, 9.3.6).
#pragma once

#include "io/real/stream.h"

namespace om::io {

// After this the socket's other end is `to`. Waits as long as the socket is open. unavailable: the
// proxy does not do it, or is none; unauthenticated: it wants a login.
Task<Result<void>> open_tunnel(Socket& socket, const Proxy& proxy, const Endpoint& to);

}  // namespace om::io
