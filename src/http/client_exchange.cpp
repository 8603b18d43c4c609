#include "http/client_exchange.h"

#include <algorithm>

namespace om::http {

ClientExchange::ClientExchange(std::shared_ptr<ClientPool> pool, std::string key,
                               std::unique_ptr<io::Stream> stream, const io::Clock& clock,
                               io::Call call, const ClientLimits& limits)
    : pool_(std::move(pool)),
      key_(std::move(key)),
      stream_(std::move(stream)),
      clock_(clock),
      call_(std::move(call)),
      buffer_(std::max(kBufferBytesMax, limits.header_bytes_max)),
      on_cancel_(call_.cancel, [this] {
        if (stream_) stream_->abort();
      }) {
  head_limits_.bytes_max = limits.header_bytes_max;
  head_limits_.fields_max = 256;
}

std::optional<uint64_t> ClientExchange::length() const {
  if (head_.framing == Framing::length) return head_.length;
  if (head_.framing == Framing::none) return is_head_request_ ? head_.length : 0;
  return std::nullopt;
}

void ClientExchange::arm_deadline() {
  io::TimePoint deadline = call_.deadline;
  if (idle_max_ > io::Duration::zero()) deadline = std::min(deadline, clock_.now() + idle_max_);
  stream_->set_deadline(deadline);
}

void ClientExchange::rest_deadline() { stream_->set_deadline(call_.deadline); }

std::unexpected<Error> ClientExchange::broken(Error error) {
  stream_.reset();
  error_ = error;
  return fail(std::move(error));
}

io::Task<Result<void>> ClientExchange::send_body(ClientRequest& request) {
  uint64_t left = request.body_length;
  body_source_used_ = true;
  while (true) {
    auto piece = co_await request.body_source();
    if (!piece) co_return fail(annotate(std::move(piece).error(), "request body"));
    if (piece->size() > left || (piece->empty() && left > 0)) {
      co_return fail(Errc::internal, "the request body is not as long as announced");
    }
    if (piece->empty()) co_return Result<void>{};
    left -= piece->size();
    arm_deadline();
    CO_TRY_VOID(co_await stream_->write(*piece));
    rest_deadline();
  }
}

io::Task<Result<void>> ClientExchange::send_request(ClientRequest& request,
                                                    const std::string& head) {
  arm_deadline();
  const std::array<std::string_view, 2> parts{
      head, request.body_source ? std::string_view{} : std::string_view(request.body)};
  CO_TRY_VOID(co_await stream_->write(parts));
  rest_deadline();
  if (request.body_source) CO_TRY_VOID(co_await send_body(request));
  co_return Result<void>{};
}

io::Task<Result<void>> ClientExchange::run(ClientRequest& request, const std::string& head) {
  is_head_request_ = request.method == "HEAD";
  auto sent = co_await send_request(request, head);
  sent_whole_ = sent.has_value();
  // A server that refuses a large body answers, closes, and makes our write fail.
  if (!sent && sent.error().code != Errc::unavailable) {
    co_return broken(std::move(sent).error());
  }
  auto read = co_await read_head();
  // Nor does it read on when it refuses our certificate, and says so to who listens.
  const bool told = sent || (!read && read.error().code == Errc::unauthenticated);
  if (!read) co_return broken(told ? std::move(read).error() : std::move(sent).error());
  co_return Result<void>{};
}

io::Task<Result<void>> ClientExchange::fill() {
  arm_deadline();
  const auto count = co_await stream_->read_some(buffer_.room());
  if (!count) co_return fail(count.error());
  rest_deadline();
  if (*count == 0) co_return fail(Errc::unavailable, "the server closed the connection");
  received_any_ = true;
  buffer_.added(*count);
  co_return Result<void>{};
}

io::Task<Result<void>> ClientExchange::read_head() {
  for (int informational = 0; informational <= kInformationalMax; informational++) {
    HeadScanner scanner(head_limits_);
    size_t length = 0;
    while ((length = scanner.scan(buffer_.bytes())) == 0) {
      if (scanner.refused()) {
        co_return fail(Errc::corrupt, "not an HTTP response: {}", scanner.refused().why);
      }
      CO_TRY_VOID(co_await fill());
    }
    head_ = ResponseHead{};
    const Refusal refusal =
        parse_response_head(buffer_.bytes().substr(0, length), head_limits_, head_);
    buffer_.consume(length);
    if (refusal) co_return fail(Errc::corrupt, "not an HTTP response: {}", refusal.why);
    if (head_.status == 101) co_return fail(Errc::corrupt, "the server switched protocols");
    if (head_.status < 200) continue;
    if (is_head_request_) head_.framing = Framing::none;
    left_ = head_.length;
    if (head_.framing == Framing::none) body_ended();
    co_return Result<void>{};
  }
  co_return fail(Errc::corrupt, "too many informational responses");
}

void ClientExchange::body_ended() {
  done_ = true;
  // Bytes that nobody asked for would be taken for the next response.
  const bool reusable = head_.keep_alive && sent_whole_ && buffer_.bytes().empty() &&
                        head_.framing != Framing::until_close && !call_.cancel.cancelled();
  auto stream = std::move(stream_);
  if (reusable) pool_->put(key_, std::move(stream));
}

Result<bool> ClientExchange::take_buffered(std::string& into) {
  const std::string_view all = buffer_.bytes();
  const size_t before = into.size();
  if (head_.framing == Framing::chunked) {
    std::string_view rest = all;
    while (!rest.empty() && !decoder_.done() && !decoder_.failed()) {
      into.append(decoder_.next(rest));
    }
    buffer_.consume(all.size() - rest.size());
    if (decoder_.failed()) return fail(Errc::corrupt, "broken chunked coding in the response");
    if (decoder_.done()) body_ended();
  } else {
    size_t count = all.size();
    if (head_.framing == Framing::length) count = std::min<uint64_t>(left_, count);
    into.append(all.substr(0, count));
    buffer_.consume(count);
    left_ -= head_.framing == Framing::length ? count : 0;
    if (head_.framing == Framing::length && left_ == 0) body_ended();
  }
  return into.size() > before;
}

// A body of known length goes straight into its string.
io::Task<Result<bool>> ClientExchange::read_direct(std::string& into) {
  const size_t before = into.size();
  const size_t wanted = std::min<uint64_t>(left_, kDirectReadBytes);
  into.resize(before + wanted);
  arm_deadline();
  const auto count = co_await stream_->read_some(std::span(into).subspan(before, wanted));
  rest_deadline();
  into.resize(before + (count ? *count : 0));
  if (!count) co_return broken(count.error());
  if (*count == 0) {
    co_return broken(
        {Errc::unavailable, fmt::format("the connection closed {} bytes early", left_)});
  }
  left_ -= *count;
  if (left_ == 0) body_ended();
  co_return true;
}

io::Task<Result<bool>> ClientExchange::read_some(std::string& into) {
  while (!done_) {
    if (error_) co_return fail(*error_);
    if (!buffer_.bytes().empty()) {
      auto taken = take_buffered(into);
      if (!taken) co_return broken(std::move(taken).error());
      if (*taken) co_return true;
      if (done_) break;
    }
    if (head_.framing == Framing::length) co_return co_await read_direct(into);
    arm_deadline();
    const auto count = co_await stream_->read_some(buffer_.room());
    rest_deadline();
    if (!count) co_return broken(count.error());
    if (*count == 0) {
      if (head_.framing == Framing::until_close) {
        body_ended();
        break;
      }
      co_return broken({Errc::unavailable, "the connection closed before the body's end"});
    }
    buffer_.added(*count);
  }
  co_return false;
}

io::Task<Result<std::string>> ClientExchange::read_all(uint64_t size_max) {
  std::string body;
  if (length().value_or(0) > size_max && !done_) {
    co_return fail(Errc::overloaded, "the response is larger than {} bytes", size_max);
  }
  while (true) {
    CO_TRY(const bool more, co_await read_some(body));
    if (body.size() > size_max) {
      co_return fail(Errc::overloaded, "the response is larger than {} bytes", size_max);
    }
    if (!more) co_return body;
  }
}

}  // namespace om::http
