#include "http/read_ahead.h"

#include "base/check.h"
#include "http/metrics.h"

namespace om::http {

ReadAhead::ReadAhead(io::Stream& stream, io::Clock& clock, std::function<void()> on_end)
    : stream_(stream),
      on_end_(std::move(on_end)),
      arrived_(clock),
      consumed_(clock),
      finished_(clock) {}

io::Task<void> ReadAhead::run() {
  while (!interrupted_) {
    const std::span<char> into = buffer_.room();
    if (into.empty()) {
      // Nobody else ends this wait but consume() and interrupt(), which both notify.
      CHECK((co_await consumed_.wait()).has_value());
      continue;
    }
    const auto count = co_await stream_.read_some(into);
    if (!count || *count == 0) break;
    buffer_.added(*count);
    metrics::received_bytes.add(*count);
    arrived_.notify_one();
  }
  ended_ = true;
  on_end_();
  running_ = false;
  arrived_.notify_all();
  finished_.notify_all();
}

io::Task<void> ReadAhead::join() {
  interrupt();
  while (running_) CHECK((co_await finished_.wait()).has_value());
}

void ReadAhead::consume(size_t count) {
  buffer_.consume(count);
  if (count > 0 && consumed_.waiters() > 0) consumed_.notify_all();
}

io::Task<Result<void>> ReadAhead::more(io::TimePoint deadline) {
  const size_t before = bytes().size();
  late_ = false;
  deadline_ = deadline;
  while (bytes().size() == before && !ended_ && !interrupted_ && !late_) {
    CHECK((co_await arrived_.wait()).has_value());
  }
  deadline_ = io::kNever;
  if (bytes().size() > before) co_return Result<void>{};
  if (interrupted_) co_return fail(Errc::cancelled, "the server is stopping");
  if (ended_) co_return fail(Errc::unavailable, "the client closed the connection");
  co_return fail(Errc::deadline_exceeded, "the client sent nothing in time");
}

void ReadAhead::interrupt() {
  interrupted_ = true;
  arrived_.notify_all();
  consumed_.notify_all();
}

void ReadAhead::tick(io::TimePoint now) {
  if (now < deadline_) return;
  late_ = true;
  arrived_.notify_all();
}

}  // namespace om::http
