#include "api/joined_chunks.h"

namespace om::api {
namespace {

constexpr size_t kJoinedBytesMax = 32 * 1024;

}  // namespace

Result<void> join_ready(generation::Answer& answer, model::Chunk& chunk, std::string& out,
                        const WriteChunk& write) {
  write(out, chunk);
  while (!chunk.done && out.size() < kJoinedBytesMax) {
    std::optional<Result<model::Chunk>> more = answer.ready();
    if (!more) break;
    if (!*more) return fail(std::move(*more).error());
    chunk = std::move(**more);
    write(out, chunk);
  }
  return {};
}

}  // namespace om::api
