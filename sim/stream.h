// One end of a simulated connection.
#pragma once

#include "sim/network.h"

namespace om::sim {

// One direction: bytes on their way, with the time they arrive.
struct Pipe {
  explicit Pipe(io::Clock& clock) : readable(clock), writable(clock) {}

  std::string from, to;  // Hosts.
  bool local = false;    // Within one machine.
  std::deque<std::pair<io::TimePoint, std::string>> pieces;
  size_t bytes = 0;
  bool closed = false;  // No more will be written.
  bool broken = false;  // Reset, or nobody reads any more.
  bool torn = false;    // Broken in a way that is seen whatever is cut.
  io::TimePoint last_arrival{};
  io::Event readable, writable;

  void wake() {
    readable.notify_all();
    writable.notify_all();
  }
  void break_off() {
    broken = true;
    wake();
  }
};

class SimStream final : public io::Stream {
 public:
  SimStream(SimHost& host, std::shared_ptr<Pipe> in, std::shared_ptr<Pipe> out, SimPeer peer);
  ~SimStream() override;

  io::Task<Result<size_t>> read_some(std::span<char> into) override;
  io::Task<Result<void>> write(std::span<const std::string_view> parts) override;
  void set_deadline(io::TimePoint deadline) override;
  void abort() override {
    aborted_.cancel();
    close();
  }
  bool is_idle() override;
  std::string peer() const override { return peer_.address; }
  std::string peer_certificate_name() const override { return peer_.certificate_name; }
  std::string peer_certificate_serial() const override { return peer_.certificate_serial; }

  const SimHost& host() const { return host_; }
  const std::string& other() const { return in_->from; }
  void die(Word word);  // Its machine does.
  void tear();          // A firewall resets it, at both ends.
  void refuse_writes() {
    out_->torn = true;
    out_->wake();
  }
  void wake() {
    in_->wake();
    out_->wake();
  }

 private:
  void close();
  bool hears() const { return network_.passes(in_->from, in_->to); }
  // Whether what the other end did to a pipe is seen here.
  bool sees_broken(const Pipe& pipe) const { return pipe.torn || (pipe.broken && hears()); }
  void start_timer();  // Ends this end at its deadline.
  // What ended this end, if anything did.
  Result<void> check(std::string_view doing) const;
  io::Task<Result<void>> wait(io::Event& event, io::TimePoint until);

  SimHost& host_;
  SimNetwork& network_;
  uint64_t number_;
  std::shared_ptr<Pipe> in_, out_;
  SimPeer peer_;
  io::TimePoint deadline_ = io::kNever, timer_at_{};
  io::Clock::TimerId timer_ = 0;  // Runs at timer_at_, which may be before the deadline.
  io::CancelSource aborted_;
  bool dead_ = false;
  bool late_ = false;  // Past its deadline.
};

}  // namespace om::sim
