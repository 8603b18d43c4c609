// Reads the blobs of this node again, slowly, to find those that have rotted before they are
// needed.
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
  // Where it is remembered how far a pass came and when the last one was done, so that a machine
  // that is switched off each night is read whole, too. Empty: each start begins anew.
  io::Path state_file = {};
};

// A blob that is not what its digest says or cannot be read to its end, tried twice, is put aside
// (Store::quarantine_blob): it is neither loaded nor offered any more, and `on_rotten` may get it
// again from elsewhere. On the io thread; the reading and hashing on the workers.
class Scrubber {
 public:
  using OnRotten = std::function<void(const Digest&)>;
  Scrubber(io::World& world, store::Store& store, ScrubOptions options, OnRotten on_rotten);

  // Passes one after the other, `between_passes` from the end of one to the next, by the wall's
  // clock: the time in which the machine was off counts. None begins with the node.
  void start();
  io::Task<void> stop();

  // One pass, or what is left of one; the number of blobs put aside. Ends with the token.
  io::Task<Result<size_t>> pass(io::CancelToken cancel);
  // Somebody doubts this blob: it is read soon, but not if it was less than kDoubtRest ago.
  void suspect(const Digest& digest);

 private:
  struct Progress {
    int64_t done = 0;  // Seconds since 1970; when the last pass ended, or the first one was due.
    std::optional<Digest> after;  // All up to it were examined in the pass that is under way.
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
  io::TimePoint saved_{};                      // When progress_ was.
  std::map<Digest, io::TimePoint> suspected_;  // When last.
  Bandwidth bandwidth_;
  io::TaskGroup tasks_;
};

}  // namespace om::transfer
