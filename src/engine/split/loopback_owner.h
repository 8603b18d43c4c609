// Whose connection on loopback it is: other users of this machine have no business in a tunnel.
#pragma once

#include <cstdint>
#include <string_view>

#include "io/filesystem.h"

namespace om::engine {

// `table`: the text of /proc/net/tcp. True if the socket bound to 127.0.0.1:port is of this user.
bool is_owned_by(std::string_view table, uint16_t port, uint32_t user);
// `peer`: "127.0.0.1:5000", as Stream::peer() tells it. False too if the system does not tell.
bool is_own_connection(io::Filesystem& files, std::string_view peer);

}  // namespace om::engine
