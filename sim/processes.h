// Children that are coroutines of this process, by the name of their program.
#pragma once

#include <map>

#include "io/event.h"
#include "io/processes.h"
#include "io/task_group.h"

namespace om::sim {

// What a simulated program sees of itself.
class Program {
 public:
  Program(io::Clock& clock, io::SpawnOptions options)
      : options_(std::move(options)), lines_(clock, kLinesMax), ended_(clock) {}

  const std::vector<std::string>& argv() const { return options_.argv; }
  std::string argument(std::string_view flag) const;  // The word after `flag`; empty if absent.
  const io::SpawnOptions& options() const { return options_; }
  void print(std::string line) { (void)lines_.try_put(std::move(line)); }  // Full: it is lost.

  // Cancelled by SIGKILL, and by SIGTERM unless the program ignores it.
  io::CancelToken killed() const { return killed_.token(); }
  bool ignore_terminate = false;
  void exit(int code) { end({code, 0}); }
  void die(int signal) { end({0, signal}); }
  bool has_ended() const { return status_.has_value(); }

 private:
  friend class SimChild;
  friend class SimProcesses;
  static constexpr size_t kLinesMax = 10'000;
  void end(io::ExitStatus status);

  io::SpawnOptions options_;
  io::CancelSource killed_;
  io::Channel<std::string> lines_;
  std::optional<io::ExitStatus> status_;
  io::Event ended_;
  int pid_ = 0;
};

class SimProcesses final : public io::Processes {
 public:
  // Runs until it returns; then the child has exited with code 0 unless it said otherwise.
  using Main = std::function<io::Task<void>(std::shared_ptr<Program>)>;

  SimProcesses(io::Executor executor, io::Clock& clock)
      : executor_(std::move(executor)), clock_(clock) {}

  void install(std::string program, Main main) { programs_[std::move(program)] = std::move(main); }
  Result<std::unique_ptr<io::Child>> spawn(io::SpawnOptions options) override;
  int running() const { return *running_; }
  void kill_all();  // The machine goes down.

 private:
  io::Executor executor_;
  io::Clock& clock_;
  int next_pid_ = 100;
  std::shared_ptr<int> running_ = std::make_shared<int>(0);
  std::map<std::string, Main> programs_;
  std::vector<std::weak_ptr<Program>> started_;
};

}  // namespace om::sim
