// The system's clocks and one Asio timer for all timers of the program.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>

#include "io/clock.h"

namespace om::io {

class RealClock final : public Clock {
 public:
  explicit RealClock(boost::asio::io_context& context) : timer_(context) {}

  TimePoint now() const override;
  WallTime wall_now() const override;
  TimerId start_timer(TimePoint when, std::function<void()> callback) override;
  void cancel_timer(TimerId id) override;

 private:
  void arm();
  void fire();

  boost::asio::steady_timer timer_;
  TimePoint armed_ = kNever;
  TimerId last_id_ = 0;
  std::map<std::pair<TimePoint, TimerId>, std::function<void()>> waiting_;
  std::unordered_map<TimerId, TimePoint> when_;
};

}  // namespace om::io
