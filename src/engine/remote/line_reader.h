// The answer of another node, line by line.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/memory/arena.h"
#include "engine/remote/peer_link.h"
#include "engine/remote/wire.h"

namespace om::engine {

// Gives the lines and swallows pulses. A node is lost if it is silent for kSilenceMax (see
// set_silence_max), closes early or writes nonsense: unavailable, with its name. On the io thread.
// deadline_exceeded and cancelled come from `call` and say nothing of the node.
class LineReader {
 public:
  // Sends the request and waits for the head of the answer, which must come within kSilenceMax (and
  // the time that the body takes on a slow link). unavailable: the link failed. A refusal is the
  // other node's own error.
  static io::Task<Result<LineReader>> open(io::Clock& clock, http::Client& client,
                                           const PeerLink& link, http::ClientRequest request,
                                           io::Call call);

  // The next object. An error line is returned as that error. unavailable: the node is lost (see
  // lost()), or said so of its runner.
  io::Task<Result<boost::json::object>> next();
  // The next object if it has arrived; nullopt: next() would wait or fail.
  std::optional<Result<boost::json::object>> ready();
  void set_silence_max(io::Duration silence) { response_->set_idle_max(silence); }
  // Reads to the end, so that the connection can be used again.
  io::Task<void> finish();

  bool lost() const { return lost_; }  // The link broke: the error was not the node's own.
  // The link broke visibly, not by silence: the node itself may live.
  bool cut() const { return cut_; }

 private:
  LineReader(io::Clock& clock, std::string node, io::Call call)
      : clock_(&clock), node_(std::move(node)), call_(std::move(call)) {}
  Error lose(std::string_view why);
  // The error if `call_` has ended; nullopt: it has not.
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
