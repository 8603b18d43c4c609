#include "io/real/stream.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "io/filesystem.h"
#include "io/real/peer_name.h"
#include "io/workers.h"

namespace om::io {

namespace asio = boost::asio;

TickedStream::TickedStream(DeadlineTick& tick) : tick_(tick) {
  position_ = tick_.streams_.insert(tick_.streams_.end(), this);
  tick_.arm();
}

TickedStream::~TickedStream() { tick_.streams_.erase(position_); }

void TickedStream::abort() {
  if (ended_ == Ended::no) ended_ = Ended::aborted;
  close_socket();
}

Error TickedStream::explain(const boost::system::error_code& error, std::string_view doing) const {
  if (ended_ == Ended::aborted) return {Errc::cancelled, fmt::format("{}: cancelled", doing)};
  if (ended_ == Ended::late) {
    return {Errc::deadline_exceeded, fmt::format("{}: no progress in time", doing)};
  }
  return {Errc::unavailable, fmt::format("{}: {}", doing, error.message())};
}

DeadlineTick::~DeadlineTick() {
  if (timer_ != 0) clock_.cancel_timer(timer_);
}

void DeadlineTick::arm() {
  if (timer_ == 0 && !streams_.empty()) {
    timer_ = clock_.start_timer(clock_.now() + kInterval, [this] { run(); });
  }
}

void DeadlineTick::run() {
  timer_ = 0;
  const TimePoint now = clock_.now();
  for (TickedStream* stream : streams_) {
    if (stream->deadline_ > now || stream->ended_ != TickedStream::Ended::no) continue;
    stream->ended_ = TickedStream::Ended::late;
    stream->close_socket();  // Its operations complete later, never inside this loop.
  }
  arm();
}

namespace {

// A descriptor of its own for a socket: while a worker copies into it, the stream may be closed and
// its number given to another file.
class DuplicateDescriptor {
 public:
  explicit DuplicateDescriptor(int original) : descriptor_(::fcntl(original, F_DUPFD_CLOEXEC, 0)) {}
  ~DuplicateDescriptor() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  DuplicateDescriptor(const DuplicateDescriptor&) = delete;
  DuplicateDescriptor& operator=(const DuplicateDescriptor&) = delete;
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

struct FilePiece {
  int descriptor = -1;
  uint64_t offset = 0, length = 0;
};

// How long a worker waits for room before the io thread does: a fast receiver makes some sooner.
constexpr int kRoomWaitMs = 1;

// The bytes copied until the socket is full; an error number (negative) if none were.
int64_t copy_file(int socket, FilePiece piece) {
  uint64_t copied = 0;
  while (copied < piece.length) {
    auto offset = static_cast<off_t>(piece.offset + copied);
    const ssize_t count = ::sendfile(socket, piece.descriptor, &offset, piece.length - copied);
    if (count > 0) {
      copied += static_cast<uint64_t>(count);
      continue;
    }
    if (count < 0 && errno == EINTR) continue;
    if (count == 0) return copied > 0 ? static_cast<int64_t>(copied) : -ENODATA;
    if (errno != EAGAIN) return copied > 0 ? static_cast<int64_t>(copied) : -errno;
    pollfd room{socket, POLLOUT, 0};
    if (::poll(&room, 1, kRoomWaitMs) <= 0) break;
  }
  return static_cast<int64_t>(copied);
}

class SocketStream final : public TickedStream {
 public:
  SocketStream(DeadlineTick& tick, Socket socket)
      : TickedStream(tick), socket_(std::move(socket)), peer_(peer_name(socket_)) {
    boost::system::error_code ignored;  // A socket that cannot do this still works, only slower.
    socket_.native_non_blocking(true, ignored);
  }

  Task<Result<size_t>> read_some(std::span<char> into) override;
  Task<Result<void>> write(std::span<const std::string_view> parts) override;
  Result<size_t> write_now(std::span<const std::string_view> parts) override;
  Task<Result<uint64_t>> send_file(Workers& workers, File& file, uint64_t offset,
                                   uint64_t length) override;
  bool is_idle() override;
  std::string peer() const override { return peer_; }

 protected:
  void close_socket() override {
    boost::system::error_code ignored;  // Closing has no useful failure.
    socket_.close(ignored);
  }

 private:
  Result<size_t> told(const boost::system::error_code& error, size_t count) const;
  // One sendmsg of what is left; the bytes taken, 0 if the socket is full.
  Result<size_t> send_now(std::span<const std::string_view> parts, size_t skip);

