// The coroutine type of the whole program, and Call: until when a piece of work may take, and
// whether anybody still wants it.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>

#include "base/result.h"
#include "io/cancel.h"

namespace om::io {

template <class T = void>
using Task = boost::asio::awaitable<T>;
using Executor = boost::asio::any_io_executor;

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;
using WallTime = std::chrono::time_point<std::chrono::system_clock, Duration>;
inline constexpr TimePoint kNever = TimePoint::max();

// What bounds one piece of work. Cheap to copy; pass by value. Everything that leaves the process
// takes one: at `deadline` it fails with deadline_exceeded, on `cancel` with cancelled.
struct Call {
  TimePoint deadline = kNever;
  CancelToken cancel;
};

}  // namespace om::io
