#include <algorithm>

#include "base/strings.h"
#include "http/content_coding.h"
#include "http/server_connection.h"

namespace om::http {

RequestBody::RequestBody(ServerShared& shared, io::Stream& stream, ReadAhead& input,
                         const RequestHead& head)
    : shared_(shared),
      stream_(stream),
      input_(input),
      encoding_(head.headers.get("Content-Encoding")),
      framing_(head.framing),
      length_(head.length),
      left_(head.length),
      done_(head.framing == Framing::none),
      continue_owed_(head.expects_continue) {}

std::optional<uint64_t> RequestBody::length() const {
  if (framing_ == Framing::chunked) return std::nullopt;
  return length_;
}

Result<void> RequestBody::take(std::string& into, size_t size_max) {
  if (framing_ == Framing::length) {
    const size_t count =
        std::min<uint64_t>({left_, input_.bytes().size(), static_cast<uint64_t>(size_max)});
    into.append(input_.bytes().substr(0, count));
    input_.consume(count);
    left_ -= count;
    done_ = left_ == 0;
    return {};
  }
  const size_t before = into.size();
  while (!done_ && into.size() - before < size_max) {
    const std::string_view all = input_.bytes().substr(0, size_max - (into.size() - before));
    if (all.empty()) break;
    std::string_view rest = all;
    into.append(decoder_.next(rest));
    input_.consume(all.size() - rest.size());
    done_ = decoder_.done();
    if (decoder_.failed()) {
      broken_ = true;
      return fail(Errc::invalid_argument, "broken chunked coding in the request body");
    }
  }
  return {};
}

io::Task<Result<void>> RequestBody::send_continue() {
  continue_owed_ = false;
  if (!input_.bytes().empty()) co_return Result<void>{};  // It did not wait for us.
  stream_.set_deadline(shared_.world.clock.now() + shared_.limits.write_idle_max);
  auto sent = co_await stream_.write("HTTP/1.1 100 Continue\r\n\r\n");
  stream_.set_deadline(io::kNever);
  co_return sent;
}

io::Task<Result<bool>> RequestBody::append_some(std::string& into, size_t size_max) {
  if (broken_) co_return fail(Errc::invalid_argument, "the request body is broken");
  if (continue_owed_) CO_TRY_VOID(co_await send_continue());
  const size_t before = into.size();
  while (!done_) {
    CO_TRY_VOID(take(into, size_max));
    if (into.size() > before) co_return true;
    if (done_) break;
    auto arrived = co_await input_.more(shared_.world.clock.now() + shared_.limits.body_idle_max);
    if (!arrived) {
      broken_ = true;
      co_return fail(annotate(std::move(arrived).error(), "request body"));
    }
  }
  co_return false;
}

io::Task<Result<std::string>> RequestBody::read_some() {
  std::string piece;
  CO_TRY_VOID(co_await append_some(piece, kPieceBytes));
  co_return piece;
}

io::Task<Result<std::string>> RequestBody::read_all(uint64_t size_max) {
  size_max = std::min(size_max, shared_.limits.body_bytes_max);
  const auto too_large = [size_max] {
    return fail(Errc::overloaded, "the request body is larger than {} bytes", size_max);
  };
  if (length_ > size_max) co_return too_large();
  std::string body;
  // Only the announced size up to a bound: the bytes have not come yet.
  body.reserve(std::min<uint64_t>(length_, 1 << 20));
  while (true) {
    CO_TRY(const bool more, co_await append_some(body, kPieceBytes));
    if (body.size() > size_max) co_return too_large();
    if (!more) break;
  }
  if (encoding_.empty() || iequals(encoding_, "identity")) co_return body;
  auto decode = [encoding = encoding_, body = std::move(body), size_max] {
    return decode_content(encoding, body, size_max);
  };
  co_return co_await shared_.world.workers.run(std::move(decode));
}

bool RequestBody::can_skip_rest() const {
  if (done_) return true;
  // A client that waits for 100 Continue may or may not send its body after a final answer.
  if (broken_ || continue_owed_ || input_.ended()) return false;
  // How much is left of chunks nobody knows: a connection that was said to stay must not end.
  return framing_ != Framing::chunked && left_ <= kSkipBytesMax;
}

io::Task<bool> RequestBody::skip_rest() {
  if (done_) co_return true;
  if (!can_skip_rest()) co_return false;
  std::string piece;
  while (true) {
    piece.clear();
    const auto more = co_await append_some(piece, kPieceBytes);
    if (!more) co_return false;
    if (!*more) co_return true;
  }
}

}  // namespace om::http
