#include "generation/read_ahead.h"

#include "io/task_group.h"

namespace om::generation {

void ReadAhead::read(scheduler::Target target, scheduler::AcquireOptions options,
                     engine::CompletionRequest request, std::string busy, int64_t said) {
  next_ = said + kReadAheadTokens;
  request.sampling.num_predict = 1;  // The least that a runner does.
  request.sampling.stop.clear();
  request.constraint = {};
  request.logprobs = -1;
  reading_ = std::make_shared<Reading>();
  io::spawn_detached(world_.executor, run(scheduler_, std::move(target), std::move(options),
                                          std::move(request), std::move(busy), reading_));
}

io::Task<void> ReadAhead::run(scheduler::Scheduler& scheduler, scheduler::Target target,
                              scheduler::AcquireOptions options, engine::CompletionRequest request,
                              std::string busy, std::shared_ptr<Reading> reading) {
  const io::Call call{io::kNever, reading->cancel.token()};
  // Errors pass: there may be room the next time.
  (void)co_await scheduler.read_ahead(std::move(target), std::move(options), std::move(request),
                                      std::move(busy), call);
  reading->ended = true;
}

void ReadAhead::stop() {
  if (reading_) reading_->cancel.cancel();
  reading_.reset();
}

}  // namespace om::generation
