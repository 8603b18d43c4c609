// Time as an interface, so that a simulation can own it.
#pragma once

#include <algorithm>
#include <functional>
#include <utility>

#include "io/task.h"

namespace om::io {

// Used from the io thread. now() is monotonic and drives every deadline; wall_now() is for people
// and protocols only.
class Clock {
 public:
  using TimerId = uint64_t;  // 0 is never given out.

  virtual ~Clock() = default;
  virtual TimePoint now() const = 0;
  virtual WallTime wall_now() const = 0;

  // Runs `callback` on the io thread at or after `when`, once. cancel_timer() of a timer that has
  // run already does nothing.
  virtual TimerId start_timer(TimePoint when, std::function<void()> callback) = 0;
  virtual void cancel_timer(TimerId id) = 0;

  // ok: the time came. cancelled: the call's token was cancelled first. deadline_exceeded: the
  // call's deadline came first.
  Task<Result<void>> sleep_for(Duration duration, Call call = {});
  Task<Result<void>> sleep_until(TimePoint when, Call call = {});

  Call call_within(Duration duration, CancelToken cancel = {}) const {
    return Call{now() + duration, std::move(cancel)};
  }
  // `call`, but for no longer than `most`.
  Call call_within(Duration most, Call call) const {
    call.deadline = std::min(call.deadline, now() + most);
    return call;
  }
};

// Asks `is_done` now and every `interval`, until it says yes or `call` ends: what it says last.
template <class Condition>
Task<bool> wait_until(Clock& clock, Condition is_done, Duration interval, Call call) {
  while (!is_done()) {
    if (!co_await clock.sleep_for(interval, call)) co_return is_done();
  }
  co_return true;
}

}  // namespace om::io
