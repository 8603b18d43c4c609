// Reads the blobs of this node again, slowly, to find rotten ones before they are needed.
#pragma once

#include <functional>
#include <map>
#include <optional>

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
  // Holds how far a pass came and when the last one ended, so that a machine that is switched off
  // each night is read whole, too. Empty: each start begins anew.
  io::Path state_file = {};
};

// A blob that twice does not have its digest, or cannot be read to its end, is put aside
// (Store::quarantine_blob): it is not loaded or offered any more, and `on_rotten` may fetch it
// again. On the io thread; reads and hashes on the workers.
class Scrubber {
 public:
  using OnRotten = std::function<void(const Digest&)>;
  Scrubber(io::World& world, store::Store& store, ScrubOptions options, OnRotten on_rotten);

  // Runs passes, each `between_passes` after the end of the last one, by wall time: time while the
  // machine was off counts. No pass begins just because the node starts.
  void start();
  io::Task<void> stop();

  // Runs one pass, or the rest of one; returns the number of blobs put aside.
  io::Task<Result<size_t>> pass(io::CancelToken cancel);
  // Another node doubts this blob: it is read soon, unless it was doubted within kDoubtRest.
  void suspect(const Digest& digest);

 private:
  struct Progress {
    int64_t done = 0;  // Seconds since 1970; when the last pass ended, or the first one was due.
    std::optional<Digest> after;  // The last blob that the running pass has examined.
  };

  io::Task<void> run();
  io::Duration time_to_next_pass() const;
  io::Task<void> load_progress();
  io::Task<void> save_progress();
  io::Task<void> look_at(Digest digest);
  // True: it was put aside.
  io::Task<Result<bool>> examine(Digest digest, io::CancelToken cancel);
  io::Task<Result<bool>> is_sound(Digest digest, io::CancelToken cancel);

  io::World& world_;
  store::Store& store_;
  ScrubOptions options_;
  OnRotten on_rotten_;
  Progress progress_;
  io::TimePoint saved_{};                      // When progress_ was saved.
  std::map<Digest, io::TimePoint> suspected_;  // When each was last doubted.
  Bandwidth bandwidth_;
  io::TaskGroup tasks_;
};

}  // namespace om::transfer
