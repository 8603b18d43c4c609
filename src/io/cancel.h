// Cancellation that is a state, not an event: a token asked after the fact still says cancelled.
// One thread (the io thread) only.
#pragma once

#include <functional>
#include <list>
#include <memory>

#include "base/memory/frame_pool.h"

namespace om::io {

namespace detail {
// Every request and wait registers here: the memory comes from the thread's pool.
struct CancelState {
  using Callbacks = std::list<std::function<void()>*, FrameAllocator<std::function<void()>*>>;
  bool cancelled = false;
  Callbacks callbacks;
};
}  // namespace detail

// Asks whether the work is still wanted. A default-made token never cancels.
class CancelToken {
 public:
  CancelToken() = default;
  bool cancelled() const { return state_ && state_->cancelled; }

 private:
  friend class CancelSource;
  friend class OnCancel;
  explicit CancelToken(std::shared_ptr<detail::CancelState> state) : state_(std::move(state)) {}
  std::shared_ptr<detail::CancelState> state_;
};

// Owns the decision. cancel() runs the registered callbacks once, in order, before it returns.
// Destroying a source does not cancel.
class CancelSource {
 public:
  CancelSource()
      : state_(std::allocate_shared<detail::CancelState>(FrameAllocator<detail::CancelState>())) {}
  CancelToken token() const { return CancelToken(state_); }
  bool cancelled() const { return state_->cancelled; }
  void cancel();

 private:
  std::shared_ptr<detail::CancelState> state_;
};

// Runs `callback` when the token is cancelled, at once if it already is; never after this object
// is destroyed. The callback must not destroy this object.
class OnCancel {
 public:
  OnCancel(const CancelToken& token, std::function<void()> callback);
  ~OnCancel();
  OnCancel(const OnCancel&) = delete;
  OnCancel& operator=(const OnCancel&) = delete;

 private:
  std::shared_ptr<detail::CancelState> state_;
  std::function<void()> callback_;
  detail::CancelState::Callbacks::iterator position_;
};

}  // namespace om::io
