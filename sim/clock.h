// Virtual time: it stands still while anything can run, then jumps to the next timer.
#pragma once

#include <map>

#include "io/clock.h"

namespace om::sim {

class SimClock final : public io::Clock {
 public:
  io::TimePoint now() const override { return now_; }
  io::WallTime wall_now() const override;
  TimerId start_timer(io::TimePoint when, std::function<void()> callback) override;
  void cancel_timer(TimerId id) override;

  bool has_timers() const { return !timers_.empty(); }
  void jump();  // To the earliest timer, which runs. There must be one.

 private:
  io::TimePoint now_{std::chrono::hours(1)};
  TimerId last_id_ = 0;
  std::map<std::pair<io::TimePoint, TimerId>, std::function<void()>> timers_;
  std::map<TimerId, io::TimePoint> when_;
};

}  // namespace om::sim
