#include "io/real/workers.h"

#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace om::io {

namespace asio = boost::asio;

RealWorkers::RealWorkers(asio::io_context& context, size_t threads) : context_(context) {
  for (size_t i = 0; i < std::max<size_t>(threads, 1); i++) {
    threads_.emplace_back([this] { work(); });
  }
}

RealWorkers::~RealWorkers() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  ready_.notify_all();
  for (auto& thread : threads_) thread.join();
}

Task<void> RealWorkers::post(std::function<void()> job) {
  using Handler = asio::any_completion_handler<void()>;
  co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(
      [this, &job](auto handler) {
        // Shared, because std::function wants to be copyable.
        auto done = std::make_shared<Handler>(std::move(handler));
        auto guard = std::make_shared<asio::executor_work_guard<asio::io_context::executor_type>>(
            asio::make_work_guard(context_));
        {
          const std::lock_guard lock(mutex_);
          jobs_.emplace_back([this, job = std::move(job), done, guard]() mutable {
            job();
            job = nullptr;
            asio::post(context_,
                       [done = std::move(done), guard = std::move(guard)] { std::move (*done)(); });
          });
        }
        ready_.notify_one();
      },
      asio::use_awaitable);
}

void RealWorkers::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    ready_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    auto job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    job();
    job = nullptr;
    lock.lock();
  }
}

}  // namespace om::io
