// What can be done under a lease, written to the node that holds it.
#pragma once

#include <string>

#include "engine/engine.h"
#include "peer/line_stream.h"

namespace om::peer {

// Each writes its result, or returns the error to be told. On the io thread.
io::Task<Result<void>> complete(engine::Engine& engine, std::string body, LineStream& out,
                                io::Call call);
io::Task<Result<void>> embed(engine::Engine& engine, std::string body, LineStream& out,
                             io::Call call);
io::Task<Result<void>> tokenize(engine::Engine& engine, std::string body, LineStream& out,
                                io::Call call);
io::Task<Result<void>> detokenize(engine::Engine& engine, std::string body, LineStream& out,
                                  io::Call call);

}  // namespace om::peer
