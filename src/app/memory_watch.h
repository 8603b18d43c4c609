// Looks at memory once a second and lets the governor trim pools, or refuse new work.
#pragma once

#include <functional>

#include "base/memory/governor.h"
#include "io/task_group.h"
#include "io/world.h"

namespace om::app {

// Trims the pools that the thread which made it may trim: the io thread. Lives from start() until
// stop() has returned.
class MemoryWatch {
 public:
  // `tell_left` is told each time what memory is left (MemorySample::left_bytes), if known.
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

// Reads what the kernel says; a file that is missing leaves its part of the sample at zero.
MemorySample sample_memory(io::Filesystem& files);

}  // namespace om::app
