#include "sim/machine.h"

namespace om::sim {

MachineClock::~MachineClock() {
  for (const auto& [id, timer] : timers_) base_.cancel_timer(timer.base);
}

io::Clock::TimerId MachineClock::start_timer(io::TimePoint when, std::function<void()> callback) {
  const TimerId id = ++last_id_;
  if (late_max > io::Duration{} && when < io::kNever - late_max) {
    when += io::Duration(random_.below(static_cast<uint64_t>(late_max.count()) + 1));
  }
  const TimerId base = base_.start_timer(when, [this, id] { run(id); });
  timers_.emplace(id, Timer{base, std::move(callback)});
  return id;
}

void MachineClock::cancel_timer(TimerId id) {
  const auto found = timers_.find(id);
  if (found == timers_.end()) return;
  base_.cancel_timer(found->second.base);
  timers_.erase(found);
}

void MachineClock::run(TimerId id) {
  const auto found = timers_.find(id);
  if (found == timers_.end()) return;
  if (frozen_) {
    found->second.due = true;
    return;
  }
  const auto callback = std::move(found->second.callback);
  timers_.erase(found);
  callback();
}

void MachineClock::thaw() {
  frozen_ = false;
  std::vector<TimerId> due;
  for (const auto& [id, timer] : timers_) {
    if (timer.due) due.push_back(id);
  }
  for (const TimerId id : due) run(id);  // One may cancel another.
}

Machine::Machine(World& world, SimHost::Place place, SimFilesystem& disk)
    : sim_(world),
      disk_(disk),
      clock_(world.clock(), world.random()),
      host_(world.network(), std::move(place), clock_, disk),
      processes_(context_.get_executor(), clock_),
      workers_(clock_, world.random()),
      io_{context_.get_executor(), clock_, world.random(), host_, disk, processes_, workers_} {
  sim_.add(*this);
}

Machine::~Machine() {
  sim_.remove(*this);
  context_.abandon();
}

void Machine::freeze() {
  frozen_ = true;
  clock_.freeze();
}

void Machine::thaw() {
  frozen_ = false;
  clock_.thaw();
}

void Machine::die(Word word) {
  dead_ = true;
  host_.die(word);
  disk_.fail_from_call(1);
  if (frozen_) thaw();  // Its remains end by themselves.
  processes_.kill_all();
}

bool Machine::is_idle() {
  run_ready();
  return context_.stopped() && !clock_.has_timers() && processes_.running() == 0;
}

}  // namespace om::sim
