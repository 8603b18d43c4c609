// Time as an interface, so that a simulation can own it.
#pragma once

#include <functional>

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
};

}  // namespace om::io
