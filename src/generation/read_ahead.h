// What a standby runner would have to read if an answer's own runner died, read while it lives.
#pragma once

#include <memory>
#include <string>

#include "scheduler/scheduler.h"

namespace om::generation {

// After so many more tokens a standby runner reads them.
inline constexpr int64_t kReadAheadTokens = 64;

// Of one answer, on the io thread. One prompt at a time, in the background: whether it is read at
// all changes nothing but the pause.
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
  // `request`: the prompt and what was said. `busy`: the node that answers; empty: this one.
  void read(scheduler::Target target, scheduler::AcquireOptions options,
            engine::CompletionRequest request, std::string busy, int64_t said);
  // The runner is lost: the slot that reads is wanted. What was read stays in the cache there.
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
