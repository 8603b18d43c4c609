// A bounded pool of threads for what would block the io thread: hashing, disk, compression.
#pragma once

#include <functional>
#include <optional>
#include <type_traits>

#include "io/task.h"

namespace om::io {

// run() may be called from the io thread only. Work gets no reference to anything that can change
// while it runs; it cannot be interrupted once started, so keep pieces small (about 16 MiB).
class Workers {
 public:
  virtual ~Workers() = default;

  // Runs `work` on a worker thread; the coroutine goes on in the io thread with its result.
  // Waits in line when all workers are busy. The name `work` must outlive the co_await.
  template <class Work>
  auto run(Work work) -> Task<std::invoke_result_t<Work&>> {
    std::optional<std::invoke_result_t<Work&>> result;
    std::function<void()> job = [&work, &result] { result.emplace(work()); };
    co_await post(std::move(job));
    co_return std::move(*result);
  }

 protected:
  virtual Task<void> post(std::function<void()> job) = 0;
};

}  // namespace om::io
