#include "engine/external/silence_limit.h"

namespace om::engine {
namespace {

constexpr std::chrono::seconds kLookInterval{1};

}  // namespace

SilenceLimit::SilenceLimit(io::Clock& clock, const io::CancelToken& caller,
                           std::shared_ptr<const BackendHealth> health)
    : clock_(clock), health_(std::move(health)), on_caller_(caller, [this] { cancel_.cancel(); }) {
  arm();
}

SilenceLimit::~SilenceLimit() { clock_.cancel_timer(timer_); }

void SilenceLimit::heard(bool brought_output) {
  silence_ = {};
  begun_ |= brought_output;
}

void SilenceLimit::arm() {
  looked_ = clock_.now();
  timer_ = clock_.start_timer(looked_ + kLookInterval, [this] { look(); });
}

void SilenceLimit::look() {
  // A node that was frozen or suspended in between blames nobody for that.
  const io::Duration passed = std::min<io::Duration>(clock_.now() - looked_, 2 * kLookInterval);
  if (waiting_) silence_ += passed;
  io::Duration limit = begun_ ? io::Duration(kNextMax) : io::Duration(kFirstMax);
  if (health_->lost()) limit = kLostMax;
  arm();
  if (!waiting_ || silence_ <= limit) return;
  passed_ = true;
  cancel_.cancel();  // May destroy this.
}

}  // namespace om::engine
