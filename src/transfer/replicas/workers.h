// Does this node's part of a plan: a few jobs at a time, urgent ones first; failed ones again
// later.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "io/task_group.h"
#include "io/world.h"

namespace om::transfer {

// On the io thread; stop() before it is destroyed.
class ReplicaWorkers {
 public:
  struct Work {
    std::string key;  // Not begun while a job of this key runs or waits for its next try.
    bool urgent = false;
    uint64_t bytes = 0;  // Of equally urgent jobs small ones go first.
    std::function<io::Task<Result<void>>(io::CancelToken)> job;
  };

  // `running_max` jobs at a time, and one more if it is urgent. `on_end` is called after each job:
  // there may be new work.
  ReplicaWorkers(io::World& world, size_t running_max, std::function<void()> on_end);

  // All work there is now. Earlier work that is not in it is forgotten, except running jobs.
  void set_work(std::vector<Work> work);
  size_t running() const { return running_.size(); }
  io::Task<void> stop() { co_await tasks_.stop(); }

 private:
  struct Failure {
    int count = 0;
    io::TimePoint not_before{};
  };
  io::Task<void> run(Work work);

  io::World& world_;
  size_t running_max_;
  std::function<void()> on_end_;
  std::set<std::string> running_;
  std::map<std::string, Failure> failures_;
  io::TaskGroup tasks_;
};

}  // namespace om::transfer
