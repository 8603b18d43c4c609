// Replies of so many numbers that the io thread would write them for long.
#pragma once

#include <functional>
#include <string>

#include "io/world.h"
#include "model/chat.h"

namespace om::api {

// What `write` makes of `embedding`; a worker runs it if that is long, since all streams of the
// node would wait. What `write` refers to lives until then and does not change.
io::Task<std::string> write_reply(io::World& world, const model::Embedding& embedding,
                                  std::function<std::string()> write);

}  // namespace om::api
