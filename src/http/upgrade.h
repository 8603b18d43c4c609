// A connection that leaves HTTP (RFC 9110, section 7.8): after 101 its bytes mean what both sides
// agreed on. The server's side is ResponseWriter::upgrade().
#pragma once

#include <memory>
#include <string>

#include "http/client.h"

namespace om::http {

// Asks for it on a connection of its own. Errors as Client::send(); unavailable: refused, with the
// server's words. The server must not speak first. The call bounds the asking only.
io::Task<Result<std::unique_ptr<io::Stream>>> upgrade(io::World& world, ClientRequest request,
                                                      std::string protocol, io::Call call);

}  // namespace om::http
