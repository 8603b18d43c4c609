#include "peer/staged_scheduler.h"

namespace om::peer {

io::Task<Result<std::unique_ptr<scheduler::Lease>>> StagedScheduler::acquire(
    scheduler::Target target, scheduler::AcquireOptions options, io::Call call) {
  Result<void> brought;
  if (!target.is_part()) brought = co_await bring_(target, call);  // A part has no files.
  if (!brought) {
    Error error = std::move(brought).error();
    // Another node may have them, or room for them.
    if (!call.cancel.cancelled()) error.code = Errc::not_found;
    co_return fail(annotate(std::move(error), "bring the files of " + target.name));
  }
  co_return co_await local_.acquire(std::move(target), std::move(options), std::move(call));
}

}  // namespace om::peer
