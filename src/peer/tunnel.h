// The far end of a tunnel: joins a connection from another node with a process of this node.
#pragma once

#include <string_view>

#include "http/server.h"
#include "io/world.h"

namespace om::peer {

// Connects to `at`, answers with an upgrade to `protocol`, and joins the two until either ends or
// the call is cancelled; its deadline does not matter. Errors: the process cannot be reached, or
// the other node is gone.
io::Task<Result<void>> tunnel_to(io::World& world, io::Endpoint at, std::string_view protocol,
                                 http::ResponseWriter& response, io::Call call);

}  // namespace om::peer
