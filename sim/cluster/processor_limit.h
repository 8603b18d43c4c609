// An end for what spins, however busy the machine is with other work.
#pragma once

#include <sys/time.h>

#include <chrono>

#include "base/check.h"

namespace om::sim {

// This process gets SIGPROF when it has used the processor for so long from now on.
inline void limit_processor_time(std::chrono::seconds most) {
  const itimerval limit{.it_interval = {}, .it_value = {most.count(), 0}};
  CHECK(::setitimer(ITIMER_PROF, &limit, nullptr) == 0);
}

}  // namespace om::sim
