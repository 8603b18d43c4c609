// In which ways a model can be launched, and how much memory each takes.
#pragma once

#include <vector>

#include "scheduler/placement.h"
#include "scheduler/scheduler.h"

namespace om::scheduler {

// Asked before a model is loaded. On the io thread.
class MemoryPlans {
 public:
  virtual ~MemoryPlans() = default;
  // For a context of `context` tokens: best first, the least demanding last; never empty.
  // not_found, corrupt, unsupported: the file cannot be run; the text is for people.
  virtual io::Task<Result<std::vector<Plan>>> plans(const Target& target, int context) = 0;
};

}  // namespace om::scheduler
