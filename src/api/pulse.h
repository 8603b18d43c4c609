// Signs of life in a stream while nothing of its answer can be sent: a model loads, or writes a
// tool call. Clients give up a connection on which nothing comes (Node's fetch after 300 s).
#pragma once

#include <chrono>
#include <functional>

#include "api/router.h"
#include "io/task_group.h"
#include "io/world.h"

namespace om::api {

// Awaits the handler's work and meanwhile sends signs of life. One per stream, on the io thread;
// nothing runs when during() has returned.
class Pulse {
 public:
  // Until the first sign an error still has its own status.
  static constexpr std::chrono::seconds kFirst{30};
  static constexpr std::chrono::seconds kInterval{15};
  // Sends a sign, and starts the stream first if it has not begun.
  using Beat = std::function<io::Task<Result<void>>()>;

  // `context` outlives it. Without `beat` nothing is sent.
  Pulse(io::World& world, Context& context, Beat beat);
  ~Pulse();
  Pulse(const Pulse&) = delete;
  Pulse& operator=(const Pulse&) = delete;

  // Returns the work's result, or the error if a sign could not be sent. Signs never come between
  // two parts of the handler's output: the handler writes only when this has returned.
  template <class T>
  io::Task<Result<T>> during(io::Task<Result<T>> work) {
    begin();
    Result<T> result = co_await std::move(work);
    waiting_ = false;
    if (signs_.size() > 0) co_await signs_.wait();
    if (failed_) co_return fail(*failed_);
    co_return result;
  }

 private:
  void begin();
  void arm(io::TimePoint when);
  void look();
  io::Task<void> send();

  io::World& world_;
  Context& context_;
  Beat beat_;
  io::Clock::TimerId timer_ = 0;
  io::TimePoint due_;
  bool waiting_ = false;
  std::optional<Error> failed_;
  io::TaskGroup signs_;
};

}  // namespace om::api
