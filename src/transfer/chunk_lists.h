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

// Remembers the lists made when a blob arrived; for other blobs it reads them once, on the workers,
// and tells of each chunk as soon as it was hashed. That reading also hashes the whole: a blob that
// has rotted is not given out as sound. One blob is read at a time. On the io thread.
class ChunkLists {
 public:
  struct Entry {
    Entry(io::Clock& clock, Digest of, uint64_t size) : digest(of), list(size), changed(clock) {}
    Digest digest;
    ChunkList list;  // Grows until it is complete.
    // Since when the blob is not what its digest says, or cannot be read. This file of it, which
    // was last changed then, is not read again for a while, however many ask.
    std::optional<io::TimePoint> bad_since;
    io::WallTime modified{};
    io::Event changed;  // A chunk more, or bad.
  };
  // Called with a blob whose bytes are wrong, or are said to be.
  using OnDoubt = std::function<void(const Digest&)>;

  ChunkLists(io::World& world, store::Store& store, OnDoubt on_doubt);

  // Each time it is looked, by a worker, whether the blob is still there. not_found: it is not
  // whole in the store.
  io::Task<Result<std::shared_ptr<Entry>>> find(Digest digest);
  // The blob has been replaced or found wrong: what is known of it is forgotten.
  void forget(const Digest& digest);
  // Another node got wrong bytes of it.
  void doubt(const Digest& digest);
  io::Task<void> stop();

 private:
  static constexpr size_t kEntriesMax = 64;

  io::Task<void> fill(std::shared_ptr<Entry> entry);
  io::Task<Result<void>> read_blob(Entry& entry);
  std::shared_ptr<Entry> known_entry(const Digest& digest, const io::FileInfo& file);
  // As it was kept when the blob arrived. Nothing: there is none that fits.
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
