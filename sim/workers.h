// Workers without threads: a job takes its time, and those of a moment come in any order.
#pragma once

#include "io/event.h"
#include "io/workers.h"
#include "sim/random.h"

namespace om::sim {

// Each job runs in one piece, as if it were alone on its machine: what one sees of another is whole
// or nothing. What runs in the io thread meanwhile sees it done earlier or later.
class SimWorkers final : public io::Workers {
 public:
  static constexpr size_t kThreads = 4;

  SimWorkers(io::Clock& clock, SimRandom& random) : clock_(clock), random_(random), idle_(clock) {}

  io::Duration job_max{};  // What a job takes is drawn. Zero: it is done at once.

 protected:
  io::Task<void> post(std::function<void()> job) override;

 private:
  io::Task<void> take_time();

  io::Clock& clock_;
  SimRandom& random_;
  size_t busy_ = 0;  // Threads.
  io::Event idle_;
};

}  // namespace om::sim
