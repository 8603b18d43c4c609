// Clients that leave, do not read, or do not finish; and stopping the server under them.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/loopback_for_test.h"

namespace om::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

enum class Leave { close, close_after_late_request };

// Sends a request for `path`, waits for `until`, leaves; the handler must be cancelled.
io::Task<void> leave(Loopback& loopback, std::string path, std::string until, Leave how) {
  auto stream = co_await loopback.raw();
  EXPECT_TRUE(stream.has_value());
  if (!stream) co_return;
  const std::string request = "GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n";
  auto written = co_await (*stream)->write(request);
  EXPECT_TRUE(written.has_value());
  if (until.empty()) {
    const auto slept = co_await loopback.world().clock.sleep_for(milliseconds(30));
    EXPECT_TRUE(slept.has_value());
  } else {
    const std::string got = co_await read_until(**stream, until);
    EXPECT_NE(got.find(until), std::string::npos) << got;
  }
  if (how == Leave::close_after_late_request) {
    written = co_await (*stream)->write(request);
    EXPECT_TRUE(written.has_value());
    const auto slept = co_await loopback.world().clock.sleep_for(milliseconds(30));
    EXPECT_TRUE(slept.has_value());
  }
  EXPECT_EQ(loopback.seen.cancels, 0);
  stream->reset();
  co_await loopback.wait_for_cancels(1);
  EXPECT_GE(loopback.seen.cancels, 1);
}

TEST(Disconnect, CancelsAStreamedAnswer) {
  Loopback loopback;
  loopback.run(leave(loopback, "/hang", "first", Leave::close));
}

TEST(Disconnect, CancelsDuringASilentPrefill) {
  Loopback loopback;
  loopback.run(leave(loopback, "/silent", "", Leave::close));
}

TEST(Disconnect, IsNotHiddenByARequestPipelinedLate) {
  Loopback loopback;
  loopback.run(leave(loopback, "/hang", "first", Leave::close_after_late_request));
}

