#include "base/check.h"
#include "base/strings.h"
#include "http/metrics.h"
#include "http/server_connection.h"

namespace om::http {
namespace {

constexpr size_t kFilePieceBytes = 512 * 1024;

bool forbids_body(int status) { return status < 200 || status == 204 || status == 304; }

// Fields that only this file writes: a handler's own would contradict the framing.
bool is_ours(std::string_view name) {
  return iequals(name, "Content-Length") || iequals(name, "Transfer-Encoding") ||
         iequals(name, "Connection") || iequals(name, "Date");
}

io::Task<Result<void>> already(Result<void> result) { co_return result; }

void append_field(std::string& head, std::string_view name, std::string_view value) {
  head.append(name).append(": ").append(value).append("\r\n");
}

}  // namespace

Response::Response(Connection& connection, const RequestHead& head, const RequestBody& body)
    : connection_(connection),
      request_body_(body),
      is_head_(head.method == "HEAD"),
      http10_(head.minor_version == 0),
      keep_alive_(head.keep_alive) {}

std::string Response::make_head(int status, std::string_view content_type,
                                std::optional<uint64_t> length) {
  ServerShared& shared = connection_.shared_;
  status_ = status;
  metrics::count_response(status);
  started_ = true;
  bodyless_ = is_head_ || forbids_body(status);
  chunked_ = !length && !http10_ && !forbids_body(status);
  until_close_ = !length && http10_ && !bodyless_;
  if (shared.stopping || until_close_ || !request_body_.can_skip_rest() ||
      connection_.requests_ >= shared.limits.requests_per_connection_max) {
    keep_alive_ = false;
  }
  left_ = length;

  std::string head;
  head.reserve(256);
  fmt::format_to(std::back_inserter(head), "HTTP/1.1 {} {}\r\n", status, reason_phrase(status));
  if (!content_type.empty() && valid_field_value(content_type)) {
    append_field(head, "Content-Type", content_type);
  }
  for (const auto& [name, value] : headers_) {
    // A line end in a value would let its author write headers and bodies of his own.
    if (is_ours(name) || !valid_field_name(name) || !valid_field_value(value)) continue;
    append_field(head, name, value);
  }
  append_field(head, "Date", shared.date.at(shared.world.clock.wall_now()));
  if (status == 101) {
    append_field(head, "Connection", "Upgrade");
  } else if (!keep_alive_) {
    append_field(head, "Connection", "close");
  }
  if (keep_alive_ && http10_) append_field(head, "Connection", "keep-alive");
  if (chunked_) append_field(head, "Transfer-Encoding", "chunked");
  if (length && !forbids_body(status))
    append_field(head, "Content-Length", fmt::to_string(*length));
  head.append("\r\n");
  return head;
}

io::Task<Result<void>> Response::send(int status, std::string content_type, std::string body) {
  CHECK(!started_, "a response is sent twice");
  const std::string head = make_head(status, content_type, body.size());
  finished_ = true;
  left_ = 0;
  const std::string_view content = bodyless_ ? std::string_view{} : body;
  co_return co_await connection_.write({head, content}, false);
}

io::Task<Result<void>> Response::start(int status, std::string content_type,
                                       std::optional<uint64_t> length) {
  CHECK(!started_, "a response is started twice");
  unsent_head_ = make_head(status, content_type, length);
  // A body of known length is at hand: one packet for both.
  if (length && !bodyless_) co_return Result<void>{};
  co_return co_await write_after_head({});
}

io::Task<Result<void>> Response::write_after_head(std::string_view data) {
  const std::string head = std::move(unsent_head_);
  unsent_head_.clear();
  co_return co_await connection_.write({head, data}, true);
}

io::Task<Result<void>> Response::write(std::string_view data) {
  CHECK(started_ && !finished_, "a body without start(), or after finish()");
  if (connection_.cancel_.cancelled()) return already(fail(Errc::cancelled, "the client is gone"));
  if (data.empty() || bodyless_) return already({});  // A chunk of no bytes ends the body.
  if (left_) {
    CHECK(data.size() <= *left_, "a body longer than its Content-Length");
    *left_ -= data.size();
  }
  if (!unsent_head_.empty()) return write_after_head(data);
  if (!chunked_) return connection_.write({data}, true);
  return connection_.write({chunk_head_.of(data.size()), data, "\r\n"}, true);
}

io::Task<Result<void>> ResponseWriter::write_file(io::Workers& workers, io::File& file,
                                                  uint64_t offset, uint64_t length) {
  std::string piece;
  while (length > 0) {
    piece.resize(std::min<uint64_t>(length, kFilePieceBytes));
    auto read = [&file, &piece, offset] { return file.read_at(offset, piece); };
    CO_TRY(const size_t count, co_await workers.run(std::move(read)));
    if (count == 0) co_return fail(Errc::io_failed, "the file became shorter while it was sent");
    CO_TRY_VOID(co_await write(std::string_view(piece).substr(0, count)));
    offset += count;
    length -= count;
  }
  co_return Result<void>{};
}

io::Task<Result<std::unique_ptr<io::Stream>>> ResponseWriter::upgrade(std::string protocol) {
  co_return fail(Errc::unsupported, "no upgrade to {} here", protocol);
}

io::Task<Result<void>> Response::write_file(io::Workers& workers, io::File& file, uint64_t offset,
                                            uint64_t length) {
  CHECK(started_ && !finished_, "a body without start(), or after finish()");
  if (bodyless_) co_return Result<void>{};
  if (!left_) co_return co_await ResponseWriter::write_file(workers, file, offset, length);
  CHECK(length <= *left_, "a body longer than its Content-Length");
  if (!unsent_head_.empty()) CO_TRY_VOID(co_await write_after_head({}));
  while (length > 0) {
    if (connection_.cancel_.cancelled()) co_return fail(Errc::cancelled, "the client is gone");
    const auto sent = co_await connection_.send_file(file, offset, length);
    if (!sent) {
      if (sent.error().code != Errc::unsupported) co_return fail(sent.error());
      co_return co_await ResponseWriter::write_file(workers, file, offset, length);
    }
    offset += *sent;
    length -= *sent;
    *left_ -= *sent;
  }
  co_return Result<void>{};
}

io::Task<Result<void>> Response::finish() {
  CHECK(started_, "finish() without start()");
  if (finished_) co_return Result<void>{};
  if (left_ && *left_ > 0 && !bodyless_) {
    co_return fail(Errc::internal, "the body is {} bytes shorter than announced", *left_);
  }
  finished_ = true;
  if (!unsent_head_.empty()) co_return co_await write_after_head({});
  if (!chunked_ || bodyless_) co_return Result<void>{};
  co_return co_await connection_.write({"0\r\n\r\n"}, true);
}

}  // namespace om::http
