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
  if (dead_ || aborted_.cancelled() || in_->torn) return false;
  return !hears() || (!in_->broken && !in_->closed && in_->pieces.empty());
}

void SimStream::set_deadline(io::TimePoint deadline) {
  const bool sooner = deadline < deadline_;
  deadline_ = deadline;
  if (!sooner) return;
  in_->readable.notify_all();  // Those who wait look at the new deadline.
  out_->writable.notify_all();
}

io::Task<Result<void>> SimStream::wait(io::Event& event, io::TimePoint until) {
  if (deadline_ <= network_.clock_.now()) {
    co_return fail(Errc::deadline_exceeded, "no progress in time");
  }
  auto woken = co_await event.wait(io::Call{std::min(until, deadline_), aborted_.token()});
  if (!woken && woken.error().code == Errc::cancelled) co_return woken;
  co_return Result<void>{};  // The caller looks again, at the deadline too.
}

io::Task<Result<size_t>> SimStream::read_some(std::span<char> into) {
  const auto pipe = in_;
  while (true) {
    if (aborted_.cancelled()) co_return fail(Errc::cancelled, "read: cancelled");
    if (dead_) co_return fail(Errc::unavailable, "read: Network is down");
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
    if (aborted_.cancelled()) co_return fail(Errc::cancelled, "write: cancelled");
    if (dead_) co_return fail(Errc::unavailable, "write: Network is down");
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
