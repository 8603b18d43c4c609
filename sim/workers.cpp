#include "sim/workers.h"

#include "base/check.h"

namespace om::sim {

io::Task<void> SimWorkers::post(std::function<void()> job) {
  if (job_max == io::Duration{}) {
    job();
    co_return;
  }
  while (busy_ == kThreads) {
    const auto woken = co_await idle_.wait();
    CHECK(woken.has_value());
  }
  busy_++;
  // The thread may come to it late, or the io thread to what it has done.
  const bool thread_is_late = random_.chance(0.5);
  if (thread_is_late) co_await take_time();
  job();
  if (!thread_is_late) co_await take_time();
  busy_--;
  idle_.notify_one();
}

io::Task<void> SimWorkers::take_time() {
  const auto drawn = random_.below(static_cast<uint64_t>(job_max.count()) + 1);
  const auto slept = co_await clock_.sleep_for(io::Duration(drawn));
  CHECK(slept.has_value());
}

}  // namespace om::sim
