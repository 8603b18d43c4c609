// One run of the whole request path in a simulated world.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "sim/oracle_for_test.h"

namespace om::sim {

struct PathReport {
  std::vector<std::string> complaints;  // Empty: everything held.
  uint64_t trace = 0;                   // Equal for equal seeds.
  std::map<std::string, int> counts;    // What the run was made of, for people.
};

// First a phase with the seed's faults, then one without: a fresh request to each model must be
// answered. Aborts if the simulation can never end.
PathReport run_path(uint64_t seed);

}  // namespace om::sim
