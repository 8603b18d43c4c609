// Worker threads behind a queue; each job's coroutine goes on in the io thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "io/workers.h"

namespace om::io {

class RealWorkers final : public Workers {
 public:
  RealWorkers(boost::asio::io_context& context, size_t threads);
  ~RealWorkers() override;

 protected:
  Task<void> post(std::function<void()> job) override;

 private:
  void work();

  boost::asio::io_context& context_;
  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<std::function<void()>> jobs_;  // Bounded by the coroutines that wait for them.
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace om::io
