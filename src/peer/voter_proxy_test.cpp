// Both ends of the way between voters, over real sockets: the proxy and the service.
#include "peer/voter_proxy.h"

#include <gmock/gmock.h>

#include "http/server.h"
#include "io/co_assert_for_test.h"
#include "io/real.h"
#include "io/task_group.h"
#include "peer/voter_service.h"

namespace om::peer {
namespace {

using ::testing::StartsWith;

const io::Endpoint kAnywhere = io::Endpoint::tcp("127.0.0.1", 0);
const io::Endpoint kNode = io::Endpoint::tcp("10.0.0.2", 11435);  // As etcd knows the other voter.

// Two machines: a voter's proxy here; there a node's port, its etcd, and a port of its own.
class VoterWay : public ::testing::Test {
 protected:
  VoterWay()
      : world(real.world()),
        client(world),
        tasks(world.executor, world.clock),
        etcd(world.network.listen(kAnywhere, nullptr).value()),
        etcd_clients(world, {},
                     [](http::Request& request, http::BodyReader& body,
                        http::ResponseWriter& response) -> io::Task<void> {
                       const auto asked = co_await body.read_all(1000);
                       (void)co_await response.send(
                           418, "application/json",
                           request.path + " " + asked.value_or("?") +
                               std::string(request.headers.get("Grpc-Metadata-hasleader")));
                     }),
        service(world, client, {etcd_clients.listen(kAnywhere).value(), etcd->local(), nullptr}),
        node(
            world, {},
            [this](http::Request& request, http::BodyReader& body, http::ResponseWriter& response) {
              asked.push_back(request.path);
              return service.handle(request, body, response);
            }),
        node_at(node.listen(kAnywhere).value()),
        proxy(world, [this](const io::Endpoint& at) -> std::optional<engine::PeerLink> {
          if (at != kNode) return std::nullopt;
          return engine::PeerLink{"n2", node_at, nullptr};
        }) {
    proxy_at = proxy.listen().value();
    tasks.spawn(mirror());
  }

  // Gives back what comes.
  io::Task<void> mirror() {
    while (true) {
      auto stream = co_await etcd->accept();
      if (!stream) co_return;
      tasks.spawn(mirror(std::move(*stream)));
    }
  }
  io::Task<void> mirror(std::unique_ptr<io::Stream> stream) {
    std::array<char, 1000> piece{};
    while (true) {
      const auto count = co_await stream->read_some(piece);
      if (!count || *count == 0) break;
      const auto written = co_await stream->write(std::string_view(piece.data(), *count));
      if (!written) break;
    }
    ended++;
  }

  io::Task<std::unique_ptr<io::Stream>> ask(std::string text) {
    auto stream = co_await world.network.connect(proxy_at, nullptr, soon());
    if (!stream) co_return nullptr;
    (*stream)->set_deadline(soon().deadline);
    const auto written = co_await (*stream)->write(text);
    EXPECT_TRUE(written.has_value());
    co_return std::move(*stream);
  }
  io::Task<std::string> read(io::Stream& stream) {
    std::array<char, 1000> piece{};
    const auto count = co_await stream.read_some(piece);
    co_return count ? std::string(piece.data(), *count) : count.error().what;
  }
  std::string connect(const io::Endpoint& to) {
    return fmt::format("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n", to.str());
  }
  io::Call soon() { return world.clock.call_within(std::chrono::seconds(10)); }

  io::Task<void> with_end(io::Task<void> task) {
    co_await std::move(task);
    etcd->close();
    co_await proxy.stop();
    service.stop();
    co_await node.stop(std::chrono::seconds(0));
    co_await etcd_clients.stop(std::chrono::seconds(0));
    client.close_idle();
    co_await tasks.stop();
  }
  void run(io::Task<void> task) { real.run_until_done(with_end(std::move(task))); }

  io::RealWorld real;
  io::World& world;
  http::Client client;
  io::TaskGroup tasks;
  std::unique_ptr<io::Listener> etcd;
  http::Server etcd_clients;
  VoterService service;
  http::Server node;
  io::Endpoint node_at;
  VoterProxy proxy;
  io::Endpoint proxy_at;
  std::vector<std::string> asked;
  int ended = 0;

