// What keeps a child from working though it wants to: others on its processors, memory that has to
// be read in from disk. A child that hangs is not hindered.
// https://www.kernel.org/doc/html/latest/scheduler/sched-stats.html ("/proc/<pid>/schedstat"),
// man 5 proc_pid_stat
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "io/clock.h"
#include "io/filesystem.h"

namespace om::engine {

// A child's counters, which only grow.
struct ChildWork {
  uint64_t waited = 0;      // Nanoseconds of its main thread, which works, for a processor.
  uint64_t page_reads = 0;  // Major faults of all threads.
};

// `schedstat`, `stat`: the files' texts. Zeros where they tell nothing.
ChildWork parse_work(std::string_view schedstat, std::string_view stat);

// The part of the time between the two, 0 to 1, in which it could do as it wanted.
double free_share(const ChildWork& before, const ChildWork& after, io::Duration elapsed);

// The same since the last look at one child; 1 at the first. On any thread.
class Hindrance {
 public:
  double free_share_now(io::Filesystem& files, int pid, io::Duration since_last);
  void forget() { before_.reset(); }

 private:
  std::optional<ChildWork> before_;
};

}  // namespace om::engine
