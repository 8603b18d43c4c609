#include "http/server.h"

#include <gtest/gtest.h>

#include "http/loopback_for_test.h"
#include "http/metrics.h"
#include "io/co_assert_for_test.h"

namespace om::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

io::Task<void> keep(std::string* into, io::Task<std::string> from) {
  *into = co_await std::move(from);
}

std::string exchange(Loopback& loopback, std::string bytes) {
  std::string answer;
  loopback.run(keep(&answer, loopback.exchange(std::move(bytes))));
  return answer;
}

// One request written as bytes; the first line of what comes back.
std::string status_line_of(std::string bytes, ServerLimits limits = limits_for_test()) {
  Loopback loopback(limits, Where::simulated);
  const std::string answer = exchange(loopback, std::move(bytes));
  return answer.substr(0, answer.find("\r\n"));
}

io::Task<void> echo(Loopback& loopback) {
  for (int i = 0; i < 3; i++) {
    auto request = loopback.request("POST", "/echo", fmt::format("hello {}", i));
    auto response = co_await loopback.client.send(std::move(request), loopback.soon());
    EXPECT_TRUE(response.has_value()) << response.error().what;
    if (!response) co_return;
    EXPECT_EQ((*response)->status(), 200);
    const auto body = co_await (*response)->read_all(1000);
    EXPECT_EQ(body.value_or("?"), fmt::format("hello {}", i));
    EXPECT_EQ(loopback.server.connections(), 1u);
  }
}

TEST(Server, AnswersSeveralRequestsOnOneConnection) {
  Loopback loopback;
  loopback.run(echo(loopback));
  EXPECT_EQ(loopback.seen.requests, 3);
}

// 20 KB a second: what waits to be sent takes many times write_idle_max, but something always goes.
io::Task<void> read_slowly(Loopback& loopback, std::string data, std::string& answer) {
  auto stream = co_await loopback.raw();
  CO_ASSERT(stream.has_value());
  const auto asked = co_await (*stream)->write(fmt::format(
      "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{}",
      data.size(), data));
  CO_ASSERT(asked.has_value());
  std::array<char, 4000> piece;
  while (true) {
    const auto count = co_await (*stream)->read_some(piece);
    if (!count || *count == 0) break;
    answer.append(piece.data(), *count);
    const auto slept =
        co_await loopback.world().clock.sleep_for(std::chrono::microseconds(*count * 50));
    if (!slept) break;
  }
}

TEST(Server, AClientThatTakesLittleAtATimeIsNotGone) {
  ServerLimits limits = limits_for_test();
  limits.write_idle_max = seconds(5);
  Loopback loopback(limits, Where::simulated);
  const std::string data(1'000'000, 'd');
  std::string answer;
  loopback.run(read_slowly(loopback, data, answer));
  EXPECT_FALSE(loopback.seen.write_error.has_value());
  EXPECT_TRUE(answer.ends_with("\r\n\r\n" + data)) << answer.size();
}

