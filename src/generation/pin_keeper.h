// Keeps the models that are pinned on this node in its memory.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "cluster/pin_table.h"
#include "io/cancel_either.h"
#include "io/task_group.h"
#include "scheduler/local_scheduler.h"
#include "store/store.h"

namespace om::generation {

// Loads pinned models that are not in memory: at the start, after a pin, after a runner's death,
// and when the name means another model. A model that is unloaded on request loses its pin.
//
// On the io thread. References outlive it; stop() must have returned before it is destroyed.
class PinKeeper {
 public:
  static constexpr std::chrono::seconds kLookInterval{5};
  // Pause after a failed load, doubled each time.
  static constexpr std::chrono::seconds kRetryFirst{5}, kRetryMax{300};

  struct Options {
    scheduler::Scheduler* loader = nullptr;  // Of this node; fetches files. Null: `local`.
    int default_context = 0;                 // As GenerationOptions'.
  };

  PinKeeper(io::World& world, store::Store& store, scheduler::LocalScheduler& local,
            cluster::PinTable& pins, Options options);

  void start();
  io::Task<void> stop();

  // Why the last load of a pinned model failed; null: it did not.
  const Error* error(const std::string& model) const;

 private:
  struct Kept {
    Digest key;         // Of its runner.
    bool held = false;  // Loaded and pinned in the scheduler; else it is to be loaded.
    uint64_t work = 0;  // The number of its running load or unpin; 0: none runs.
    io::TimePoint wait_until = io::kNever;  // When a load that has not begun gives up.
    io::CancelSource gives_up;
    int failures = 0;
    io::TimePoint not_before{};
    std::optional<Error> error;
  };

  io::Task<void> run();
  void look();
  void release(const Digest& key);  // Unless another name keeps it.
  void keep(const std::string& model, Kept& kept);
  // Ends a load or unpin. Null: the model was unpinned meanwhile, and may be pinned anew.
  Kept* end(const std::string& model, uint64_t work);
  io::Task<void> load(std::string model, uint64_t work, scheduler::Target target,
                      io::CancelToken gives_up);
  io::Task<void> unpin(std::string model, uint64_t work);
  void failed(const std::string& model, Kept& kept, Error error);

  io::World& world_;
  store::Store& store_;
  scheduler::LocalScheduler& local_;
  cluster::PinTable& pins_;
  const Options options_;
  std::map<std::string, Kept> kept_;  // By model.
  io::Event changed_;
  bool stale_ = false;
  uint64_t works_ = 0;
  io::TaskGroup tasks_;
};

}  // namespace om::generation
