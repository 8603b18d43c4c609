// Says plainly that a disk is full, and keeps it from getting so.
#pragma once

#include <atomic>
#include <memory>

#include "io/filesystem.h"

namespace om::store {

// "1.5 GB", "720 MB", as people read sizes (powers of ten, like Ollama).
std::string human_bytes(uint64_t bytes);

// What models leave free on their disk, for all that is small and must not fail: manifests, the
// files of the cluster and its etcd mostly lie there, too.
uint64_t kept_free(const io::Space& space);

// io_failed "not enough disk space in DIR: 4.1 GB needed, 720 MB free" if `needed` does not fit
// beside what is kept free. `promised`: what others will still take of the room.
Result<void> require_space(io::Filesystem& files, const io::Path& directory, uint64_t needed,
                           uint64_t promised = 0);

inline constexpr uint64_t kLookAgainBytes = 16 << 20;

// Of who writes already, to be asked each kLookAgainBytes: io_failed with the same text as soon as
// less is left than is kept free.
Result<void> require_reserve(io::Filesystem& files, const io::Path& directory, uint64_t needed);

// The room that one download has yet to take, so that two are not promised the same. It is made,
// and `total` compared with the disk, under lock_store(); from there on any thread may lower it.
class Promise {
 public:
  using Total = std::shared_ptr<std::atomic<uint64_t>>;
  Promise() = default;
  Promise(Total total, uint64_t bytes) : total_(std::move(total)), bytes_(bytes) {
    *total_ += bytes_;
  }
  Promise(Promise&& other) noexcept { *this = std::move(other); }
  Promise& operator=(Promise&& other) noexcept {
    std::swap(total_, other.total_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Promise() {
    if (total_) *total_ -= bytes_;
  }
  void lower(uint64_t bytes) {
    const uint64_t less = std::min(bytes, bytes_);
    bytes_ -= less;
    *total_ -= less;
  }

 private:
  Total total_;
  uint64_t bytes_ = 0;
};

// The same text if a write failed with so little space left, else the error as it is.
Error explain_write_error(io::Filesystem& files, const io::Path& directory, Error error,
                          uint64_t needed);

}  // namespace om::store
