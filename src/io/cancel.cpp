#include "io/cancel.h"

namespace om::io {

void CancelSource::cancel() {
  if (state_->cancelled) return;
  state_->cancelled = true;
  auto keep = state_;  // A callback may destroy this source.
  while (!keep->callbacks.empty()) {
    // Taken off the list first: the callback may end work whose OnCancel is then destroyed.
    auto* callback = keep->callbacks.front();
    keep->callbacks.pop_front();
    auto run = std::move(*callback);
    *callback = nullptr;
    if (run) run();
  }
}

OnCancel::OnCancel(const CancelToken& token, std::function<void()> callback)
    : state_(token.state_), callback_(std::move(callback)) {
  if (!state_) return;
  if (state_->cancelled) {
    auto run = std::move(callback_);
    callback_ = nullptr;
    run();
    return;
  }
  position_ = state_->callbacks.insert(state_->callbacks.end(), &callback_);
}

OnCancel::~OnCancel() {
  // A callback that is null has left the list already.
  if (state_ && callback_) state_->callbacks.erase(position_);
}

}  // namespace om::io
