// Sockets as io::Stream, and the coarse clock tick that ends those past their deadline.
#pragma once

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <list>

#include "io/clock.h"
#include "io/network.h"

namespace om::io {

using Socket = boost::asio::generic::stream_protocol::socket;

class DeadlineTick;
class FileCopier;

// The part of a stream that the tick sees.
class TickedStream : public Stream {
 public:
  TickedStream(DeadlineTick& tick, const Socket& socket);  // Looks at its addresses only.
  ~TickedStream() override;
  void set_deadline(TimePoint deadline) override { deadline_ = deadline; }
  void abort() override;
  std::string peer() const override { return peer_; }
  bool from_this_machine() const override { return one_address_ || Stream::from_this_machine(); }

 protected:
  virtual void close_socket() = 0;
  // The error to tell for an operation that failed with `error`.
  Error explain(const boost::system::error_code& error, std::string_view doing) const;
  bool ended() const { return ended_ != Ended::no; }

 private:
  friend class DeadlineTick;
  enum class Ended { no, aborted, late };

  DeadlineTick& tick_;
  std::string peer_;
  bool one_address_;
  std::list<TickedStream*>::iterator position_;
  TimePoint deadline_ = kNever;
  Ended ended_ = Ended::no;
};

// Looks at every stream a few times a second: one timer for all, a plain store to move a deadline.
// Who comes late to it stood still (a suspended machine, a stolen processor), and that is nobody's
// silence: deadlines move on by as much, but
// no further than kAfterStall from now.
class DeadlineTick {
 public:
  explicit DeadlineTick(Clock& clock) : clock_(clock) {}
  ~DeadlineTick();

 private:
  friend class TickedStream;
  static constexpr std::chrono::milliseconds kInterval{250}, kAfterStall{2000};
  void arm();
  void run();

  Clock& clock_;
  Clock::TimerId timer_ = 0;
  TimePoint due_{};
  std::list<TickedStream*> streams_;
};

// Plain socket: TCP or unix.
std::unique_ptr<Stream> make_stream(DeadlineTick& tick, FileCopier& copier, Socket socket);

}  // namespace om::io
