// A cap on bytes a second: a token bucket shared by all users.
#pragma once

#include "base/measured_rate.h"
#include "io/clock.h"

namespace om::transfer {

// take() waits until `bytes` may pass. Waiting users are served in the order they came, so that the
// cap holds for all together; take little at a time, so that nobody waits long. On the io thread;
// outlives its users.
class Bandwidth {
 public:
  // 0: no limit.
  Bandwidth(io::Clock& clock, uint64_t bytes_per_second)
      : clock_(clock), rate_(bytes_per_second), free_at_(clock.now()) {}

  void set_rate(uint64_t bytes_per_second) { rate_ = bytes_per_second; }  // For tests.
  uint64_t rate() const { return rate_; }
  // cancelled, deadline_exceeded: nothing was taken.
  io::Task<Result<void>> take(uint64_t bytes, io::Call call);

  // How fast whole blobs come, for load reports; measured() is 0 until one has come.
  void note_blob(uint64_t bytes, io::Duration took) {
    measured_.add(static_cast<double>(bytes), took);
  }
  double measured() const { return measured_.per_second(); }

 private:
  static constexpr std::chrono::milliseconds kBurst{100};  // Unused time that may be used later.

  io::Clock& clock_;
  uint64_t rate_;
  MeasuredRate measured_{1 << 20};
  io::TimePoint free_at_;  // When all bytes granted so far have passed.
};

}  // namespace om::transfer
