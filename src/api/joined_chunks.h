// Joins chunks that came in one read into one write.
#pragma once

#include <functional>
#include <string>

#include "generation/generation.h"

namespace om::api {

// Appends the text that a client gets for `chunk`; perhaps nothing.
using WriteChunk = std::function<void(std::string& out, const model::Chunk& chunk)>;

// Appends `chunk` and the chunks that `answer` has ready, until `out` has some 32 KiB; sets `chunk`
// to the last of them. Returns the error that ended the answer after that chunk.
Result<void> join_ready(generation::Answer& answer, model::Chunk& chunk, std::string& out,
                        const WriteChunk& write);

}  // namespace om::api
