#include "sim/clock.h"

#include "base/check.h"

namespace om::sim {

io::WallTime SimClock::wall_now() const {
  // An arbitrary day; what matters is that two runs of one seed see the same.
  return io::WallTime(std::chrono::seconds(1'780'000'000)) + now_.time_since_epoch();
}

io::Clock::TimerId SimClock::start_timer(io::TimePoint when, std::function<void()> callback) {
  const TimerId id = ++last_id_;
  timers_.emplace(std::pair(when, id), std::move(callback));
  when_.emplace(id, when);
  return id;
}

void SimClock::cancel_timer(TimerId id) {
  const auto found = when_.find(id);
  if (found == when_.end()) return;
  timers_.erase(std::pair(found->second, id));
  when_.erase(found);
}

void SimClock::jump() {
  CHECK(!timers_.empty());
  auto timer = timers_.extract(timers_.begin());
  now_ = std::max(now_, timer.key().first);
  when_.erase(timer.key().second);
  timer.mapped()();
}

}  // namespace om::sim
