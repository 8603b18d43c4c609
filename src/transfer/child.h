// Runs a child program to its end.
#pragma once

#include <functional>
#include <string>

#include "io/world.h"

namespace om::transfer {

// Called for each line of output; an error ends the child.
using LineSink = std::function<io::Task<Result<void>>(std::string)>;

// internal "<program> failed (exit status 1): <its last lines>". cancelled, deadline_exceeded: the
// child was killed. not_found: there is no such program. An empty `lines` drops the output.
io::Task<Result<void>> run_child(io::World& world, io::SpawnOptions options, LineSink lines,
                                 io::Call call);

}  // namespace om::transfer
