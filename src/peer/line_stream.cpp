#include "peer/line_stream.h"

#include "engine/remote/peer_link.h"
#include "engine/remote/wire.h"

namespace om::peer {

LineStream::LineStream(io::World& world, http::ResponseWriter& response)
    : world_(world), response_(response), idle_(world.clock), tasks_(world.executor, world.clock) {}

LineStream::~LineStream() = default;

io::Task<Result<void>> LineStream::start() {
  CO_TRY_VOID(co_await response_.start(200, "application/x-ndjson"));
  written_ = world_.clock.now();
  tasks_.spawn(pulse());
  co_return Result<void>{};
}

io::Task<Result<void>> LineStream::write(std::string_view lines) {
  while (writing_) CO_TRY_VOID(co_await idle_.wait());
  co_return co_await send(lines);
}

// One at a time: a pulse may be on its way.
io::Task<Result<void>> LineStream::send(std::string_view lines) {
  if (broken_) co_return fail(Errc::unavailable, "the other node is gone");
  writing_ = true;
  auto sent = co_await response_.write(lines);
  writing_ = false;
  written_ = world_.clock.now();
  if (!sent) broken_ = true;
  idle_.notify_all();
  co_return sent;
}

io::Task<void> LineStream::pulse() {
  const io::CancelToken token = tasks_.token();
  while (!broken_) {
    // A write that takes long is a sign of life when it ends; until then there is nothing to add.
    const io::TimePoint last = writing_ ? world_.clock.now() : written_;
    const auto slept =
        co_await world_.clock.sleep_until(last + engine::kPulseInterval, {io::kNever, token});
    if (!slept) co_return;
    if (writing_ || world_.clock.now() < written_ + engine::kPulseInterval) continue;
    const auto sent = co_await send(engine::kPulseLine);
    if (!sent) co_return;
  }
}

io::Task<void> LineStream::finish() {
  co_await tasks_.stop();
  // Who is gone needs no end.
  if (!broken_ && response_.started()) (void)co_await response_.finish();
}

}  // namespace om::peer