  io::Task<void> expect_end_with_service() {
    const auto stream = co_await ask(connect(kNode));
    CO_ASSERT(stream);
    EXPECT_THAT(co_await read(*stream), StartsWith("HTTP/1.1 200 "));
    service.stop();
    std::array<char, 10> piece{};
    const auto count = co_await stream->read_some(piece);
    EXPECT_TRUE(!count || *count == 0);
  }
  io::Task<void> expect_no_way() {
    etcd->close();
    for (const std::string& question :
         {connect(kNode), std::string("GET http://10.0.0.2/ HTTP/1.1\r\n\r\n"),
          std::string(5000, 'x')}) {
      const auto stream = co_await ask(question);
      CO_ASSERT(stream);
      EXPECT_THAT(co_await read(*stream), StartsWith("HTTP/1.1 502 ")) << question;
    }
  }
  io::Task<void> expect_passed_on() {
    http::ClientRequest request;
    request.method = "POST";
    request.endpoint = node_at;
    request.target = "/v3/cluster/member/list";
    request.body = "{}";
    request.headers.add("Grpc-Metadata-hasleader", "true");
    auto reply = co_await client.send(std::move(request), soon());
    CO_ASSERT(reply, reply.error().what);
    EXPECT_EQ((*reply)->status(), 418);
    EXPECT_EQ((co_await (*reply)->read_all(1000)).value_or("?"), "/v3/cluster/member/list {}true");
  }
  io::Task<void> expect_mirror(io::Endpoint to) {
    const auto stream = co_await ask(connect(to));
    CO_ASSERT(stream);
    EXPECT_THAT(co_await read(*stream), StartsWith("HTTP/1.1 200 "));
    for (const std::string_view text : {"one", "another"}) {
      const auto written = co_await stream->write(text);
      CO_ASSERT(written.has_value());
      EXPECT_EQ(co_await read(*stream), text);
    }
  }
};

TEST_F(VoterWay, LeadsThroughThePortOfTheOtherNode) {
  run(expect_mirror(kNode));
  EXPECT_EQ(asked, std::vector{std::string(kVoterTunnelPath)});
  EXPECT_EQ(ended, 1);
}

TEST_F(VoterWay, LeadsStraightToAnEtcdWithAPortOfItsOwn) {
  run(expect_mirror(etcd->local()));
  EXPECT_TRUE(asked.empty());
}

TEST_F(VoterWay, EndsWithTheService) { run(expect_end_with_service()); }
TEST_F(VoterWay, SaysThatThereIsNoWay) { run(expect_no_way()); }
TEST_F(VoterWay, PassesQuestionsAboutMembersOn) { run(expect_passed_on()); }

TEST(VoterService, ChangesNoFacts) {
  EXPECT_TRUE(VoterService::serves(kVoterTunnelPath));
  EXPECT_TRUE(VoterService::serves("/v3/cluster/member/add"));
  EXPECT_TRUE(VoterService::serves("/v3/maintenance/status"));
  EXPECT_TRUE(VoterService::serves("/v3/kv/range"));
  for (const char* path : {"/v3/kv/txn", "/v3/kv/put", "/v3/maintenance/snapshot",
                           "/v3/cluster/member", "/peer/v1/voter"}) {
    EXPECT_FALSE(VoterService::serves(path)) << path;
  }
}

TEST(ParseConnect, TakesHostsAndPorts) {
  const auto parse = [](std::string_view to) {
    return parse_connect(fmt::format("CONNECT {} HTTP/1.1\r\nHost: x\r\n\r\n", to));
  };
  EXPECT_EQ(parse("10.0.0.2:11435").value(), kNode);
  EXPECT_EQ(parse("n2.example:1").value(), io::Endpoint::tcp("n2.example", 1));
  EXPECT_EQ(parse("[fd00::2]:11435").value(), io::Endpoint::tcp("fd00::2", 11435));
  for (const char* to : {"", ":1", "a:99999", "a b:1"}) EXPECT_FALSE(parse(to)) << to;
  EXPECT_FALSE(parse_connect("CONNECT a:1 HTTP/1.1\r\n\r\nmore"));
  EXPECT_FALSE(parse_connect("CONNECT HTTP/1.1\r\n\r\n"));
}

}  // namespace
}  // namespace om::peer
