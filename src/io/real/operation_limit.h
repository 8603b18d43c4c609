// Deadlines and cancellation for operations of Asio that know neither.
#pragma once

#include <functional>
#include <string>

#include "io/clock.h"

namespace om::io {

// Ends one pending operation when its call is over, and tells which way.
class OperationLimit {
 public:
  OperationLimit(Clock& clock, const Call& call, std::function<void()> end)
      : clock_(clock), end_(std::move(end)), on_cancel_(call.cancel, [this] { over(true); }) {
    if (call.deadline == kNever || ended_) return;
    timer_ = clock_.start_timer(call.deadline, [this] {
      timer_ = 0;
      over(false);
    });
  }
  ~OperationLimit() {
    if (timer_ != 0) clock_.cancel_timer(timer_);
  }
  Error explain(Errc otherwise, std::string what) const {
    if (!ended_) return {otherwise, std::move(what)};
    return {cancelled_ ? Errc::cancelled : Errc::deadline_exceeded,
            what + (cancelled_ ? " (cancelled)" : " (timed out)")};
  }
  bool ended() const { return ended_; }

 private:
  void over(bool cancelled) {
    ended_ = true;
    cancelled_ = cancelled;
    end_();
  }
  Clock& clock_;
  bool ended_ = false, cancelled_ = false;
  std::function<void()> end_;
  Clock::TimerId timer_ = 0;
  OnCancel on_cancel_;
};

}  // namespace om::io
