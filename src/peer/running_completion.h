// A completion for another node, and its last lines: if only the connection breaks, the other node
// reads on, and nothing is computed twice.
//
// llama-server could also keep a stream for a client that comes back. But its unix socket does not
// break alone, and it counts bytes of its own events; this counts lines between nodes.
#pragma once

#include <string>

#include "io/event.h"
#include "peer/line_stream.h"
#include "scheduler/scheduler.h"

namespace om::peer {

// Kept of the lines already told, and of lines ahead of the reader.
inline constexpr size_t kToldBytesMax = 64 << 10, kAheadBytesMax = 64 << 10;

// On the io thread. run() owns the completion; destroy it after that has ended.
class RunningCompletion {
 public:
  explicit RunningCompletion(io::Clock& clock) : news_(clock), read_(clock) {}

  // Runs until the end, an error (which becomes the last line), or cancel(). The lease outlives it.
  io::Task<void> run(scheduler::Lease& lease, std::string body);
  void cancel() { cancel_.cancel(); }

  // Writes all lines from number `from` on, until the end. unavailable: that line is not kept any
  // more, or another connection reads; the answer goes on elsewhere. Other errors: the other node
  // is gone, and may come back.
  io::Task<Result<void>> tell(size_t from, LineStream& out, io::Call call);

 private:
  io::Task<Result<void>> speak(scheduler::Lease& lease, std::string body);
  io::Task<Result<void>> say(std::string_view lines, size_t count);
  void forget_told();

  io::CancelSource cancel_;
  io::Event news_, read_;
  std::string said_;  // From line `first_` on.
  size_t first_ = 0, lines_ = 0;
  size_t told_ = 0;  // Bytes of said_ that were written to the other node.
  int readers_ = 0;  // So far; only the last one reads.
  bool ended_ = false;
};

}  // namespace om::peer
