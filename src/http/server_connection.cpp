#include "http/server_connection.h"

#include <algorithm>

#include "http/metrics.h"

namespace om::http {
namespace {

bool sane_id(std::string_view id) {
  return !id.empty() && id.size() <= 128 && std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  });
}

HeadLimits head_limits(const ServerLimits& limits) {
  HeadLimits head;
  head.bytes_max = limits.header_bytes_max;
  head.target_bytes_max = std::min(head.target_bytes_max, limits.header_bytes_max);
  return head;
}

// Of a client that is waited for: taking this much within write_idle_max is a sign of life.
constexpr size_t kWritePieceBytes = 16 * 1024;

using Parts = Connection::Parts;

size_t bytes_of(const Parts& parts) { return parts[0].size() + parts[1].size() + parts[2].size(); }

std::string_view cut_front(std::string_view& text, size_t bytes_max) {
  const std::string_view front = text.substr(0, bytes_max);
  text.remove_prefix(front.size());
  return front;
}

// The front of all parts together: one TLS record for a small chunk with its framing.
Parts take_piece(Parts& parts) {
  Parts piece;
  size_t room = kWritePieceBytes;
  for (size_t i = 0; i < parts.size(); i++) {
    piece[i] = cut_front(parts[i], room);
    room -= piece[i].size();
  }
  return piece;
}

void drop_front(Parts& parts, size_t taken) {
  metrics::sent_bytes.add(taken);
  for (std::string_view& part : parts) taken -= cut_front(part, taken).size();
}

}  // namespace

void RequestMemory::reset() {
  text.clear();
  head = RequestHead{.headers = std::move(head.headers)};
  head.headers.clear();
  for (std::string* part :
       {&request.method, &request.target, &request.path, &request.query, &request.peer,
        &request.peer_certificate, &request.peer_certificate_serial, &request.id}) {
    part->clear();
  }
  request.headers.clear();
  request.from_this_machine = false;
  request.cancel = {};
  request.started = {};
}

size_t RequestMemory::memory_bytes() const {
  size_t bytes = sizeof(*this) + text.capacity() + head.headers.memory_bytes() +
                 request.headers.memory_bytes();
  for (const std::string* part :
       {&request.method, &request.target, &request.path, &request.query, &request.peer,
        &request.peer_certificate, &request.peer_certificate_serial, &request.id}) {
    bytes += part->capacity();
  }
  return bytes;
}

ObjectPool<RequestMemory>& request_memory() {
  static auto* pool = new ObjectPool<RequestMemory>("requests");
  return *pool;
}

std::string_view Request::query_value(std::string_view name) const {
  std::string_view rest = query;
  while (!rest.empty()) {
    const size_t end = rest.find('&');
    const std::string_view pair = rest.substr(0, end);
    const size_t equals = pair.find('=');
    if (pair.substr(0, equals) == name) {
      return equals == std::string_view::npos ? std::string_view{} : pair.substr(equals + 1);
    }
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
  }
  return {};
}

Connection::Connection(ServerShared& shared, std::unique_ptr<io::Stream> stream)
    : shared_(shared),
      stream_(std::move(stream)),
      peer_(stream_->peer()),
      from_this_machine_(stream_->from_this_machine()),
      input_(*stream_, shared.world.clock, [this] { on_input_end(); }) {}

io::Task<void> Connection::read_ahead() { return input_.run(); }

void Connection::on_input_end() {
  gone_ = true;
  cancel_.cancel();
  // A chunk that the client no longer takes would otherwise wait for write_idle_max.
  if (streaming_) stream_->abort();
}

void Connection::close_if_idle() {
  if (idle_) input_.interrupt();
}

io::Task<void> Connection::run() {
  while (co_await serve_one()) {
  }
  if (must_linger_ && !gone_) co_await linger();
  stream_->abort();
  co_await input_.join();
}

// Closing a socket with unread bytes resets the connection, and the reset may overtake the answer.
// However much there is: Go's client looks at an early answer to its upload only 50 ms later.
io::Task<void> Connection::linger() {
  idle_ = true;
  const io::TimePoint end = shared_.world.clock.now() + shared_.limits.linger_max;
  while (true) {
    input_.consume(input_.bytes().size());
    const auto more = co_await input_.more(end);
    if (!more) co_return;
  }
}

io::Task<Result<size_t>> Connection::read_head(HeadScanner& scanner) {
  const auto& limits = shared_.limits;
  io::TimePoint deadline = io::kNever;
  while (true) {
    const std::string_view bytes = input_.bytes();
    if (const size_t length = scanner.scan(bytes); length > 0) co_return length;
    if (scanner.refused()) co_return fail(Errc::invalid_argument, "{}", scanner.refused().why);
    idle_ = bytes.empty();
    const io::TimePoint now = shared_.world.clock.now();
    if (!idle_ && deadline == io::kNever) deadline = now + limits.header_time_max;
    if (idle_ && shared_.stopping) co_return fail(Errc::cancelled, "the server is stopping");
    CO_TRY_VOID(co_await input_.more(idle_ ? now + limits.keep_alive_idle : deadline));
  }
}

