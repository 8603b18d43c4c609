// The answer of another node, line by line.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/memory/arena.h"
#include "engine/remote/peer_link.h"
#include "engine/remote/wire.h"

namespace om::engine {

// Gives the lines that tell something and swallows pulses. A node that is silent for kSilenceMax
// (if not set otherwise), closes early or writes nonsense is lost: unavailable, with its name. On
// the io thread; the caller cancels through `call`, and at its deadline has deadline_exceeded,
// which says nothing of the node.
class LineReader {
 public:
  // Sends the request and waits for the head of the answer, which must come within kSilenceMax
  // (and the time that the body takes on a slow link). Errors of the link come as unavailable,
  // refusals as what the other node says.
  static io::Task<Result<LineReader>> open(io::Clock& clock, http::Client& client,
                                           const PeerLink& link, http::ClientRequest request,
                                           io::Call call);

  // The next object. An error line is that error. unavailable: the node is lost, or told so itself
  // (see lost()).
  io::Task<Result<boost::json::object>> next();
  // What has arrived already; nothing if next() would wait or fail.
  std::optional<Result<boost::json::object>> ready();
  void set_silence_max(io::Duration silence) { response_->set_idle_max(silence); }
  // Reads to the end, so that the connection can be used again.
  io::Task<void> finish();

  bool lost() const { return lost_; }  // The link broke: the error was not the node's own.
  // It broke with a sign, not by silence: the node itself may live.
  bool cut() const { return cut_; }

 private:
  LineReader(io::Clock& clock, std::string node, io::Call call)
      : clock_(&clock), node_(std::move(node)), call_(std::move(call)) {}
  Error lose(std::string_view why);
  // The caller's own end of patience; nothing if it has some left.
  std::optional<Error> given_up();

  io::Clock* clock_;
  std::string node_;
  io::Call call_;
  std::shared_ptr<void> limit_;  // Carries the caller's cancel to the response: goes after it.
  std::unique_ptr<http::ClientResponse> response_;
  std::string buffer_;
  size_t start_ = 0, scanned_ = 0;
  bool lost_ = false, cut_ = false;
};

}  // namespace om::engine
