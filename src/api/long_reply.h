// Replies with so many numbers that writing them would block the io thread for long.
#pragma once

#include <functional>
#include <string>

#include "io/world.h"
#include "model/chat.h"

namespace om::api {

// Returns write()'s text for `embedding`; if that is long, a worker runs it. What `write` refers to
// must live until then and not change.
io::Task<std::string> write_reply(io::World& world, const model::Embedding& embedding,
                                  std::function<std::string()> write);

}  // namespace om::api
