#include "io/real/stream.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "io/filesystem.h"
#include "io/real/file_copier.h"
#include "io/real/peer_name.h"

namespace om::io {

namespace asio = boost::asio;

TickedStream::TickedStream(DeadlineTick& tick, const Socket& socket)
    : tick_(tick), peer_(peer_name(socket)), one_address_(has_one_address(socket)) {
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
  if (timer_ != 0 || streams_.empty()) return;
  due_ = clock_.now() + kInterval;
  timer_ = clock_.start_timer(due_, [this] { run(); });
}

void DeadlineTick::run() {
  timer_ = 0;
  const TimePoint now = clock_.now();
  const Duration stood = now - due_;
  for (TickedStream* stream : streams_) {
    if (stood > kInterval && stream->deadline_ < now + kAfterStall) {
      stream->deadline_ = std::min(stream->deadline_ + stood, now + kAfterStall);
    }
    if (stream->deadline_ > now || stream->ended_ != TickedStream::Ended::no) continue;
    stream->ended_ = TickedStream::Ended::late;
    stream->close_socket();  // Its operations complete later, never inside this loop.
  }
  arm();
}

namespace {

class SocketStream final : public TickedStream {
 public:
  SocketStream(DeadlineTick& tick, FileCopier& copier, Socket socket)
      : TickedStream(tick, socket), copier_(copier), socket_(std::move(socket)) {
    boost::system::error_code ignored;  // A socket that cannot do this still works, only slower.
    socket_.native_non_blocking(true, ignored);
  }

  Task<Result<size_t>> read_some(std::span<char> into) override;
  Task<Result<void>> write(std::span<const std::string_view> parts) override;
  Result<size_t> write_now(std::span<const std::string_view> parts) override;
  Task<Result<uint64_t>> send_file(File& file, uint64_t offset, uint64_t length) override;
  bool is_idle() override;

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

  FileCopier& copier_;
  Socket socket_;
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

Task<Result<uint64_t>> SocketStream::send_file(File& file, uint64_t offset, uint64_t length) {
  if (file.descriptor() < 0) co_return fail(Errc::unsupported, "a file without a descriptor");
  while (true) {
    if (ended()) co_return fail(explain({}, "write"));
    const int64_t copied =
        co_await copier_.copy(socket_.native_handle(), file.descriptor(), offset, length);
    if (copied > 0) co_return static_cast<uint64_t>(copied);
    if (copied == -ENODATA) co_return fail(Errc::io_failed, "the file ends before {}", offset);
    // The kernel cannot copy this file; or there is no thread or descriptor left to do it with.
    if (copied == -EINVAL || copied == -EAGAIN || copied == -EMFILE || copied == -ENFILE) {
      co_return fail(Errc::unsupported, "the kernel does not copy it now");
    }
    if (copied < 0) {
      co_return fail(
          explain({static_cast<int>(-copied), boost::system::system_category()}, "write"));
    }
  }
}

bool SocketStream::is_idle() {
  if (ended() || !socket_.is_open()) return false;
  char byte = 0;
  const ssize_t count = ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

}  // namespace

std::unique_ptr<Stream> make_stream(DeadlineTick& tick, FileCopier& copier, Socket socket) {
  return std::make_unique<SocketStream>(tick, copier, std::move(socket));
}

}  // namespace om::io
