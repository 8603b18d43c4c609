#include "peer/join_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cluster/admission.h"
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

io::Task<void> guess(http::Client& client, io::Endpoint at, std::string body, std::string& told) {
  http::ClientRequest request;
  request.method = "POST";
  request.target = "/peer/v1/join";
  request.endpoint = at;
  request.host = at.str();
  request.body = std::move(body);
  const auto answer = co_await client.send(std::move(request), {});
  CO_ASSERT(answer.has_value());
  told = (co_await (*answer)->read_all(1 << 20)).value_or("");
}

io::Task<void> is_asked_with_stale_tokens(sim::World& sim) {
  auto metadata = co_await metadata::open_sqlite(sim.world(), ":memory:");
  CO_ASSERT(metadata.has_value());
  security::IdentityStore identity(sim.world().files, "/state/cluster");
  const auto authority =
      security::make_authority("home", sim.world().random, sim.clock().wall_now());
  CO_ASSERT(authority.has_value());
  const auto own = security::make_certificate_request("n1");
  const auto certificate = security::issue_certificate(
      *authority, own->request, {.name = "n1", .addresses = {}, .now = sim.clock().wall_now()},
      sim.world().random);
  CO_ASSERT(certificate.has_value());
  EXPECT_TRUE(
      identity.save(authority->certificate, *certificate, own->key, sim.clock().wall_now()));
  EXPECT_TRUE(identity.save_authority(*authority));
  JoinService service(sim.world(), **metadata, identity);
  http::Server server(
      sim.world(), {},
      [&service](http::Request& request, http::BodyReader& body, http::ResponseWriter& response) {
        return service.handle(request, body, response);
      });
  const auto at = server.listen(io::Endpoint::tcp("127.0.0.1", 0));
  CO_ASSERT(at.has_value());
  cluster::JoinRequest stale;
  stale.token_id = "gone";
  stale.secret = security::Secret("secret");
  stale.peer = io::Endpoint::tcp("10.0.0.2", 11435);
  const std::string body = cluster::write_join_request(stale);
  http::Client client(sim.world());
  io::TaskGroup group(sim.world().executor, sim.clock());
  std::vector<std::string> told(2 * JoinService::kAtOnceMax);
  for (std::string& answer : told) {
    group.spawn(guess(client, *at, body, answer));
    (void)co_await sim.clock().sleep_for(std::chrono::milliseconds(50));
  }
  co_await group.wait();
  for (const std::string& answer : told) EXPECT_THAT(answer, HasSubstr("not known here"));
  client.close_idle();
  co_await server.stop(std::chrono::seconds(0));
  co_await (*metadata)->stop();
}
TEST(JoinService, StaleTokensKeepNoMachineFromJoining) {
  sim::World sim(1);
  sim.run(is_asked_with_stale_tokens(sim));
}

}  // namespace
}  // namespace om::peer
