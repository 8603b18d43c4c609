// A blob in chunks of 16 MiB, each with its own SHA-256: so nodes can pass on parts of a blob that
// they are still receiving, and a bad part is noticed when it arrives. Pure values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/digest.h"

namespace om::transfer {

inline constexpr uint64_t kChunkBytes = 16ull << 20;
inline constexpr size_t kChunksMax = 1 << 16;           // 1 TiB: larger blobs come from registries.
inline constexpr size_t kChunksPerOfferMax = 8 * 1024;  // Told in one reply.
inline constexpr uint64_t kOfferBytesMax = 1 << 20;     // Of that reply.

inline size_t chunks_of(uint64_t size) {
  return static_cast<size_t>((size + kChunkBytes - 1) / kChunkBytes);
}
inline uint64_t chunk_length(uint64_t size, size_t chunk) {
  return std::min(kChunkBytes, size - chunk * kChunkBytes);
}

// The known digests of a blob's chunks, in the order they became known. None is ever taken back: a
// node that knows the first n needs only the rest.
class ChunkList {
 public:
  explicit ChunkList(uint64_t size) : size_(size), digests_(chunks_of(size)) {}

  uint64_t size() const { return size_; }
  size_t count() const { return digests_.size(); }
  size_t known() const { return order_.size(); }
  bool complete() const { return known() == count(); }
  const std::optional<Digest>& digest(size_t chunk) const { return digests_[chunk]; }
  const std::vector<uint32_t>& order() const { return order_; }
  void set(size_t chunk, const Digest& digest);  // Once for each chunk.

  std::string to_text() const;  // For a file; parse() takes it back.
  // corrupt: not of a blob of this size, or damaged.
  static Result<ChunkList> parse(std::string_view text, uint64_t size);

 private:
  uint64_t size_;
  std::vector<std::optional<Digest>> digests_;
  std::vector<uint32_t> order_;
};

// What a node tells another of a blob that it has or is receiving: its known chunks but the first
// `after` ones. Over the wire as JSON:
// {"size":40000000,"whole":true,"known":3,"chunks":[[0,"<hex>"],[1,"<hex>"],[2,"<hex>"]]}
struct Offer {
  uint64_t size = 0;
  bool whole = false;  // It has all of the blob; `chunks` may still lack some digests.
  size_t known = 0;    // `after` of the next question.
  std::vector<std::pair<uint32_t, Digest>> chunks;

  static Offer of(const ChunkList& list, size_t after, bool whole);
  std::string to_json() const;
  // corrupt: malformed, or chunks outside the blob.
  static Result<Offer> parse(std::string_view json);
};

}  // namespace om::transfer
