// A server, a client and raw connections on loopback, for this room's tests.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "http/client.h"
#include "http/server.h"
#include "io/event.h"
#include "io/real.h"
#include "sim/world.h"

namespace om::http {

// What the test handler saw and was told.
struct Seen {
  explicit Seen(io::Clock& clock) : cancelled(clock), go_on(clock) {}
  std::vector<std::string> targets;
  std::string body;
  Headers headers;
  std::string path, query, peer, certificate, certificate_serial;
  std::optional<Error> body_error, write_error;
  int cancels = 0;
  int requests = 0;
  uint64_t bytes_written = 0;
  io::Event cancelled;
  io::Event go_on;  // Lets "/wait" answer.
};

// Routes: "/echo" the body; "/stream?n=3" chunks; "/hang" streams one chunk, then waits until it is
// cancelled; "/silent" waits without a word; "/flood" writes until it cannot; "/unread" answers
// without reading the body; "/none" does not answer; "/cut" ends without finish().
io::Task<void> handle_for_test(io::World& world, Seen& seen, Request& request, BodyReader& body,
                               ResponseWriter& response);

// The defaults, without waiting for raw connections that only read.
inline ServerLimits limits_for_test() {
  ServerLimits limits;
  limits.linger_max = std::chrono::milliseconds(0);
  return limits;
}

// The kernel's loopback, or a simulated network in virtual time.
enum class Where { real, simulated };

class Loopback {
 public:
  explicit Loopback(ServerLimits limits = limits_for_test(), Where where = Where::real,
                    uint64_t seed = 1);
  ~Loopback();

  io::World& world() { return real_ ? real_->world() : simulated_->world(); }
  sim::World& simulated() { return *simulated_; }
  // Runs `task`, then stops the server.
  void run(io::Task<void> task);

  ClientRequest request(std::string method, std::string target, std::string body = {});
  io::Task<Result<std::unique_ptr<io::Stream>>> raw();
  // Sends `bytes` on a new connection and answers all that comes back until the server closes.
  io::Task<std::string> exchange(std::string bytes);
  // Until `seen` counts so many cancelled requests, or two seconds have passed.
  io::Task<void> wait_for_cancels(int count);
  io::Call soon() { return world().clock.call_within(std::chrono::seconds(10)); }

 private:
  std::unique_ptr<io::RealWorld> real_;
  std::unique_ptr<sim::World> simulated_;

 public:
  Seen seen;
  Server server;
  Client client;
  io::Endpoint at;
};

// The next bytes until `text` was seen or the peer closed.
io::Task<std::string> read_until(io::Stream& stream, std::string text);

}  // namespace om::http
