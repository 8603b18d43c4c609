// Costs are counted in milliseconds, as double.
#pragma once

#include <chrono>

#include "io/task.h"

namespace om::scheduler {

inline constexpr double kMsPerSecond = 1000;

inline double ms_of(io::Duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

inline io::Duration duration_of(double ms) {
  return std::chrono::duration_cast<io::Duration>(std::chrono::duration<double, std::milli>(ms));
}

}  // namespace om::scheduler
