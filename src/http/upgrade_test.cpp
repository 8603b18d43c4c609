#include "http/upgrade.h"

#include "http/loopback_for_test.h"
#include "io/task_group.h"

namespace om::http {
namespace {

// Gives back every byte, until the client closes.
io::Task<void> mirror(ResponseWriter& response) {
  auto stream = co_await response.upgrade("mirror");
  EXPECT_TRUE(stream.has_value());
  std::array<char, 1000> piece{};
  while (stream) {
    const auto count = co_await (*stream)->read_some(piece);
    if (!count || *count == 0) co_return;
    const auto written = co_await (*stream)->write(std::string_view(piece.data(), *count));
    if (!written) co_return;
  }
}

io::Task<void> handle(Request& request, BodyReader&, ResponseWriter& response) {
  if (request.path == "/mirror") co_return co_await mirror(response);
  (void)co_await response.send(404, "text/plain", "no such thing");
}

class Upgrade : public testing::Test {
 protected:
  Upgrade() : world(real.world()), server(world, limits_for_test(), handle) {
    auto bound = server.listen(io::Endpoint::tcp("127.0.0.1", 0));
    EXPECT_TRUE(bound.has_value());
    at = *bound;
  }
  io::Task<void> run(io::Task<void> task) {
    co_await std::move(task);
    co_await server.stop(std::chrono::seconds(0));
  }
  ClientRequest request(std::string target) {
    ClientRequest request;
    request.method = "POST";
    request.endpoint = at;
    request.target = std::move(target);
    return request;
  }
  io::Call soon() { return world.clock.call_within(std::chrono::seconds(10)); }

  io::RealWorld real;
  io::World& world;
  Server server;
  io::Endpoint at;
};

io::Task<void> send_all(io::Stream& stream, const std::string& bytes) {
  const auto written = co_await stream.write(bytes);
  EXPECT_TRUE(written.has_value());
}

io::Task<void> both_ways(io::World& world, ClientRequest request, io::Call call) {
  auto stream = co_await upgrade(world, std::move(request), "mirror", call);
  EXPECT_TRUE(stream.has_value()) << stream.error().what;
  if (!stream) co_return;
  std::string bytes;
  for (int i = 0; bytes.size() < (1 << 20); i++) bytes += std::to_string(i);
  io::TaskGroup tasks(world.executor, world.clock);
  tasks.spawn(send_all(**stream, bytes));
  std::string back;
  std::array<char, 4096> piece{};
  while (back.size() < bytes.size()) {
    const auto count = co_await (*stream)->read_some(piece);
    EXPECT_TRUE(count.has_value() && *count > 0);
    if (!count || *count == 0) break;
    back.append(piece.data(), *count);
  }
  co_await tasks.stop();
  EXPECT_TRUE(back == bytes);
}

TEST_F(Upgrade, CarriesBytesBothWaysAtOnce) {
  real.run_until_done(run(both_ways(world, request("/mirror"), soon())));
}

io::Task<void> refused(io::World& world, ClientRequest request, io::Call call) {
  const auto stream = co_await upgrade(world, std::move(request), "mirror", call);
  EXPECT_FALSE(stream.has_value());
  if (stream) co_return;
  EXPECT_EQ(stream.error().code, Errc::unavailable);
  EXPECT_NE(stream.error().what.find("no such thing"), std::string::npos);
}

TEST_F(Upgrade, TellsWhyTheServerRefuses) {
  real.run_until_done(run(refused(world, request("/other"), soon())));
}

}  // namespace
}  // namespace om::http
