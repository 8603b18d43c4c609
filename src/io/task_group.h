// Background work with an owner.
#pragma once

#include "io/event.h"

namespace om::io {

// Runs coroutines in the background and waits for all of them at the end. Declare it last in a
// class: the tasks may touch every member above it. An exception that leaves a task aborts the
// process. stop() must have returned before the group is destroyed.
class TaskGroup {
 public:
  TaskGroup(Executor executor, Clock& clock);
  ~TaskGroup();
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  // Starts at the next turn of the io thread. The task should give token() to what it awaits.
  void spawn(Task<void> task);
  CancelToken token() const { return source_.token(); }
  size_t size() const { return running_; }

  Task<void> stop();  // Cancels the token, then waits until every task has ended.
  Task<void> wait();  // Waits without cancelling.

 private:
  Task<void> run(Task<void> task);

  Executor executor_;
  CancelSource source_;
  size_t running_ = 0;
  Event done_;
};

// Starts a coroutine that nobody waits for; it must own all it uses. Escaping exceptions abort.
void spawn_detached(Executor executor, Task<void> task);

}  // namespace om::io