TEST(Server, AnswersPipelinedRequestsInOrder) {
  Loopback loopback;
  const std::string answer =
      exchange(loopback,
               "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none"
               "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
               "chunked\r\n\r\n2\r\ntw\r\n1\r\no\r\n0\r\n\r\n"
               "GET /stream?n=1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  const size_t one = answer.find("\r\n\r\none");
  const size_t two = answer.find("\r\n\r\ntwo");
  const size_t three = answer.find("8\r\nchunk 0\n\r\n0\r\n\r\n");
  EXPECT_NE(one, std::string::npos) << answer;
  EXPECT_LT(one, two);
  EXPECT_LT(two, three);
  EXPECT_NE(three, std::string::npos) << answer;
}

TEST(Server, RefusesWhatTwoParsersCouldReadDifferently) {
  const uint64_t before = metrics::refused.value();
  const std::string bad = "HTTP/1.1 400 Bad Request";
  const std::string start = "POST /echo HTTP/1.1\r\nHost: a\r\n";
  EXPECT_EQ(
      status_line_of(start + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
      bad);
  EXPECT_EQ(status_line_of(start + "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd"), bad);
  EXPECT_EQ(status_line_of(start + "Content-Length: +4\r\n\r\nabcd"), bad);
  EXPECT_EQ(status_line_of(start + "Content-Length: 4, 4\r\n\r\nabcd"), bad);
  EXPECT_EQ(status_line_of(start + "Content-Length : 4\r\n\r\nabcd"), bad);
  EXPECT_EQ(status_line_of(start + "X: a\r\n folded\r\n\r\n"), bad);
  EXPECT_EQ(status_line_of(start + "X: a\rb\r\n\r\n"), bad);
  EXPECT_EQ(status_line_of("GET / HTTP/1.1\nHost: a\n\n"), bad);
  EXPECT_EQ(status_line_of("GET / HTTP/1.1\r\n\r\n"), bad);
  EXPECT_EQ(status_line_of("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), bad);
  EXPECT_EQ(status_line_of("GET  / HTTP/1.1\r\nHost: a\r\n\r\n"), bad);
  EXPECT_EQ(status_line_of("POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            bad);
  EXPECT_EQ(status_line_of("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n"), bad);
  EXPECT_EQ(status_line_of("GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
            "HTTP/1.1 505 HTTP Version Not Supported");
  EXPECT_EQ(status_line_of(start + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
            "HTTP/1.1 501 Not Implemented");
  EXPECT_EQ(status_line_of(start + "Expect: magic\r\n\r\n"), "HTTP/1.1 417 Expectation Failed");
  EXPECT_GT(metrics::refused.value(), before + 10);
}

TEST(Server, RefusesHeadsBeyondItsLimits) {
  const std::string long_target(9000, 'a');
  EXPECT_EQ(status_line_of("GET /" + long_target + " HTTP/1.1\r\nHost: a\r\n\r\n"),
            "HTTP/1.1 414 URI Too Long");
  const std::string big =
      "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(40'000, 'x') + "\r\n\r\n";
  EXPECT_EQ(status_line_of(big), "HTTP/1.1 431 Request Header Fields Too Large");
  std::string many = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (int i = 0; i < 101; i++) many += "A: b\r\n";
  EXPECT_EQ(status_line_of(many + "\r\n"), "HTTP/1.1 431 Request Header Fields Too Large");
}

TEST(Server, RefusesABodyLargerThanTheHandlerAllows) {
  Loopback loopback(limits_for_test(), Where::simulated);
  const std::string answer =
      exchange(loopback, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\nbegin");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 413 ")) << answer;
  EXPECT_NE(answer.find("Connection: close"), std::string::npos) << answer;
}

TEST(Server, RefusesABrokenChunkedBody) {
  Loopback loopback(limits_for_test(), Where::simulated);
  const std::string answer =
      exchange(loopback,
               "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 400 ")) << answer;
  ASSERT_TRUE(loopback.seen.body_error.has_value());
  EXPECT_EQ(loopback.seen.body_error->code, Errc::invalid_argument);
}

TEST(Server, TimesOutAHeadThatComesTooSlowly) {
  ServerLimits limits = limits_for_test();
  limits.header_time_max = seconds(1);
  EXPECT_EQ(status_line_of("GET / HTTP/1.1\r\nHost: ", limits), "HTTP/1.1 408 Request Timeout");
}

TEST(Server, ClosesAnIdleConnectionWithoutAWord) {
  ServerLimits limits = limits_for_test();
  limits.keep_alive_idle = seconds(1);
  EXPECT_EQ(status_line_of("", limits), "");
}

TEST(Server, ServesHttp10AndClosesAfterwards) {
  Loopback loopback;
  const std::string answer = exchange(loopback, "GET /stream?n=2 HTTP/1.0\r\n\r\n");
  EXPECT_NE(answer.find("\r\n\r\nchunk 0\nchunk 1\n"), std::string::npos) << answer;
  EXPECT_EQ(answer.find("chunked"), std::string::npos);
}

TEST(Server, AnswersHeadWithTheLengthAndNoBody) {
  Loopback loopback;
  const std::string answer =
      exchange(loopback, "HEAD /unread HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_NE(answer.find("Content-Length: 6\r\n"), std::string::npos) << answer;
  EXPECT_TRUE(answer.ends_with("\r\n\r\n")) << answer;
}

TEST(Server, TakesTheTargetApart) {
  Loopback loopback;
  exchange(loopback,
           "GET http://h:1/a%20b/c?x=1&y=%41 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(loopback.seen.path, "/a b/c");
  EXPECT_EQ(loopback.seen.query, "x=1&y=%41");
  EXPECT_EQ(loopback.seen.headers.get("Host"), "h:1");
  EXPECT_TRUE(loopback.seen.peer.starts_with("127.0.0.1:"));
}

TEST(Server, AnswersForAHandlerThatDoesNot) {
  EXPECT_EQ(status_line_of("GET /none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
            "HTTP/1.1 500 Internal Server Error");
}

TEST(Server, NeverEndsACutAnswerAsIfItWereWhole) {
  Loopback loopback;
  const std::string answer = exchange(loopback, "GET /cut HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_TRUE(answer.ends_with("4\r\nhalf\r\n")) << answer;
}

io::Task<void> expect_continue(Loopback& loopback) {
  auto stream = co_await loopback.raw();
  if (!stream) co_return;
  const auto head = co_await (*stream)->write(
      "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_TRUE(head.has_value());
  EXPECT_EQ(co_await read_until(**stream, "\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  const auto body = co_await (*stream)->write("hi");
  EXPECT_TRUE(body.has_value());
  const std::string answer = co_await read_until(**stream, "\r\n\r\nhi");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
  EXPECT_TRUE(answer.ends_with("\r\n\r\nhi")) << answer;
}

TEST(Server, AsksForABodyThatWaitsToBeAskedFor) {
  Loopback loopback;
  loopback.run(expect_continue(loopback));
}

TEST(Server, DoesNotAskForABodyItWillNotRead) {
  Loopback loopback(limits_for_test(), Where::simulated);
  const std::string answer = exchange(
      loopback,
      "POST /unread HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
  EXPECT_NE(answer.find("Connection: close"), std::string::npos);
}

TEST(Server, SkipsASmallUnreadBody) {
  Loopback loopback;
  const std::string answer =
      exchange(loopback,
               "POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET /"
               "GET /stream?n=1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(loopback.seen.requests, 2);
  EXPECT_NE(answer.find("chunk 0"), std::string::npos) << answer;
}

TEST(Server, ClosesAConnectionAfterItsShareOfRequests) {
  ServerLimits limits = limits_for_test();
  limits.requests_per_connection_max = 1;
  Loopback loopback(limits, Where::simulated);
  const std::string answer = exchange(loopback, "GET /unread HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_NE(answer.find("Connection: close"), std::string::npos) << answer;
}

}  // namespace
}  // namespace om::http
