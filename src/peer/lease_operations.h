// The operations under a lease, for the node that holds it.
#pragma once

#include <string>

#include "peer/line_stream.h"
#include "scheduler/scheduler.h"

namespace om::peer {

// Each writes its result to `out`, or returns the error to tell. On the io thread.
io::Task<Result<void>> embed(scheduler::Lease& lease, std::string body, LineStream& out,
                             io::Call call);
io::Task<Result<void>> tokenize(scheduler::Lease& lease, std::string body, LineStream& out,
                                io::Call call);
io::Task<Result<void>> detokenize(scheduler::Lease& lease, std::string body, LineStream& out,
                                  io::Call call);
// Returns when the part has ended, with an error that tells so.
io::Task<Result<void>> watch(io::Clock& clock, engine::Engine& engine, io::Call call);
// Joins the connection to the part's process until either ends.
io::Task<Result<void>> tunnel(io::World& world, engine::Engine& engine,
                              http::ResponseWriter& response, io::Call call);

}  // namespace om::peer