  static constexpr size_t kPartsMax = 16;
  static constexpr uint64_t kCopyBytesMax = 8 << 20;  // With one turn of a worker.

  Socket socket_;
  std::string peer_;
};

Result<size_t> SocketStream::told(const boost::system::error_code& error, size_t count) const {
  if (error == asio::error::eof) return size_t{0};
  if (error) return fail(explain(error, "read"));
  return count;
}

// Every chunk of every stream comes through here: no coroutine of its own around Asio's.
Task<Result<size_t>> SocketStream::read_some(std::span<char> into) {
  return asio::async_initiate<const asio::use_awaitable_t<>, void(Result<size_t>)>(
      [this, into](auto handler) {
        if (ended()) {
          asio::post(socket_.get_executor(), [this, handler = std::move(handler)]() mutable {
            std::move(handler)(Result<size_t>(fail(explain({}, "read"))));
          });
          return;
        }
        socket_.async_read_some(asio::buffer(into.data(), into.size()),
                                [this, handler = std::move(handler)](
                                    boost::system::error_code error, size_t count) mutable {
                                  std::move(handler)(told(error, count));
                                });
      },
      asio::use_awaitable);
}

Result<size_t> SocketStream::write_now(std::span<const std::string_view> parts) {
  if (ended()) return fail(explain({}, "write"));
  return send_now(parts, 0);
}

Result<size_t> SocketStream::send_now(std::span<const std::string_view> parts, size_t skip) {
  std::array<iovec, kPartsMax> pieces;
  size_t count = 0;
  for (const std::string_view part : parts) {
    if (skip >= part.size()) {
      skip -= part.size();
      continue;
    }
    if (count == pieces.size()) break;
    pieces[count++] = {const_cast<char*>(part.data() + skip), part.size() - skip};
    skip = 0;
  }
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = count;
  while (true) {
    const ssize_t sent = ::sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) return static_cast<size_t>(sent);
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return size_t{0};
    return fail(explain({errno, boost::system::system_category()}, "write"));
  }
}

Task<Result<void>> SocketStream::write(std::span<const std::string_view> parts) {
  size_t total = 0, sent = 0;
  for (const std::string_view part : parts) total += part.size();
  // Straight to the kernel: almost always it takes all, and no turn of the loop is needed.
  while (sent < total) {
    if (ended()) co_return fail(explain({}, "write"));
    CO_TRY(const size_t count, send_now(parts, sent));
    sent += count;
    if (count > 0) continue;
    const auto [error] = co_await socket_.async_wait(asio::socket_base::wait_write,
                                                     asio::as_tuple(asio::use_awaitable));
    if (error) co_return fail(explain(error, "write"));
  }
  co_return Result<void>{};
}

Task<Result<uint64_t>> SocketStream::send_file(Workers& workers, File& file, uint64_t offset,
                                               uint64_t length) {
  const FilePiece piece{file.descriptor(), offset, std::min(length, kCopyBytesMax)};
  if (piece.descriptor < 0) co_return fail(Errc::unsupported, "a file without a descriptor");
  while (true) {
    if (ended()) co_return fail(explain({}, "write"));
    const DuplicateDescriptor target(socket_.native_handle());
    if (target.get() < 0) co_return fail(Errc::unsupported, "no descriptor to copy with");
    auto copy = [&target, piece] { return copy_file(target.get(), piece); };
    const int64_t copied = co_await workers.run(std::move(copy));
    if (copied > 0) co_return static_cast<uint64_t>(copied);
    if (copied == -ENODATA) co_return fail(Errc::io_failed, "the file ends before {}", offset);
    if (copied == -EINVAL) co_return fail(Errc::unsupported, "a file the kernel cannot copy");
    if (copied < 0) {
      co_return fail(
          explain({static_cast<int>(-copied), boost::system::system_category()}, "write"));
    }
    if (ended()) co_return fail(explain({}, "write"));
    const auto [error] = co_await socket_.async_wait(asio::socket_base::wait_write,
                                                     asio::as_tuple(asio::use_awaitable));
    if (error) co_return fail(explain(error, "write"));
  }
}

bool SocketStream::is_idle() {
  if (ended() || !socket_.is_open()) return false;
  char byte = 0;
  const ssize_t count = ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

}  // namespace

std::unique_ptr<Stream> make_stream(DeadlineTick& tick, Socket socket) {
  return std::make_unique<SocketStream>(tick, std::move(socket));
}

}  // namespace om::io
