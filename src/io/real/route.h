// Which way the machine's network would take. On any thread.
#pragma once

#include <sys/socket.h>

#include <string>

namespace om::io {

// This machine's address on what it sends to a host, told by number ("10.0.0.5", "fd00::5"). Sends
// nothing. Empty: there is no way at the moment, or the host is told by name.
std::string source_towards(const std::string& host);

// Of an IPv4 or IPv6 address; empty: it is none.
std::string numeric_text(const sockaddr* address, socklen_t length);

}  // namespace om::io