// Closes only its sending side, which io::Stream cannot: a socket of its own.
io::Task<void> half_close(Loopback& loopback, std::string path) {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(loopback.at.port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(socket, reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
  const std::string request = "GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n";
  EXPECT_EQ(::send(socket, request.data(), request.size(), 0), ssize_t(request.size()));
  while (loopback.seen.requests == 0) {
    const auto slept = co_await loopback.world().clock.sleep_for(milliseconds(5));
    EXPECT_TRUE(slept.has_value());
  }
  EXPECT_EQ(loopback.seen.cancels, 0);
  EXPECT_EQ(::shutdown(socket, SHUT_WR), 0);
  co_await loopback.wait_for_cancels(1);
  EXPECT_EQ(loopback.seen.cancels, 1);
  ::close(socket);
}

TEST(Disconnect, CountsAHalfCloseAsLeaving) {
  Loopback streaming;
  streaming.run(half_close(streaming, "/hang"));
  Loopback silent;
  silent.run(half_close(silent, "/silent"));
}

// The client never reads: what the server holds for it stays bounded, and it is given up.
io::Task<void> never_read(Loopback& loopback) {
  auto stream = co_await loopback.raw();
  EXPECT_TRUE(stream.has_value());
  if (!stream) co_return;
  const auto written = co_await (*stream)->write("GET /flood HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_TRUE(written.has_value());
  for (int i = 0; i < 100 && !loopback.seen.write_error; i++) {
    const auto slept = co_await loopback.world().clock.sleep_for(milliseconds(50));
    EXPECT_TRUE(slept.has_value());
  }
}

TEST(Disconnect, GivesUpAClientThatTakesNothing) {
  ServerLimits limits = limits_for_test();
  limits.write_idle_max = seconds(1);
  Loopback loopback(limits);  // Real: the kernel's buffers are part of the question.
  loopback.run(never_read(loopback));
  ASSERT_TRUE(loopback.seen.write_error.has_value());
  EXPECT_EQ(loopback.seen.write_error->code, Errc::deadline_exceeded)
      << loopback.seen.write_error->what;
  // Only the kernel's socket buffers took anything.
  EXPECT_LT(loopback.seen.bytes_written, 64u << 20);
}

io::Task<void> stop_while(Loopback& loopback, std::string path, milliseconds grace,
                          std::string* answer) {
  auto stream = co_await loopback.raw();
  EXPECT_TRUE(stream.has_value());
  if (!stream) co_return;
  const std::string request = "GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n";
  const auto written = co_await (*stream)->write(request);
  EXPECT_TRUE(written.has_value());
  while (loopback.server.requests_running() == 0) {
    const auto slept = co_await loopback.world().clock.sleep_for(milliseconds(5));
    EXPECT_TRUE(slept.has_value());
  }
  io::TaskGroup group(loopback.world().executor, loopback.world().clock);
  group.spawn(loopback.server.stop(grace));
  const auto slept = co_await loopback.world().clock.sleep_for(milliseconds(50));
  EXPECT_TRUE(slept.has_value());
  EXPECT_EQ(loopback.server.requests_running(), 1u);
  loopback.seen.go_on.notify_all();
  *answer = co_await read_until(**stream, "\xff never");
  co_await group.wait();
  EXPECT_EQ(loopback.server.connections(), 0u);
}

TEST(Stop, LetsARunningRequestEndAndClosesTheConnection) {
  Loopback loopback;
  std::string answer;
  loopback.run(stop_while(loopback, "/wait", seconds(10), &answer));
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK")) << answer;
  EXPECT_NE(answer.find("Connection: close"), std::string::npos) << answer;
}

TEST(Stop, CancelsWhatDoesNotEndInTime) {
  Loopback loopback;
  std::string answer;
  loopback.run(stop_while(loopback, "/hang", milliseconds(100), &answer));
  EXPECT_EQ(loopback.seen.cancels, 1);
}

io::Task<void> stop_with_idle(Loopback& loopback) {
  auto stream = co_await loopback.raw();
  EXPECT_TRUE(stream.has_value());
  if (!stream) co_return;
  const auto written = co_await (*stream)->write("GET /unread HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_TRUE(written.has_value());
  const std::string answer = co_await read_until(**stream, "unread");
  EXPECT_TRUE(answer.ends_with("unread"));
  const io::TimePoint before = loopback.world().clock.now();
  co_await loopback.server.stop(seconds(30));
  EXPECT_LT(loopback.world().clock.now() - before, seconds(5));
  auto refused = co_await loopback.raw();
  EXPECT_FALSE(refused.has_value());
}

TEST(Stop, ClosesIdleConnectionsAtOnce) {
  Loopback loopback;
  loopback.run(stop_with_idle(loopback));
}

io::Task<void> more_than_allowed(Loopback& loopback) {
  auto first = co_await loopback.raw();
  auto second = co_await loopback.raw();
  EXPECT_TRUE(first.has_value() && second.has_value());
  if (!first || !second) co_return;
  const std::string request = "GET /unread HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
  const auto waits = co_await (*second)->write(request);
  EXPECT_TRUE(waits.has_value());
  const auto slept = co_await loopback.world().clock.sleep_for(milliseconds(50));
  EXPECT_TRUE(slept.has_value());
  EXPECT_EQ(loopback.server.connections(), 1u);
  EXPECT_EQ(loopback.seen.requests, 0);
  first->reset();
  const std::string answer = co_await read_until(**second, "unread");
  EXPECT_TRUE(answer.ends_with("unread")) << answer;
}

TEST(Server, LeavesNewClientsWaitingAtItsBound) {
  ServerLimits limits = limits_for_test();
  limits.connections_max = 1;
  Loopback loopback(limits);
  loopback.run(more_than_allowed(loopback));
}

}  // namespace
}  // namespace om::http
