#include "store/hash_file.h"

namespace om::store {
namespace {

constexpr size_t kPieceBytes = 16 << 20;
constexpr size_t kReadBytes = 1 << 20;

// Hashes up to kPieceBytes from `offset`; the number of bytes read.
Result<uint64_t> hash_piece(io::File& file, uint64_t offset, Hasher& hasher) {
  std::string buffer(kReadBytes, '\0');
  uint64_t done = 0;
  while (done < kPieceBytes) {
    TRY(const size_t count, file.read_at(offset + done, buffer));
    if (count == 0) break;
    hasher.update(std::string_view(buffer.data(), count));
    done += count;
  }
  return done;
}

}  // namespace

io::Task<Result<Digest>> hash_file(io::World& world, io::Path path) {
  CO_TRY(auto file, world.files.open(path, io::Filesystem::Open::read));
  co_return co_await hash_open_file(world, *file);
}

io::Task<Result<Digest>> hash_open_file(io::World& world, io::File& file) {
  Hasher hasher;
  for (uint64_t offset = 0;;) {
    // One piece a job: other work gets its turn between two of them.
    auto job = [&file, &hasher, offset] { return hash_piece(file, offset, hasher); };
    CO_TRY(const uint64_t count, co_await world.workers.run(std::move(job)));
    if (count == 0) break;
    offset += count;
  }
  co_return hasher.finish();
}

}  // namespace om::store
