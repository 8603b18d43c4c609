// How a socket's addresses are written.
#pragma once

#include <string>

#include "io/network.h"
#include "io/real/stream.h"

namespace om::io {

std::string peer_name(const Socket& socket);  // "127.0.0.1:5000", "[::1]:5000", "unix".
bool has_one_address(const Socket& socket);   // Both ends have the same one.
Endpoint endpoint_of(const Socket::endpoint_type& endpoint);

}  // namespace om::io
