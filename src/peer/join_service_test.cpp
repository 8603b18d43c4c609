#include "peer/join_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "http/client.h"
#include "io/co_assert_for_test.h"
#include "metadata/sqlite/sqlite_metadata.h"
#include "sim/world.h"

namespace om::peer {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Whoever reaches the port between nodes can open these.
io::Task<void> is_asked_byte_by_byte(sim::World& sim) {
  auto metadata = co_await metadata::open_sqlite(sim.world(), ":memory:");
  CO_ASSERT(metadata.has_value());
  security::IdentityStore identity(sim.world().files, "/state/cluster");
  JoinService service(sim.world(), **metadata, identity);
  http::Server server(
      sim.world(), {},
      [&service](http::Request& request, http::BodyReader& body, http::ResponseWriter& response) {
        return service.handle(request, body, response);
      });
  const auto at = server.listen(io::Endpoint::tcp("127.0.0.1", 0));
  CO_ASSERT(at.has_value());
  std::vector<std::unique_ptr<io::Stream>> slow;
  for (int i = 0; i < JoinService::kAtOnceMax; i++) {
    auto stream = co_await sim.world().network.connect(*at, nullptr, {});
    CO_ASSERT(stream.has_value());
    slow.push_back(std::move(*stream));
    const std::string head = "POST /peer/v1/join HTTP/1.1\r\nHost: n\r\nContent-Length: 9\r\n\r\n{";
    EXPECT_TRUE(co_await slow.back()->write(head));
  }
  (void)co_await sim.clock().sleep_for(std::chrono::seconds(1));
  http::Client client(sim.world());
  http::ClientRequest request;
  request.method = "POST";
  request.target = "/peer/v1/join";
  request.endpoint = *at;
  request.host = at->str();
  request.body = "{}";
  const auto answer = co_await client.send(std::move(request), {});
  CO_ASSERT(answer.has_value());
  const auto text = co_await (*answer)->read_all(1 << 20);
  CO_ASSERT(text.has_value());
  EXPECT_THAT(*text, Not(HasSubstr("several machines")));
  slow.clear();
  client.close_idle();
  co_await server.stop(std::chrono::seconds(0));
  co_await (*metadata)->stop();
}
TEST(JoinService, SlowBodiesKeepNoMachineFromJoining) {
  sim::World sim(1);
  sim.run(is_asked_byte_by_byte(sim));
}

}  // namespace
}  // namespace om::peer
