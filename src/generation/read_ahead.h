// Lets a standby runner read prompt and answer so far while the answer's own runner still lives, so
// that it can go on at once if that one dies.
#pragma once

#include <memory>
#include <string>

#include "scheduler/scheduler.h"

namespace om::generation {

// A standby runner reads each time this many tokens more have come.
inline constexpr int64_t kReadAheadTokens = 64;

// For one answer, on the io thread. One prompt at a time, in the background: it only shortens the
// pause after a death.
class ReadAhead {
 public:
  ReadAhead(io::World& world, scheduler::Scheduler& scheduler)
      : world_(world), scheduler_(scheduler) {}
  ~ReadAhead() { stop(); }
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  // `said`: tokens of the answer so far.
  bool is_due(int64_t said) const {
    return said >= next_ && scheduler_.wants_read_ahead() && (!reading_ || reading_->ended);
  }
  // `request`: prompt and answer so far. `busy`: the node that answers; empty: this one.
  void read(scheduler::Target target, scheduler::AcquireOptions options,
            engine::CompletionRequest request, std::string busy, int64_t said);
  // Frees the slot that reads, since the lost runner's answer needs it. Its cache keeps what it
  // read.
  void stop();

 private:
  struct Reading {
    bool ended = false;
    io::CancelSource cancel;
  };
  static io::Task<void> run(scheduler::Scheduler& scheduler, scheduler::Target target,
                            scheduler::AcquireOptions options, engine::CompletionRequest request,
                            std::string busy, std::shared_ptr<Reading> reading);

  io::World& world_;
  scheduler::Scheduler& scheduler_;
  std::shared_ptr<Reading> reading_;  // Null: none yet, or stopped.
  int64_t next_ = 1;
};

}  // namespace om::generation
