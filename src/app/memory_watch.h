// Looks at memory once a second and lets the governor trim pools, or refuse new work.
#pragma once

#include <functional>

#include "base/memory/governor.h"
#include "io/task_group.h"
#include "io/world.h"

namespace om::app {

// Made on the io thread; trims the pools that this thread may trim. stop() must have returned
// before it is destroyed.
class MemoryWatch {
 public:
  // `tell_left` is called each time with the memory that is left (MemorySample::left_bytes), if
  // known.
  MemoryWatch(io::World& world, std::function<void(uint64_t)> tell_left);
  void start();
  io::Task<void> stop();
  bool shedding() const { return governor_.shedding(); }
  MemoryGovernor& governor() { return governor_; }

 private:
  static constexpr std::chrono::seconds kInterval{1};
  io::Task<void> watch();

  io::World& world_;
  const std::function<void(uint64_t)> tell_left_;
  MemoryGovernor governor_;
  io::TaskGroup tasks_;
};

// Asks the kernel; if a file is missing, its part of the sample stays 0.
MemorySample sample_memory(io::Filesystem& files);

}  // namespace om::app