Refusal Connection::fill_request(const RequestHead& head, Request& request) {
  request.method = head.method;
  request.target = head.target;
  std::string_view target = head.target;
  request.headers = head.headers;
  if (const size_t scheme = target.find("://");
      !target.starts_with('/') && scheme != std::string_view::npos) {
    // Absolute form: its host counts, whatever the Host header says (RFC 9112 section 3.2.2).
    const std::string_view rest = target.substr(scheme + 3);
    const size_t end = rest.find_first_of("/?");
    request.headers.set("Host", rest.substr(0, end));
    target = end == std::string_view::npos ? "/" : rest.substr(end);
  }
  const size_t question = target.find('?');
  const std::string_view path = target.substr(0, question);
  if (question != std::string_view::npos) request.query = target.substr(question + 1);
  auto decoded = percent_decode(path.empty() ? "/" : path);
  if (!decoded) return {400, "a broken percent escape in the path"};
  request.path = std::move(*decoded);
  request.peer = peer_;
  request.from_this_machine = from_this_machine_;
  request.peer_certificate = stream_->peer_certificate_name();
  request.peer_certificate_serial = stream_->peer_certificate_serial();
  const std::string_view id = head.headers.get("X-Request-Id");
  request.id = sane_id(id) ? std::string(id) : shared_.next_request_id();
  request.started = shared_.world.clock.now();
  return {};
}

io::Task<bool> Connection::serve_one() {
  const HeadLimits limits = head_limits(shared_.limits);
  HeadScanner scanner(limits);
  cancel_ = io::CancelSource();
  const auto length = co_await read_head(scanner);
  idle_ = false;
  if (!length) {
    if (scanner.refused()) {
      co_await refuse(scanner.refused());
    } else if (length.error().code == Errc::deadline_exceeded && !input_.bytes().empty()) {
      co_await refuse({408, "the request head did not arrive in time"});
    }
    co_return false;
  }
  const auto memory = request_memory().get();
  // A copy: the buffer moves when more arrives, and the head is looked at while it does.
  memory->text = input_.bytes().substr(0, *length);
  input_.consume(*length);
  if (const Refusal refusal = parse_request_head(memory->text, limits, memory->head)) {
    co_await refuse(refusal);
    co_return false;
  }
  requests_++;
  co_return co_await answer(memory->head, memory->request);
}

io::Task<bool> Connection::answer(const RequestHead& head, Request& request) {
  if (const Refusal refusal = fill_request(head, request)) {
    co_await refuse(refusal);
    co_return false;
  }
  request.cancel = cancel_.token();
  if (gone_) cancel_.cancel();
  RequestBody body(shared_, *stream_, input_, head);
  Response response(*this, head, body);
  shared_.requests_running++;
  co_await shared_.handler(request, body, response);
  shared_.requests_running--;
  if (cancel_.cancelled()) metrics::cancelled.add();
  if (!response.started()) {
    // Nobody is left to hear of a failed write here; the connection ends with it.
    const auto sent = co_await response.send(500, "application/json",
                                             R"({"error":"the request was not answered"})");
    if (!sent) co_return false;
  }
  if (!response.finished()) co_return false;  // Cut short: the client must not take it as whole.
  if (!response.keep_alive()) {
    must_linger_ = !body.done() && !response.ends_with_connection();
    co_return false;
  }
  if (co_await body.skip_rest()) co_return true;
  must_linger_ = true;
  co_return false;
}

io::Task<void> Connection::refuse(Refusal refusal) {
  must_linger_ = true;
  metrics::refused.add();
  metrics::count_response(refusal.status);
  const std::string body = fmt::format("{{\"error\":\"{}\"}}", refusal.why);
  const std::string head = fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: application/json\r\nDate: {}\r\nConnection: close\r\n"
      "Content-Length: {}\r\n\r\n",
      refusal.status, reason_phrase(refusal.status),
      shared_.date.at(shared_.world.clock.wall_now()), body.size());
  const auto sent = co_await write({head, body}, false);
  if (!sent) must_linger_ = false;
}

io::Task<Result<void>> Connection::write(Parts parts, bool streaming) {
  const size_t total = bytes_of(parts);
  Result<size_t> taken = stream_->write_now(parts);
  if (taken && *taken == total) {  // Nearly always: the socket's buffer has room.
    metrics::sent_bytes.add(total);
    co_return Result<void>{};
  }
  if (!taken) {
    cancel_.cancel();
    stream_->abort();
    co_return fail(std::move(taken).error());
  }
  drop_front(parts, *taken);
  co_return co_await write_slowly(parts, streaming);
}

io::Task<Result<uint64_t>> Connection::send_file(io::File& file, uint64_t offset, uint64_t length) {
  stream_->set_deadline(shared_.world.clock.now() + shared_.limits.write_idle_max);
  streaming_ = true;
  auto sent = co_await stream_->send_file(file, offset, length);
  streaming_ = false;
  stream_->set_deadline(io::kNever);
  if (sent) {
    metrics::sent_bytes.add(*sent);
  } else if (sent.error().code != Errc::unsupported) {
    cancel_.cancel();
    stream_->abort();
  }
  co_return sent;
}

// In pieces, so that a slow client that does take bytes is not called gone; after each of them goes
// what there is room for now, so that a fast one does not notice.
io::Task<Result<void>> Connection::write_slowly(Parts parts, bool streaming) {
  const io::Clock& clock = shared_.world.clock;
  streaming_ = streaming;
  Result<void> result;
  while (result) {
    const Parts piece = take_piece(parts);
    const size_t size = bytes_of(piece);
    if (size == 0) break;
    stream_->set_deadline(clock.now() + shared_.limits.write_idle_max);
    result = co_await stream_->write(piece);
    if (!result) break;
    metrics::sent_bytes.add(size);
    const auto taken = stream_->write_now(parts);
    if (taken) drop_front(parts, *taken);  // If not, the next write tells why.
  }
  streaming_ = false;
  // The read that is always outstanding has no deadline of its own.
  stream_->set_deadline(io::kNever);
  if (!result) {
    cancel_.cancel();
    stream_->abort();
  }
  co_return result;
}

}  // namespace om::http
