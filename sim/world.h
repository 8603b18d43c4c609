// A simulated world: virtual time, seeded randomness, and a network, disk and processes that fail
// as told. The same seed gives the same run.
#pragma once

#include <memory>

#include "io/world.h"
#include "sim/clock.h"
#include "sim/filesystem.h"
#include "sim/network.h"
#include "sim/processes.h"
#include "sim/random.h"
#include "sim/workers.h"

namespace om::sim {

class Machine;

// One machine, or the ground that several stand on (sim/machine.h).
class World {
 public:
  explicit World(uint64_t seed);
  ~World();

  io::World& world();
  SimClock& clock();
  SimRandom& random();
  SimNetwork& network();
  SimFilesystem& files();
  SimProcesses& processes();
  SimWorkers& workers();

  // Runs until the task has ended. Aborts if nothing can happen any more before that (a deadlock),
  // or after `virtual_time_max`.
  void run(io::Task<void> task, io::Duration virtual_time_max = std::chrono::hours(24));
  // The machine whose turn it is, for logs; empty: none of several.
  const std::string& running() const;
  // Does what can be done at once; true if nothing is left: no coroutine lives, no timer waits.
  bool is_idle();

 private:
  friend class Machine;
  void add(Machine& machine);
  void remove(Machine& machine);

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace om::sim
