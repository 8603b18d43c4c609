// The chunk digests of blobs that are whole in the store.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <optional>

#include "io/event.h"
#include "io/task_group.h"
#include "store/store.h"
#include "transfer/chunk_list.h"

namespace om::transfer {

// Remembers the lists made when a blob arrived. Reads other blobs once, on the workers, and tells
// of each chunk as soon as it is hashed; the whole is hashed as well, so that a rotten blob is not
// given out as sound. Reads one blob at a time. On the io thread.
class ChunkLists {
 public:
  struct Entry {
    Entry(io::Clock& clock, Digest of, uint64_t size) : digest(of), list(size), changed(clock) {}
    Digest digest;
    ChunkList list;  // Grows until it is complete.
    // Since when the blob is not what its digest says, or cannot be read. A file with the same time
    // of change is not read again for a while, however often it is asked for.
    std::optional<io::TimePoint> bad_since;
    io::WallTime modified{};
    io::Event changed;  // A chunk more, or bad.
  };
  // Called with a blob whose bytes are wrong, here or as another node says.
  using OnDoubt = std::function<void(const Digest&)>;

  ChunkLists(io::World& world, store::Store& store, OnDoubt on_doubt);

  // A worker checks each time whether the blob is still there. not_found: it is not whole in the
  // store.
  io::Task<Result<std::shared_ptr<Entry>>> find(Digest digest);
  // Forgets a blob's list, since the blob was replaced or found wrong.
  void forget(const Digest& digest);
  // Another node got wrong bytes of it.
  void doubt(const Digest& digest);
  io::Task<void> stop();

 private:
  static constexpr size_t kEntriesMax = 64;

  io::Task<void> fill(std::shared_ptr<Entry> entry);
  io::Task<Result<void>> read_blob(Entry& entry);
  std::shared_ptr<Entry> known_entry(const Digest& digest, const io::FileInfo& file);
  // The list that was kept when the blob arrived; nullopt: none fits.
  io::Task<std::optional<ChunkList>> load(Digest digest, uint64_t size);

  io::World& world_;
  store::Store& store_;
  OnDoubt on_doubt_;
  std::list<std::shared_ptr<Entry>> entries_;  // The last asked first.
  bool reading_ = false;
  io::Event turn_;
  io::TaskGroup tasks_;
};

}  // namespace om::transfer
