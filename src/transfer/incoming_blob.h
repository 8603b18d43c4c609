// A blob on its way into the store, whatever its source; its verified chunks can already be passed
// on to other nodes.
#pragma once

#include <map>
#include <memory>

#include "io/event.h"
#include "store/store.h"
#include "transfer/chunk_list.h"

namespace om::transfer {

inline constexpr uint64_t kSyncBytes = 4ull << 20;  // Received, then made durable.
inline constexpr uint64_t kUnsyncedMax = 8ull << 20;
inline constexpr size_t kBlocksPerChunk = kChunkBytes / store::PartialBlob::kBlockBytes;

// Blocks are written in any order. A chunk whose blocks are all there is hashed, then counts as
// verified and is offered to other nodes. At most kUnsyncedMax bytes are not durable at a time; the
// other blocks and the digests of verified chunks survive a crash. Shared by the code that receives
// the blob and the code that serves it; on the io thread.
class IncomingBlob {
 public:
  // The errors of Store::open_partial().
  static io::Task<Result<std::shared_ptr<IncomingBlob>>> open(io::World& world, store::Store& store,
                                                              Digest digest, uint64_t size);
  IncomingBlob(io::World& world, io::Path list_path, Digest digest,
               std::unique_ptr<store::PartialBlob> blob);

  const Digest& digest() const { return digest_; }
  uint64_t size() const { return chunks_.size(); }
  uint64_t bytes_present() const { return over_ ? 0 : blob_->bytes_present(); }
  size_t block_count() const;
  bool has_block(size_t block) const { return !over_ && blob_->has_block(block); }
  uint64_t block_bytes(size_t block) const;
  size_t chunk_count() const { return chunks_.count(); }
  bool chunk_is_filled(size_t chunk) const;  // All its blocks are there.
  bool chunk_is_verified(size_t chunk) const { return chunks_.digest(chunk).has_value(); }
  const ChunkList& chunks() const { return chunks_; }
  const io::Path& path() const { return path_; }  // Of the bytes, until is_over().
  io::Event& changed() { return changed_; }       // A chunk was verified or not, or is_over().
  bool is_over() const { return over_; }  // finish() or close() has run: nothing works any more.
  bool is_syncing() const { return syncing_; }

  io::Task<Result<void>> write_block(size_t block, std::string data, io::Call call);
  // Hashes a filled chunk. corrupt: it is not `expected`. io_failed: it cannot be read. After an
  // error its blocks are missing again.
  io::Task<Result<void>> verify_chunk(size_t chunk, std::optional<Digest> expected);
  // Verifies all filled chunks that are not verified yet: a crash may have lost their digests.
  io::Task<Result<void>> verify_filled();
  io::Task<Result<void>> sync();
  // Puts the complete blob into the store. corrupt: the bytes do not have its digest; all is
  // removed.
  io::Task<Result<void>> finish();
  // Ends its use; its blocks are kept for the next time.
  io::Task<Result<void>> close();

 private:
  io::Task<Result<void>> save(io::Call call);
  void load_list();
  io::Task<Result<void>> save_list();
  void end();

  static constexpr size_t kListEvery = 16;  // Verified chunks between two writes of their list.

  io::World& world_;
  io::Path path_, list_path_;
  Digest digest_;
  std::unique_ptr<store::PartialBlob> blob_;
  ChunkList chunks_;
  std::vector<bool> hashing_;
  uint64_t unsynced_ = 0;
  size_t listed_ = 0;  // Chunks in the list on disk.
  bool syncing_ = false, saving_list_ = false, over_ = false;
  io::Event synced_, changed_;
};

// The blobs under way on this node, by digest. Holds none of them alive.
class IncomingTable {
 public:
  void add(const std::shared_ptr<IncomingBlob>& blob);
  std::shared_ptr<IncomingBlob> find(const Digest& digest) const;  // Null: none is under way.

 private:
  std::map<Digest, std::weak_ptr<IncomingBlob>> blobs_;
};

io::Path chunk_list_path(const store::Store& store, const Digest& digest);

}  // namespace om::transfer
