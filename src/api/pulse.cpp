#include "api/pulse.h"

namespace om::api {

Pulse::Pulse(io::World& world, Context& context, Beat beat)
    : world_(world),
      context_(context),
      beat_(std::move(beat)),
      due_(world.clock.now() + kFirst),
      signs_(world.executor, world.clock) {
  if (beat_) arm(due_);
}

Pulse::~Pulse() { world_.clock.cancel_timer(timer_); }

void Pulse::begin() {
  waiting_ = true;
  if (context_.response.started()) due_ = world_.clock.now() + kInterval;
}

void Pulse::arm(io::TimePoint when) {
  timer_ = world_.clock.start_timer(when, [this] { look(); });
}

// One timer runs through the whole stream: to set one for each chunk would cost more than it does.
void Pulse::look() {
  const io::TimePoint now = world_.clock.now();
  if (waiting_ && now < due_) return arm(due_);
  arm(now + kInterval);
  if (waiting_ && signs_.size() == 0 && !failed_) signs_.spawn(send());
}

io::Task<void> Pulse::send() {
  if (!waiting_) co_return;  // The work has ended since.
  Result<void> sent = co_await beat_();
  due_ = world_.clock.now() + kInterval;
  if (!sent) failed_ = std::move(sent).error();
}

}  // namespace om::api
