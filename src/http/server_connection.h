// One client connection of the server: its loop, the body it reads, the response it writes.
#pragma once

#include <array>
#include <string>

#include "base/memory/object_pool.h"
#include "http/chunked.h"
#include "http/head.h"
#include "http/read_ahead.h"
#include "http/server.h"

namespace om::http {

// The Date header, made once a second.
class DateCache {
 public:
  std::string_view at(io::WallTime now);  // "Sun, 06 Nov 1994 08:49:37 GMT".

 private:
  int64_t second_ = -1;
  std::string text_;
};

// What the connections of one server share.
struct ServerShared {
  io::World& world;
  ServerLimits limits;
  Handler handler;
  std::string id_prefix;  // Of the request ids made here.
  uint64_t requests = 0;
  size_t requests_running = 0;
  bool stopping = false;
  DateCache date;

  std::string next_request_id() { return fmt::format("{}-{}", id_prefix, ++requests); }
};

// The body of the current request, over the connection's read-ahead buffer.
class RequestBody final : public BodyReader {
 public:
  RequestBody(ServerShared& shared, io::Stream& stream, ReadAhead& input, const RequestHead& head);

  io::Task<Result<std::string>> read_some() override;
  io::Task<Result<std::string>> read_all(uint64_t size_max) override;
  std::optional<uint64_t> length() const override;

  bool done() const { return done_; }
  // Reads and forgets what is left, if that is little. False: the connection must be closed.
  io::Task<bool> skip_rest();
  // False if skip_rest() cannot help: the connection ends with this response.
  bool can_skip_rest() const;

 private:
  static constexpr size_t kPieceBytes = 64 * 1024;
  static constexpr uint64_t kSkipBytesMax = 256 * 1024;

  // At least one byte more in `into`, at most `size_max` of them; false at the end of the body.
  io::Task<Result<bool>> append_some(std::string& into, size_t size_max);
  Result<void> take(std::string& into, size_t size_max);
  io::Task<Result<void>> send_continue();

  ServerShared& shared_;
  io::Stream& stream_;
  ReadAhead& input_;
  std::string encoding_;
  Framing framing_;
  uint64_t length_, left_;
  ChunkDecoder decoder_;
  bool done_, continue_owed_, broken_ = false;
};

// What one request takes while it is answered; recycled with the memory its texts and lists have.
struct RequestMemory {
  std::string text;  // Of the head; `head` points into it.
  RequestHead head;
  Request request;

  void reset();
  size_t memory_bytes() const;
};
ObjectPool<RequestMemory>& request_memory();  // The process's own.

class Connection;

// The response to the current request.
class Response final : public ResponseWriter {
 public:
  Response(Connection& connection, const RequestHead& head, const RequestBody& body);

  Headers& headers() override { return headers_; }
  io::Task<Result<void>> send(int status, std::string content_type, std::string body) override;
  io::Task<Result<void>> start(int status, std::string content_type,
                               std::optional<uint64_t> length) override;
  io::Task<Result<void>> write(std::string_view data) override;
  io::Task<Result<void>> write_file(io::Workers& workers, io::File& file, uint64_t offset,
                                    uint64_t length) override;
  io::Task<Result<void>> finish() override;
  bool started() const override { return started_; }
  io::Task<Result<std::unique_ptr<io::Stream>>> upgrade(std::string protocol) override;

  bool finished() const { return finished_; }
  bool keep_alive() const { return keep_alive_; }
  bool ends_with_connection() const { return until_close_; }
  int status() const { return status_; }

 private:
  // Fixes status, framing and whether the connection goes on.
  std::string make_head(int status, std::string_view content_type, std::optional<uint64_t> length);

  // The head that start() left, and the first bytes of the body.
  io::Task<Result<void>> write_after_head(std::string_view data);

  Connection& connection_;
  const RequestBody& request_body_;
  Headers headers_;
  ChunkHead chunk_head_;
  std::string unsent_head_;
  bool is_head_, http10_, keep_alive_;
  bool started_ = false, finished_ = false, chunked_ = false, until_close_ = false,
       bodyless_ = false;
  std::optional<uint64_t> left_;
  int status_ = 0;
};

// Serves one client from its first request to its last. Everything on the io thread.
class Connection {
 public:
  Connection(ServerShared& shared, std::unique_ptr<io::Stream> stream);

  io::Task<void> run();         // Until the connection is over.
  io::Task<void> read_ahead();  // Runs beside it.

  void tick(io::TimePoint now) { input_.tick(now); }
  void close_if_idle();
  void cancel_request() { cancel_.cancel(); }
  void abort() { stream_->abort(); }
  ReadAhead& input() { return input_; }
  const std::string& peer() const { return peer_; }
  bool from_this_machine() const { return from_this_machine_; }
  // All parts, each piece within write_idle_max. By value: the caller need not be a coroutine.
  using Parts = std::array<std::string_view, 3>;
  io::Task<Result<void>> write(Parts parts, bool streaming);

 private:
  friend class Response;

  io::Task<bool> serve_one();  // True: another request may follow.
  io::Task<Result<size_t>> read_head(HeadScanner& scanner);
  io::Task<bool> answer(const RequestHead& head, Request& request);
  io::Task<void> refuse(Refusal refusal);
  io::Task<void> linger();
  io::Task<Result<void>> write_slowly(Parts parts, bool streaming);
  // Some of these bytes, see io::Stream::send_file().
  io::Task<Result<uint64_t>> send_file(io::File& file, uint64_t offset, uint64_t length);
  Refusal fill_request(const RequestHead& head, Request& request);
  void on_input_end();

  ServerShared& shared_;
  std::unique_ptr<io::Stream> stream_;
  std::string peer_;
  bool from_this_machine_;
  io::CancelSource cancel_;  // Of the current request.
  size_t requests_ = 0;
  bool idle_ = true;          // Waiting for a request's first byte.
  bool gone_ = false;         // The client closed its side.
  bool streaming_ = false;    // A chunk is being written.
  bool must_linger_ = false;  // The client may still be sending what nobody will read.
  ReadAhead input_;
};

}  // namespace om::http
