#include "sim/stream.h"

#include <algorithm>

namespace om::sim {

SimStream::SimStream(SimHost& host, std::shared_ptr<Pipe> in, std::shared_ptr<Pipe> out,
                     SimPeer peer)
    : host_(host),
      network_(host.network_),
      number_(++network_.last_stream_),
      in_(std::move(in)),
      out_(std::move(out)),
      peer_(std::move(peer)) {
  network_.streams_open_++;
  network_.streams_[number_] = this;
}

SimStream::~SimStream() {
  if (timer_ != 0) network_.clock_.cancel_timer(timer_);
  close();
  network_.streams_open_--;
  network_.streams_.erase(number_);
}

void SimStream::close() {
  if (dead_) return wake();  // The other end is told nothing more.
  out_->closed = true;
  out_->readable.notify_all();
  in_->break_off();
}

void SimStream::die(Word word) {
  // Those outside of all machines have patience of their own: they are told in any case.
  if (word == Word::reset || other().empty()) close();
  dead_ = true;
  wake();
}

void SimStream::tear() {
  in_->torn = out_->torn = true;
  wake();
}

bool SimStream::is_idle() {
  if (dead_ || late_ || aborted_.cancelled() || in_->torn) return false;
  return !hears() || (!in_->broken && !in_->closed && in_->pieces.empty());
}

void SimStream::set_deadline(io::TimePoint deadline) {
  deadline_ = deadline;
  if (late_ || deadline == io::kNever || (timer_ != 0 && timer_at_ <= deadline)) return;
  if (timer_ != 0) network_.clock_.cancel_timer(timer_);
  start_timer();
}

// Like a socket, and unlike a wait: it ends whether or not anybody reads or writes.
void SimStream::start_timer() {
  timer_at_ = deadline_;
  timer_ = network_.clock_.start_timer(timer_at_, [this] {
    timer_ = 0;
    if (deadline_ == io::kNever) return;
    if (deadline_ > network_.clock_.now()) return start_timer();  // It was moved meanwhile.
    late_ = true;
    close();
    wake();
  });
}

io::Task<Result<void>> SimStream::wait(io::Event& event, io::TimePoint until) {
  auto woken = co_await event.wait(io::Call{until, aborted_.token()});
  if (!woken && woken.error().code == Errc::cancelled) co_return woken;
  co_return Result<void>{};  // The caller looks again.
}

Result<void> SimStream::check(std::string_view doing) const {
  if (aborted_.cancelled()) return fail(Errc::cancelled, "{}: cancelled", doing);
  if (late_) return fail(Errc::deadline_exceeded, "{}: no progress in time", doing);
  if (dead_) return fail(Errc::unavailable, "{}: Network is down", doing);
  return {};
}

io::Task<Result<size_t>> SimStream::read_some(std::span<char> into) {
  const auto pipe = in_;
  while (true) {
    CO_TRY_VOID(check("read"));
    if (sees_broken(*pipe)) co_return fail(Errc::unavailable, "read: connection reset by peer");
    io::TimePoint until = io::kNever;
    if (!hears()) {
      // Nothing comes until the way is healed.
    } else if (!pipe->pieces.empty()) {
      auto& [arrival, data] = pipe->pieces.front();
      if (arrival <= network_.clock_.now()) {
        const size_t slice = network_.random_.between(1, network_.faults.slice_max);
        const size_t count = std::min({slice, data.size(), into.size()});
        std::memcpy(into.data(), data.data(), count);
        data.erase(0, count);
        if (data.empty()) pipe->pieces.pop_front();
        pipe->bytes -= count;
        pipe->writable.notify_all();
        network_.note_read(count);
        co_return count;
      }
      until = arrival;
    } else if (pipe->closed) {
      co_return size_t{0};
    }
    CO_TRY_VOID(co_await wait(pipe->readable, until));
  }
}

io::Task<Result<void>> SimStream::write(std::span<const std::string_view> parts) {
  const auto pipe = out_;
  std::string data;
  for (const auto part : parts) data += part;
  while (!data.empty()) {
    CO_TRY_VOID(check("write"));
    if (sees_broken(*pipe) || pipe->closed) {
      co_return fail(Errc::unavailable, "write: broken pipe");
    }
    if (!pipe->local && network_.random_.chance(network_.faults.reset_chance)) {
      pipe->break_off();
      in_->break_off();
      co_return fail(Errc::unavailable, "write: connection reset by peer");
    }
    const size_t room = network_.faults.window - std::min(network_.faults.window, pipe->bytes);
    if (room == 0) {
      CO_TRY_VOID(co_await wait(pipe->writable, io::kNever));
      continue;
    }
    // Bytes of one connection never overtake each other.
    const io::TimePoint arrival = network_.clock_.now() + network_.delay(pipe->from, pipe->to);
    pipe->last_arrival = std::max(pipe->last_arrival, arrival);
    const size_t count = std::min(room, data.size());
    pipe->pieces.emplace_back(pipe->last_arrival, data.substr(0, count));
    pipe->bytes += count;
    data.erase(0, count);
    pipe->readable.notify_all();
  }
  co_return Result<void>{};
}

}  // namespace om::sim
