// HTTP/1.1 client with a keep-alive pool. On the io thread.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "http/message.h"
#include "http/proxy.h"
#include "io/world.h"

namespace om::http {

struct ClientRequest {
  std::string method = "GET";
  io::Endpoint endpoint;  // Where to connect.
  std::shared_ptr<const io::Tls> tls;
  std::string host;  // Host header.
  std::string target = "/";
  Headers headers;
  std::string body;  // Sent with Content-Length, unless `body_source` is given.
  // A streamed body of `body_length` bytes: called until it answers an empty string.
  std::function<io::Task<Result<std::string>>()> body_source;
  uint64_t body_length = 0;
  // Done twice it does what it does once, although its method does not promise so (POST, PATCH).
  bool repeatable = false;
  bool outside = false;            // May go through the client's proxies.
  std::optional<io::Proxy> proxy;  // That it goes through; the client chooses.

  // From a URL: endpoint, tls (for https), host and target.
  static ClientRequest to(std::string method, const Url& url);
};

// A response whose head has arrived. Its body must be read to the end for the connection to be
// used again; destroying it early closes the connection.
class ClientResponse {
 public:
  virtual ~ClientResponse() = default;
  virtual int status() const = 0;
  virtual const Headers& headers() const = 0;
  virtual std::optional<uint64_t> length() const = 0;
  // What has arrived, appended to `into` (body bytes only, framing taken off); false at the end.
  // unavailable: the connection broke before the end. deadline_exceeded, cancelled.
  virtual io::Task<Result<bool>> read_some(std::string& into) = 0;
  virtual io::Task<Result<std::string>> read_all(uint64_t size_max) = 0;  // overloaded: larger.
  // Each read must bring something within `idle`, in addition to the call's deadline.
  virtual void set_idle_max(io::Duration idle) = 0;
};

struct ClientLimits {
  size_t idle_per_endpoint_max = 32;
  std::chrono::seconds idle_max{60};
  std::chrono::seconds connect_max{10};
  size_t header_bytes_max = 64 * 1024;
};

// Sends requests, and keeps connections open for the next ones. Must outlive the send()s under way,
// not the responses.
class Client {
 public:
  Client(io::World& world, ClientLimits limits = {});
  ~Client();

  // Sends again on a fresh connection if a pooled one turns out dead before any byte came back: the
  // server closed it just then, or did what was asked and died. So only what may be done twice (RFC
  // 9110, 9.2.2); what may not fails with unavailable.
  // The call's token and deadline hold until the response is destroyed.
  io::Task<Result<std::unique_ptr<ClientResponse>>> send(ClientRequest request, io::Call call);
  void close_idle();
  // Those that a request like this one would use.
  void close_idle(ClientRequest like);
  // For requests to the outside from now on.
  void use_proxies(Proxies proxies);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace om::http
