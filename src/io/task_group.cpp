#include "io/task_group.h"

#include <boost/asio/co_spawn.hpp>
#include <exception>

#include "base/check.h"

namespace om::io {
namespace {

void abort_on_exception(std::exception_ptr exception) {
  if (!exception) return;
  try {
    std::rethrow_exception(exception);
  } catch (const std::exception& error) {
    CHECK(false, error.what());
  } catch (...) {
    CHECK(false, "an exception of unknown type left a task");
  }
}

}  // namespace

TaskGroup::TaskGroup(Executor executor, Clock& clock)
    : executor_(std::move(executor)), done_(clock) {}

TaskGroup::~TaskGroup() { CHECK(running_ == 0, "a task group is destroyed before its tasks"); }

void TaskGroup::spawn(Task<void> task) {
  running_++;
  boost::asio::co_spawn(executor_, run(std::move(task)), abort_on_exception);
}

Task<void> TaskGroup::run(Task<void> task) {
  co_await std::move(task);
  running_--;
  if (running_ == 0) done_.notify_all();
}

Task<void> TaskGroup::stop() {
  source_.cancel();
  co_await wait();
}

Task<void> TaskGroup::wait() {
  while (running_ > 0) {
    // Without deadline or token the wait can only end by a notification.
    const auto woken = co_await done_.wait();
    CHECK(woken.has_value());
  }
}

void spawn_detached(Executor executor, Task<void> task) {
  boost::asio::co_spawn(executor, std::move(task), abort_on_exception);
}

}  // namespace om::io
