// Child processes.
#pragma once

#include <csignal>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/task.h"

namespace om::io {

struct SpawnOptions {
  std::vector<std::string> argv;                                 // argv[0] is the program's path.
  std::vector<std::pair<std::string, std::string>> environment;  // Added to the parent's.
  std::vector<std::string> environment_removed;
  std::optional<std::vector<std::string>> environment_kept;  // Nothing else of the parent's.
  std::string directory;  // Working directory; empty: the parent's.
  bool ignore_sigpipe = false;
  // When the machine's memory runs out, the kernel is to end this one rather than others.
  bool ends_first = false;
};

struct ExitStatus {
  int code = 0;             // Meaningful if signal is 0.
  int signal = 0;           // The signal that ended it.
  std::string str() const;  // "exit status 1", "signal 9 (Killed)".
};

// Physical memory of a process: all of it, and what no file stands behind. 0: unknown, or none.
struct ProcessMemory {
  uint64_t resident = 0, anonymous = 0;
};

// One running child. It gets its own process group and dies with this process, also after
// kill -9 (PR_SET_PDEATHSIG). Its standard input is empty; standard output and error come line by
// line. Destroying it kills it (SIGKILL).
class Child {
 public:
  virtual ~Child() = default;
  virtual int pid() const = 0;
  // The next line of output, at most 64 KiB of it; nullopt when the child closed both.
  virtual Task<Result<std::optional<std::string>>> read_line(Call call) = 0;
  // Waits for the end; may be asked again.
  virtual Task<Result<ExitStatus>> wait(Call call) = 0;
  virtual void signal(int number) = 0;  // Does nothing after the end.
  virtual bool running() const = 0;
  virtual ProcessMemory memory() const = 0;
};

// Where rooms start children. io thread only; made by the world.
class Processes {
 public:
  virtual ~Processes() = default;
  // not_found: no such program. io_failed: no resources.
  virtual Result<std::unique_ptr<Child>> spawn(SpawnOptions options) = 0;
};

}  // namespace om::io
