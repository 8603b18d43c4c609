// What keeps a child from working though it wants to: others on its processors, memory that has to
// be read in from disk. A child that hangs is not hindered; one that does nothing at all, and that
// nothing hinders, hangs.
// https://www.kernel.org/doc/html/latest/scheduler/sched-stats.html ("/proc/<pid>/schedstat"),
// man 5 proc_pid_stat, proc_pid_task, proc_pid_io
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "io/clock.h"
#include "io/filesystem.h"

namespace om::engine {

// A thread's counters, which only grow, and what it does now.
struct ThreadWork {
  uint64_t ran = 0, waited = 0;  // Nanoseconds on a processor, and for one.
  uint64_t page_reads = 0;       // Major faults.
  char state = 0;                // 'R': runs or waits for a processor, 'D': for a disk. 0: unknown.
};

// `schedstat`, `stat`: the files' texts. Zeros where they tell nothing.
ThreadWork parse_work(std::string_view schedstat, std::string_view stat);

// By thread. Each matters: those that compute wait for the slowest.
using ChildWork = std::map<std::string, ThreadWork>;

// Empty: the kernel tells nothing.
ChildWork read_work(io::Filesystem& files, int pid);

// Bytes that it has read so far, by calls or by touching memory. 0: unknown.
uint64_t read_bytes(io::Filesystem& files, int pid);

// What a child did between two looks at it.
struct ChildLook {
  double free_share = 1;  // The part of the time, 0 to 1, in which it could do as it wanted.
  // It could, and did nothing: no thread ran, waited for a processor or a disk, or read a page, and
  // no child of its own may work for it. False where the kernel does not tell.
  bool idle = false;
};
ChildLook compare(const ChildWork& before, const ChildWork& after, io::Duration elapsed);

// The same since the last look at one child; nothing is known at the first. On any thread.
class Hindrance {
 public:
  ChildLook look(io::Filesystem& files, int pid, io::Duration since_last);
  void forget() { before_.reset(); }

 private:
  std::optional<ChildWork> before_;
};

}  // namespace om::engine
