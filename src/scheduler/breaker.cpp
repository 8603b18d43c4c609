#include "scheduler/breaker.h"

#include <algorithm>

namespace om::scheduler {

Breaker::State Breaker::state(io::TimePoint now) const {
  if (!open_) return State::closed;
  return now < until_ ? State::open : State::half_open;
}

double Breaker::share(io::TimePoint now) const {
  switch (state(now)) {
    case State::open:
      return 0;
    case State::half_open: {
      const bool trial_runs = trial_ != io::TimePoint{} && now - trial_ < kTrialMax;
      return trial_runs ? 0 : kFirstShare;
    }
    case State::closed: {
      if (closed_at_ == io::TimePoint{}) return 1;
      const double part = std::chrono::duration<double>(now - closed_at_) / kRamp;
      return std::clamp(kFirstShare + (1 - kFirstShare) * part, kFirstShare, 1.0);
    }
  }
  return 1;
}

void Breaker::sent(io::TimePoint now) {
  if (state(now) == State::half_open) trial_ = now;
}

void Breaker::answers(io::TimePoint now) {
  // An answer that began before the opening says nothing about now.
  if (state(now) != State::half_open || trial_ == io::TimePoint{}) return;
  open_ = false;
  trial_ = {};
  closed_at_ = now;
}

void Breaker::succeeded(io::TimePoint now) {
  failures_ = 0;
  answers(now);
  if (!open_ && now - closed_at_ > kPauseMax) openings_ = 0;
}

void Breaker::failed(io::TimePoint sent, io::TimePoint now) {
  if (sent < failed_at_) return;
  failed_at_ = now;
  failures_++;
  const bool trial_failed = state(now) == State::half_open;
  if (open_ && !trial_failed) return;
  if (!trial_failed && failures_ < kFailuresMax) return;
  open_ = true;
  trial_ = {};
  io::Duration pause = kPause;
  for (int i = 0; i < openings_ && pause < kPauseMax; i++) pause *= 2;
  openings_++;
  until_ = now + std::min<io::Duration>(pause, kPauseMax);
}

void Breaker::cancelled(io::TimePoint now) {
  if (state(now) == State::half_open) trial_ = {};
}

bool Breaker::is_idle(io::TimePoint now) const {
  return !open_ && failures_ == 0 && now - closed_at_ > kPauseMax;
}

size_t Breakers::KeyHash::operator()(const Key& key) const {
  return std::hash<uint64_t>()(key.model * 0x9e3779b97f4a7c15 + key.node * 2 + key.whole_node);
}

double Breakers::share(NodeNumber node, uint64_t model, io::TimePoint now) const {
  double share = 1;
  if (breakers_.empty()) return share;
  for (const Key& key : {Key{node, true, 0}, Key{node, false, model}}) {
    const auto found = breakers_.find(key);
    if (found != breakers_.end()) share = std::min(share, found->second.breaker.share(now));
  }
  return share;
}

io::TimePoint Breakers::failed_at(const Key& key) const {
  const auto found = breakers_.find(key);
  return found == breakers_.end() ? io::TimePoint{} : found->second.failed;
}

io::TimePoint Breakers::node_failed_at(NodeNumber node) const {
  return failed_at(Key{node, true, 0});
}

io::TimePoint Breakers::runner_failed_at(NodeNumber node, uint64_t model) const {
  return failed_at(Key{node, false, model});
}

void Breakers::fail(const Key& key, io::TimePoint sent, io::TimePoint now) {
  if (breakers_.size() >= kBreakersMax && !breakers_.contains(key)) {
    boost::unordered::erase_if(breakers_,
                               [&](const auto& item) { return item.second.breaker.is_idle(now); });
    if (breakers_.size() >= kBreakersMax) {
      const auto oldest = std::ranges::min_element(
          breakers_, {}, [](const auto& item) { return item.second.failed; });
      breakers_.erase(oldest->first);
    }
  }
  Watched& watched = breakers_[key];
  watched.failed = now;
  watched.breaker.failed(sent, now);
}

template <class Act>
void Breakers::for_both(NodeNumber node, uint64_t model, io::TimePoint now, Act act) {
  if (breakers_.empty()) return;
  for (const Key& key : {Key{node, true, 0}, Key{node, false, model}}) {
    const auto found = breakers_.find(key);
    if (found == breakers_.end()) continue;
    act(found->second.breaker);
    if (found->second.breaker.is_idle(now)) breakers_.erase(key);
  }
}

void Breakers::sent(NodeNumber node, uint64_t model, io::TimePoint now) {
  for_both(node, model, now, [&](Breaker& breaker) { breaker.sent(now); });
}

void Breakers::answers(NodeNumber node, uint64_t model, io::TimePoint now) {
  for_both(node, model, now, [&](Breaker& breaker) { breaker.answers(now); });
}

void Breakers::succeeded(NodeNumber node, uint64_t model, io::TimePoint now) {
  for_both(node, model, now, [&](Breaker& breaker) { breaker.succeeded(now); });
}

void Breakers::cancelled(NodeNumber node, uint64_t model, io::TimePoint now) {
  for_both(node, model, now, [&](Breaker& breaker) { breaker.cancelled(now); });
}

void Breakers::runner_failed(NodeNumber node, uint64_t model, io::TimePoint sent,
                             io::TimePoint now) {
  fail(Key{node, false, model}, sent, now);
}

void Breakers::node_failed(NodeNumber node, io::TimePoint sent, io::TimePoint now) {
  fail(Key{node, true, 0}, sent, now);
}

void Breakers::forget(NodeNumber node) {
  boost::unordered::erase_if(breakers_, [&](const auto& item) { return item.first.node == node; });
}

}  // namespace om::scheduler
