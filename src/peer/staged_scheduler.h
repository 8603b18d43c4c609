// A node's own scheduler that first fetches missing files: a request for a model whose files are
// not on this disk waits until other nodes have passed them on.
#pragma once

#include <functional>

#include "scheduler/scheduler.h"

namespace om::peer {

// On the io thread. `local` outlives it; requests must be over before it is destroyed.
class StagedScheduler final : public scheduler::Scheduler {
 public:
  // Fetches the target's files that are not here; returns at once if all are.
  using Bring = std::function<io::Task<Result<void>>(const scheduler::Target& target, io::Call)>;

  StagedScheduler(scheduler::Scheduler& local, Bring bring)
      : local_(local), bring_(std::move(bring)) {}

  // Errors of the node's scheduler, and not_found: the files cannot be brought here, and why.
  io::Task<Result<std::unique_ptr<scheduler::Lease>>> acquire(scheduler::Target target,
                                                              scheduler::AcquireOptions options,
                                                              io::Call call) override;
  bool unload(const Digest& key) override { return local_.unload(key); }
  std::vector<scheduler::LoadedModel> loaded() const override { return local_.loaded(); }
  io::Task<void> stop() override { co_await local_.stop(); }

 private:
  scheduler::Scheduler& local_;
  Bring bring_;
};

}  // namespace om::peer
