#include "engine/split/stream_relay.h"

namespace om::engine {
namespace {

constexpr size_t kPieceBytes = 64 * 1024;

}  // namespace

StreamRelay::StreamRelay(io::World& world, std::unique_ptr<io::Stream> near,
                         std::unique_ptr<io::Stream> far)
    : near_(std::move(near)), far_(std::move(far)), tasks_(world.executor, world.clock) {}

StreamRelay::~StreamRelay() = default;

void StreamRelay::abort() {
  near_->abort();
  far_->abort();
}

io::Task<void> StreamRelay::copy(io::Stream& from, io::Stream& to, uint64_t& count) {
  std::string piece(kPieceBytes, '\0');
  while (true) {
    const auto read = co_await from.read_some(piece);
    if (!read || *read == 0) break;
    const auto written = co_await to.write(std::string_view(piece).substr(0, *read));
    if (!written) break;
    count += *read;
  }
  // The protocol carried here knows no half-closed connection.
  abort();
}

io::Task<void> StreamRelay::run(io::CancelToken cancel, uint64_t& sent) {
  tasks_.spawn(copy(*near_, *far_, sent));
  tasks_.spawn(copy(*far_, *near_, received_));
  const io::OnCancel on_cancel(cancel, [this] { abort(); });
  co_await tasks_.wait();
}

}  // namespace om::engine
