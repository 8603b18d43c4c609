// Reads the blobs of this node again, slowly, to find those that have rotted before they are
// needed.
#pragma once

#include <functional>
#include <map>

#include "io/event.h"
#include "io/task_group.h"
#include "store/store.h"
#include "transfer/bandwidth.h"

namespace om::transfer {

inline constexpr std::chrono::minutes kDoubtRest{10};
inline constexpr size_t kDoubtsMax = 64;  // Remembered; further ones wait for the next pass.

struct ScrubOptions {
  uint64_t bytes_per_second = 20 << 20;
  io::Duration between_passes = std::chrono::hours(24);
};

// A blob that is not what its digest says or cannot be read to its end, tried twice, is put aside
// (Store::quarantine_blob): it is neither loaded nor offered any more, and `on_rotten` may get it
// again from elsewhere. On the io thread; the reading and hashing on the workers.
class Scrubber {
 public:
  using OnRotten = std::function<void(const Digest&)>;
  Scrubber(io::World& world, store::Store& store, ScrubOptions options, OnRotten on_rotten);

  void start();  // Passes one after the other; the first after `between_passes`.
  io::Task<void> stop();

  // One pass; the number of blobs put aside. Ends with the token.
  io::Task<Result<size_t>> pass(io::CancelToken cancel);
  // Somebody doubts this blob: it is read soon, but not if it was less than kDoubtRest ago.
  void suspect(const Digest& digest);

 private:
  io::Task<void> run();
  io::Task<void> look_at(Digest digest);
  // True: it was put aside.
  io::Task<Result<bool>> examine(Digest digest, io::CancelToken cancel);
  io::Task<Result<bool>> is_sound(Digest digest, io::CancelToken cancel);

  io::World& world_;
  store::Store& store_;
  ScrubOptions options_;
  OnRotten on_rotten_;
  std::map<Digest, io::TimePoint> suspected_;  // When last.
  Bandwidth bandwidth_;
  io::TaskGroup tasks_;
};

}  // namespace om::transfer
