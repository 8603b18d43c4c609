// Waiting inside the io thread: an Event wakes coroutines, a Channel hands values to one.
#pragma once

#include <deque>
#include <list>
#include <memory>
#include <optional>

#include "base/memory/frame_pool.h"
#include "io/clock.h"

namespace om::io {

// Coroutines wait; notify wakes them. It remembers nothing: look at the guarded state before and
// after waiting. All waiters must be gone before the event is destroyed.
class Event {
 public:
  explicit Event(Clock& clock) : clock_(clock) {}
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  // ok: notified. cancelled / deadline_exceeded: as the call says.
  Task<Result<void>> wait(Call call = {});
  void notify_one();
  void notify_all();
  size_t waiters() const { return waiters_.size(); }

 private:
  struct Waiter;
  // Each wait makes and drops a waiter and its place: both come from the thread's pool.
  using Waiters = std::list<std::shared_ptr<Waiter>, FrameAllocator<std::shared_ptr<Waiter>>>;
  void wake(const std::shared_ptr<Waiter>& waiter, Result<void> result);
  Clock& clock_;
  Waiters waiters_;
};

// A queue of at most `capacity` values between coroutines of the io thread. close() lets the reader
// take what is left, then next() answers nullopt.
template <class T>
class Channel {
 public:
  Channel(Clock& clock, size_t capacity)
      : capacity_(capacity), readable_(clock), writable_(clock) {}

  // unavailable: closed. Waits while the channel is full.
  Task<Result<void>> put(T value, Call call = {}) {
    while (values_.size() >= capacity_ && !closed_) {
      CO_TRY_VOID(co_await writable_.wait(call));
    }
    if (closed_) co_return fail(Errc::unavailable, "the channel is closed");
    values_.push_back(std::move(value));
    readable_.notify_one();
    co_return Result<void>{};
  }
  // False if full or closed.
  bool try_put(T value) {
    if (closed_ || values_.size() >= capacity_) return false;
    values_.push_back(std::move(value));
    readable_.notify_one();
    return true;
  }
  Task<Result<std::optional<T>>> next(Call call = {}) {
    while (values_.empty() && !closed_) {
      CO_TRY_VOID(co_await readable_.wait(call));
    }
    if (values_.empty()) co_return std::optional<T>{};
    std::optional<T> value(std::move(values_.front()));
    values_.pop_front();
    writable_.notify_one();
    co_return value;
  }
  void close() {
    closed_ = true;
    readable_.notify_all();
    writable_.notify_all();
  }
  bool closed() const { return closed_; }
  size_t size() const { return values_.size(); }

 private:
  size_t capacity_;
  bool closed_ = false;
  std::deque<T> values_;
  Event readable_, writable_;
};

}  // namespace om::io
