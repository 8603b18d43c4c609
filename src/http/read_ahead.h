// The reading side of a server connection: a read is always outstanding, so that a client that
// leaves is noticed while its answer is still being made.
#pragma once

#include <functional>
#include <string_view>

#include "http/byte_buffer.h"
#include "io/event.h"
#include "io/network.h"

namespace om::http {

// Reads into a bounded buffer until the peer closes. run() is the reading coroutine; everything
// else is called by the one coroutine that serves the connection. On the io thread.
class ReadAhead {
 public:
  static constexpr size_t kBytesMax = 64 * 1024;

  // `on_end` runs once, from run(), when the peer closed its side or the connection broke.
  ReadAhead(io::Stream& stream, io::Clock& clock, std::function<void()> on_end);

  io::Task<void> run();
  // Waits for run() to return; abort the stream first.
  io::Task<void> join();

  // What has arrived and was not consumed; the view is good until the next co_await.
  std::string_view bytes() const { return buffer_.bytes(); }
  void consume(size_t count);
  bool ended() const { return ended_; }

  // Returns when bytes() has grown. unavailable: the peer closed its side. deadline_exceeded (a few
  // times a second looked at). cancelled: interrupt().
  io::Task<Result<void>> more(io::TimePoint deadline);
  void interrupt();
  void tick(io::TimePoint now);  // Called a few times a second.

 private:
  io::Stream& stream_;
  std::function<void()> on_end_;
  ByteBuffer buffer_{kBytesMax};
  bool ended_ = false, running_ = true, interrupted_ = false, late_ = false;
  io::TimePoint deadline_ = io::kNever;
  io::Event arrived_, consumed_, finished_;
};

}  // namespace om::http
