#include "sim/cluster/planted.h"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

#include "base/check.h"
#include "sim/cluster/processor_limit.h"
#include "sim/cluster/run.h"

namespace om::sim {
namespace {

constexpr std::chrono::seconds kBugMax{600};  // Of the processor.

// In a process of its own: what a bug breaks may end it. 0: nothing was noticed.
[[noreturn]] void look_for(PlantedBug bug, uint64_t first, uint64_t seeds) {
  limit_processor_time(kBugMax);
  for (uint64_t seed = first; seed < first + seeds; seed++) {
    const PathReport report = ClusterRun(seed, bug).run();
    if (report.complaints.empty()) continue;
    fmt::print("{}: seed {}: {}\n", to_string(bug), seed, report.complaints.front());
    std::fflush(nullptr);
    std::_Exit(1);
  }
  fmt::print("{}: not found by {} seeds from {} on\n", to_string(bug), seeds, first);
  std::fflush(nullptr);
  std::_Exit(0);
}

}  // namespace

int find_planted_bugs(uint64_t first, uint64_t seeds, uint64_t jobs) {
  const auto bugs = planted_bugs();
  size_t next = 0, running = 0, found = 0;
  while (next < bugs.size() || running > 0) {
    while (next < bugs.size() && running < jobs) {
      std::fflush(nullptr);
      const pid_t process = ::fork();
      CHECK(process >= 0, "no process");
      if (process == 0) look_for(bugs[next], first, seeds);
      next++;
      running++;
    }
    int status = 0;
    if (::wait(&status) < 0) break;
    running--;
    // A run that ended by itself, by a check, noticed it too. One that hung did not.
    const bool hung = WIFSIGNALED(status) && WTERMSIG(status) == SIGPROF;
    if (status != 0 && !hung) found++;
  }
  fmt::print("{} passed, {} failed\n", found, bugs.size() - found);
  return found == bugs.size() ? 0 : 1;
}

}  // namespace om::sim
