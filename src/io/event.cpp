#include "io/event.h"

#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/check.h"

namespace om::io {

namespace asio = boost::asio;

struct Event::Waiter {
  Executor executor;
  // Optional, because move assignment of any_completion_handler recurses for ever in Boost 1.81.
  std::optional<asio::any_completion_handler<void(Result<void>)>> handler;
  std::optional<Result<void>> result;  // Set once; the handler runs with it.
  Waiters::iterator position;
  bool listed = false;
  Clock::TimerId timer = 0;

  // Posted, never run in place: the one who notifies must not find its own state changed.
  static void complete_if_ready(const std::shared_ptr<Waiter>& waiter) {
    if (!waiter->result || !waiter->handler) return;
    asio::post(waiter->executor,
               [waiter] { std::move (*waiter->handler)(std::move(*waiter->result)); });
  }
};

Event::~Event() { CHECK(waiters_.empty(), "an event is destroyed while a coroutine waits"); }

void Event::wake(const std::shared_ptr<Waiter>& waiter, Result<void> result) {
  if (waiter->result) return;
  waiter->result = std::move(result);
  if (waiter->listed) {
    waiter->listed = false;
    waiters_.erase(waiter->position);
  }
  if (waiter->timer != 0) clock_.cancel_timer(waiter->timer);
  waiter->timer = 0;
  Waiter::complete_if_ready(waiter);
}

Task<Result<void>> Event::wait(Call call) {
  if (call.cancel.cancelled()) co_return fail(Errc::cancelled, "cancelled");
  if (call.deadline != kNever && call.deadline <= clock_.now()) {
    co_return fail(Errc::deadline_exceeded, "deadline exceeded");
  }
  auto waiter = std::allocate_shared<Waiter>(FrameAllocator<Waiter>());
  waiter->executor = co_await asio::this_coro::executor;
  waiter->position = waiters_.insert(waiters_.end(), waiter);
  waiter->listed = true;
  if (call.deadline != kNever) {
    waiter->timer = clock_.start_timer(call.deadline, [this, waiter] {
      waiter->timer = 0;
      wake(waiter, fail(Errc::deadline_exceeded, "deadline exceeded"));
    });
  }
  OnCancel on_cancel(call.cancel,
                     [this, waiter] { wake(waiter, fail(Errc::cancelled, "cancelled")); });
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(Result<void>)>(
      [waiter](auto handler) {
        waiter->handler.emplace(std::move(handler));
        Waiter::complete_if_ready(waiter);
      },
      asio::use_awaitable);
}

void Event::notify_one() {
  if (waiters_.empty()) return;
  const auto waiter = waiters_.front();
  wake(waiter, Result<void>{});
}

void Event::notify_all() {
  // Those who come while the others wake wait for the next notification.
  const auto waiting = waiters_;
  for (const auto& waiter : waiting) wake(waiter, Result<void>{});
}

}  // namespace om::io
