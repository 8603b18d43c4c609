// HTTP/1.1 server (RFC 9112). One coroutine a connection, on the io thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "http/message.h"
#include "io/task_group.h"
#include "io/world.h"

namespace om::http {

struct ServerLimits {
  size_t header_bytes_max = 32 * 1024;
  uint64_t body_bytes_max = 64ull << 20;  // For read_body(); streamed bodies set their own.
  size_t connections_max = 4096;
  size_t requests_per_connection_max = 1'000'000;
  std::chrono::seconds header_time_max{10};  // From the first byte of a request to its last header.
  std::chrono::seconds body_idle_max{60};    // Between two reads of a body.
  std::chrono::seconds write_idle_max{30};   // A client that takes nothing for so long is gone.
  std::chrono::seconds keep_alive_idle{75};
  // How long a closing connection still takes what a refused client sends, so that it reads why.
  std::chrono::milliseconds linger_max{1000};
};

// What one client asked. Lives as long as its handler runs.
struct Request {
  std::string method;
  std::string target;  // As sent.
  std::string path;    // Percent-decoded, without the query.
  std::string query;   // Raw.
  Headers headers;
  std::string peer;  // "127.0.0.1:5000".
  bool from_this_machine = false;
  // Common name and serial of the certificate that the client has shown and proven; empty: none.
  std::string peer_certificate, peer_certificate_serial;
  std::string id;  // X-Request-Id if given and sane, else made here.
  // Cancelled when the client closes its side or takes no bytes for write_idle_max.
  io::CancelToken cancel;
  io::TimePoint started{};

  std::string_view query_value(std::string_view name) const;  // Raw; empty if absent.
};

// The request's body as it arrives. `100 Continue` is sent on the first read, if asked for.
class BodyReader {
 public:
  virtual ~BodyReader() = default;
  // At most 64 KiB a time; an empty string at the end. invalid_argument: broken framing.
  virtual io::Task<Result<std::string>> read_some() = 0;
  // The whole body. overloaded (answer 413): more than `size_max`. Also decodes
  // `Content-Encoding: gzip | zstd`, within the same limit.
  virtual io::Task<Result<std::string>> read_all(uint64_t size_max) = 0;
  virtual std::optional<uint64_t> length() const = 0;  // Content-Length.
};

// The answer. Either send() once, or start(), write()s and finish(). A handler that returns without
// an answer gives 500. Errors are unavailable or cancelled: the client is gone, stop working.
class ResponseWriter {
 public:
  virtual ~ResponseWriter() = default;
  virtual Headers& headers() = 0;  // Sent with send() or start().
  virtual io::Task<Result<void>> send(int status, std::string content_type, std::string body) = 0;
  // Without `length` the body is chunked (or ends with the connection, for HTTP/1.0) and the head
  // is sent at once; with it, the head travels with the first bytes.
  virtual io::Task<Result<void>> start(int status, std::string content_type,
                                       std::optional<uint64_t> length = {}) = 0;
  virtual io::Task<Result<void>> write(std::string_view data) = 0;  // One chunk, sent at once.
  // Part of a file as body bytes. Neither the disk nor the copying holds up the io thread; where
  // the kernel can copy by itself (plain TCP) it does. io_failed: the file is shorter.
  virtual io::Task<Result<void>> write_file(io::Workers& workers, io::File& file, uint64_t offset,
                                            uint64_t length);
  virtual io::Task<Result<void>> finish() = 0;
  virtual bool started() const = 0;
  // Answers 101: from then on the connection is the handler's, in both directions, until it
  // returns; then it is closed. The stream must be gone by then. Not bounded by the server's
  // limits, but for write_idle_max.
  virtual io::Task<Result<std::unique_ptr<io::Stream>>> upgrade(std::string protocol);
};

using Handler = std::function<io::Task<void>(Request&, BodyReader&, ResponseWriter&)>;

// Listens, and hands each request to the handler. On the io thread.
class Server {
 public:
  // What the handler refers to must outlive the server; nothing it throws is caught (exceptions
  // abort). After a listen() that succeeded, stop() must have returned before the destructor.
  Server(io::World& world, ServerLimits limits, Handler handler);
  ~Server();

  // May be called for several addresses.
  Result<io::Endpoint> listen(io::Endpoint at, std::shared_ptr<const io::Tls> tls = {});

  // Stops accepting, closes idle connections, lets running requests end until `grace`, then
  // cancels them. Returns when all are gone.
  io::Task<void> stop(std::chrono::nanoseconds grace);
  size_t connections() const;
  size_t requests_running() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace om::http
