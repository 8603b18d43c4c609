// Which user made a connection on loopback: other users of this machine may not use a tunnel.
#pragma once

#include <cstdint>
#include <string_view>

#include "io/filesystem.h"

namespace om::engine {

// `table`: the text of /proc/net/tcp. True if this user has the far end of a connection from
// 127.0.0.1:port to 127.0.0.1:listener. One port may have connections to several listeners.
bool is_owned_by(std::string_view table, uint16_t port, uint16_t listener, uint32_t user);
// `peer`: "127.0.0.1:5000", as Stream::peer() tells it. `listener`: the port it came to. Also false
// if the system does not tell.
bool is_own_connection(io::Filesystem& files, std::string_view peer, uint16_t listener);

}  // namespace om::engine
