// Hosts that lead to the machine that asks.
#pragma once

#include <string_view>

namespace om::io {

// `host`: a numeric address without brackets, or a name in lower case. Other names may lead there,
// too.
bool is_loopback(std::string_view host);

}  // namespace om::io
