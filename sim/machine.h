// One of several machines in a simulated world: its own io thread, time, processes and place in the
// network. It can freeze, and die while what ran on it does not know yet.
#pragma once

#include <map>
#include <string>

#include "sim/context.h"
#include "sim/world.h"

namespace om::sim {

// The world's time as one machine sees it: its wall clock is off, its timers come late, and none
// comes while it is frozen.
class MachineClock final : public io::Clock {
 public:
  MachineClock(SimClock& base, SimRandom& random) : base_(base), random_(random) {}
  ~MachineClock() override;

  io::Duration skew{};      // Of the wall clock.
  io::Duration late_max{};  // A timer runs up to so much too late.

  io::TimePoint now() const override { return base_.now(); }
  io::WallTime wall_now() const override { return base_.wall_now() + skew; }
  TimerId start_timer(io::TimePoint when, std::function<void()> callback) override;
  void cancel_timer(TimerId id) override;

  void freeze() { frozen_ = true; }
  void thaw();  // What came due meanwhile comes now.
  bool has_timers() const { return !timers_.empty(); }

 private:
  void run(TimerId id);

  SimClock& base_;
  SimRandom& random_;
  bool frozen_ = false;
  TimerId last_id_ = 0;
  struct Timer {
    TimerId base = 0;
    std::function<void()> callback;
    bool due = false;
  };
  std::map<TimerId, Timer> timers_;
};

// All coroutines of a machine must have ended before it is destroyed. The world, and the disk,
// which outlasts a restart, outlive it.
class Machine {
 public:
  Machine(World& world, SimHost::Place place, SimFilesystem& disk);
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  io::World& world() { return io_; }
  MachineClock& clock() { return clock_; }
  SimProcesses& processes() { return processes_; }
  SimWorkers& workers() { return workers_; }
  const std::string& name() const { return host_.name(); }

  // SIGSTOP: its kernel still takes connections and bytes.
  void freeze();
  void thaw();
  bool frozen() const { return frozen_; }
  // From now on nothing that runs here reaches anybody, nor its disk. Its children are dead.
  void die(Word word);
  bool dead() const { return dead_; }
  // Nothing is left of what ran here: no coroutine lives, no timer waits, no child runs.
  bool is_idle();

 private:
  friend class World;
  size_t run_ready() { return frozen_ ? 0 : context_.run_ready(); }

  World& sim_;
  SimFilesystem& disk_;
  Context context_;
  MachineClock clock_;
  SimHost host_;
  SimProcesses processes_;
  SimWorkers workers_;
  io::World io_;
  bool frozen_ = false, dead_ = false;
};

}  // namespace om::sim
