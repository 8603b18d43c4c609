// What hinders a child from working: other programs on its processors, memory that has to be read
// from disk. A child that does nothing at all although nothing hinders it, hangs.
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
  uint64_t ran = 0, waited = 0;  // Nanoseconds on a processor, and waiting for one.
  uint64_t page_reads = 0;       // Major faults.
  char state = 0;                // 'R': runs or waits for a processor, 'D': for a disk. 0: unknown.
};

// `schedstat`, `stat`: the files' texts. A count is 0 if they do not tell it.
ThreadWork parse_work(std::string_view schedstat, std::string_view stat);

// By thread. One slow thread hinders all, since those that compute wait for each other.
using ChildWork = std::map<std::string, ThreadWork>;

// Empty: the kernel tells nothing.
ChildWork read_work(io::Filesystem& files, int pid);

// Bytes that the process has read so far, by calls or by touching memory. 0: unknown.
uint64_t read_bytes(io::Filesystem& files, int pid);

// What a child did between two looks at it.
struct ChildLook {
  double free_share = 1;  // Share of the time, 0 to 1, in which nothing hindered it.
  // It did nothing: no thread ran, waited for a processor or a disk, or read a page, and it has no
  // child of its own that may work for it. False if the kernel does not tell.
  bool idle = false;
};
ChildLook compare(const ChildWork& before, const ChildWork& after, io::Duration elapsed);

// Compares a child with the last look at it; the first look tells nothing. On any thread.
class Hindrance {
 public:
  ChildLook look(io::Filesystem& files, int pid, io::Duration since_last);
  void forget() { before_.reset(); }

 private:
  std::optional<ChildWork> before_;
};

}  // namespace om::engine
