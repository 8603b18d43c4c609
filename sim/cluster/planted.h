// Is the tester any good? Runs clusters whose metadata engine has a bug until one of them
// complains.
#pragma once

#include <cstdint>

namespace om::sim {

// Each bug of planted_bug.h, in at most `seeds` runs from `first` on, `jobs` bugs at a time. Prints
// what found it, and "N passed, N failed" as its last line. The exit status.
int find_planted_bugs(uint64_t first, uint64_t seeds, uint64_t jobs);

}  // namespace om::sim
