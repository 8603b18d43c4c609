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

// A port between nodes, where machines ask to join.
class JoinPort : public ::testing::Test {
 protected:
  void run(io::Task<void> body) { sim_.run(serve(std::move(body))); }
  // As a voter, which has the authority's key.
  void make_authority() {
    const io::WallTime now = sim_.clock().wall_now();
    const auto authority = security::make_authority("home", sim_.world().random, now).value();
    const auto own = security::make_certificate_request("n1");
    const auto certificate = security::issue_certificate(
        authority, own->request, {.name = "n1", .addresses = {}, .now = now}, sim_.world().random);
    EXPECT_TRUE(identity_.save(authority.certificate, *certificate, own->key, now));
    EXPECT_TRUE(identity_.save_authority(authority));
  }
  io::Task<void> ask(std::string body, std::string& told) {
    http::ClientRequest request;
    request.method = "POST";
    request.target = "/peer/v1/join";
    request.endpoint = at_;
    request.host = at_.str();
    request.body = std::move(body);
    const auto answer = co_await client_.send(std::move(request), {});
    CO_ASSERT(answer.has_value());
    const auto text = co_await (*answer)->read_all(1 << 20);
    CO_ASSERT(text.has_value());
    told = *text;
  }
  io::Task<void> is_asked_byte_by_byte();
  io::Task<void> is_asked_with_stale_tokens();

  sim::World sim_{1};
  io::Endpoint at_;

 private:
  io::Task<void> serve(io::Task<void> body) {
    auto metadata = co_await metadata::open_sqlite(sim_.world(), ":memory:");
    CO_ASSERT(metadata.has_value());
    JoinService service(sim_.world(), **metadata, identity_);
    http::Server server(
        sim_.world(), {},
        [&service](http::Request& request, http::BodyReader& read, http::ResponseWriter& response) {
          return service.handle(request, read, response);
        });
    const auto at = server.listen(io::Endpoint::tcp("127.0.0.1", 0));
    CO_ASSERT(at.has_value());
    at_ = *at;
    co_await std::move(body);
    client_.close_idle();
    co_await server.stop(std::chrono::seconds(0));
    co_await (*metadata)->stop();
  }

  security::IdentityStore identity_{sim_.world().files, "/state/cluster"};
  http::Client client_{sim_.world()};
};

// Whoever reaches the port between nodes can open these.
io::Task<void> JoinPort::is_asked_byte_by_byte() {
  std::vector<std::unique_ptr<io::Stream>> slow;
  for (int i = 0; i < JoinService::kAtOnceMax; i++) {
    auto stream = co_await sim_.world().network.connect(at_, nullptr, {});
    CO_ASSERT(stream.has_value());
    slow.push_back(std::move(*stream));
    const std::string head = "POST /peer/v1/join HTTP/1.1\r\nHost: n\r\nContent-Length: 9\r\n\r\n{";
    EXPECT_TRUE(co_await slow.back()->write(head));
  }
  (void)co_await sim_.clock().sleep_for(std::chrono::seconds(1));
  std::string told;
  co_await ask("{}", told);
  EXPECT_NE(told, "");
  EXPECT_THAT(told, Not(HasSubstr("several machines")));
}
TEST_F(JoinPort, SlowBodiesKeepNoMachineFromJoining) { run(is_asked_byte_by_byte()); }

io::Task<void> JoinPort::is_asked_with_stale_tokens() {
  cluster::JoinRequest stale;
  stale.token_id = "gone";
  stale.secret = security::Secret("secret");
  stale.peer = io::Endpoint::tcp("10.0.0.2", 11435);
  const std::string body = cluster::write_join_request(stale);
  io::TaskGroup group(sim_.world().executor, sim_.clock());
  std::vector<std::string> told(2 * JoinService::kAtOnceMax);
  for (std::string& answer : told) {
    group.spawn(ask(body, answer));
    (void)co_await sim_.clock().sleep_for(std::chrono::milliseconds(50));
  }
  co_await group.wait();
  for (const std::string& answer : told) EXPECT_THAT(answer, HasSubstr("not known here"));
}
TEST_F(JoinPort, StaleTokensKeepNoMachineFromJoining) {
  make_authority();
  run(is_asked_with_stale_tokens());
}

}  // namespace
}  // namespace om::peer
