#include "io/real/clock.h"

namespace om::io {

TimePoint RealClock::now() const { return std::chrono::steady_clock::now(); }
WallTime RealClock::wall_now() const { return std::chrono::system_clock::now(); }

Clock::TimerId RealClock::start_timer(TimePoint when, std::function<void()> callback) {
  const TimerId id = ++last_id_;
  waiting_.emplace(std::pair(when, id), std::move(callback));
  when_.emplace(id, when);
  arm();
  return id;
}

void RealClock::cancel_timer(TimerId id) {
  const auto found = when_.find(id);
  if (found == when_.end()) return;
  waiting_.erase(std::pair(found->second, id));
  when_.erase(found);
  if (waiting_.empty()) {
    armed_ = kNever;
    timer_.cancel();
  }
}

void RealClock::arm() {
  if (waiting_.empty()) return;
  const TimePoint first = waiting_.begin()->first.first;
  if (first >= armed_) return;  // An early wake-up finds nothing due and arms again.
  armed_ = first;
  timer_.expires_at(std::chrono::time_point_cast<std::chrono::steady_clock::duration>(first));
  timer_.async_wait([this](boost::system::error_code error) {
    if (!error) fire();
  });
}

void RealClock::fire() {
  armed_ = kNever;
  const TimePoint due = now();
  while (!waiting_.empty() && waiting_.begin()->first.first <= due) {
    auto node = waiting_.extract(waiting_.begin());
    when_.erase(node.key().second);
    node.mapped()();
  }
  arm();
}

}  // namespace om::io
