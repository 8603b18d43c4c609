#include "http/server.h"

#include <gtest/gtest.h>

#include "http/loopback_for_test.h"

namespace om::http {
namespace {

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

io::Task<void> stream_three(Loopback& loopback) {
  auto request = loopback.request("GET", "/stream?n=3");
  auto response = co_await loopback.client.send(std::move(request), loopback.soon());
  EXPECT_TRUE(response.has_value()) << response.error().what;
  if (!response) co_return;
  const auto body = co_await (*response)->read_all(1000);
  EXPECT_EQ(body.value_or("?"), "chunk 0\nchunk 1\nchunk 2\n");
}

TEST(Server, StreamsChunks) {
  Loopback loopback;
  loopback.run(stream_three(loopback));
}

}  // namespace
}  // namespace om::http
