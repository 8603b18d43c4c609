// Answers of scripted engines on other nodes, over the simulated network, while nodes are killed.
#include "peer/peer_server.h"

#include "http/metrics.h"
#include "peer/nodes_for_test.h"
#include "scheduler/lease_wire.h"

namespace om::peer {
namespace {

using generation::testing::chat_request;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using testing::Nodes;
using testing::PeerNode;
using testing::Script;

// What came of one question to the gate.
struct Outcome {
  std::string text, error;
  generation::Route route;
  bool done = false;
};

io::Task<void> ask(Nodes& nodes, Outcome& outcome) {
  generation::GenerationOptions options;
  options.node_name = "gate";
  const auto generation =
      generation::make_generation(nodes.world(), nodes.shelf, nodes.scheduler(), options);
  auto answer = co_await generation->chat(chat_request("m", "Hi"), {});
  if (!answer) {
    outcome.error = answer.error().what;
    co_return;
  }
  while (!outcome.done) {
    const auto chunk = co_await (*answer)->next();
    if (!chunk) {
      outcome.error = chunk.error().what;
      break;
    }
    outcome.text += chunk->content;
    outcome.done = chunk->done;
  }
  outcome.route = (*answer)->route();
}

// Shared by all nodes: whichever is asked to go on knows where in the answer it is.
Script story() {
  Script script;
  for (int i = 0; i < 60; i++) script.answer += fmt::format("word {} ", i);
  script.pieces = {1, 3, 2};
  script.adds_bos = true;
  return script;
}

TEST(PeerServer, AnswersForANodeThatHasNotTheModel) {
  Script script = story();
  Nodes nodes;
  nodes.add(script);
  Outcome outcome;
  nodes.run(ask(nodes, outcome));
  EXPECT_EQ(outcome.error, "");
  EXPECT_EQ(outcome.text, script.answer);
  EXPECT_EQ(outcome.route.node, "n0");
  EXPECT_EQ(outcome.route.attempts, 1);
  EXPECT_EQ(script.leases, 0);
}

io::Task<void> ask_again(Nodes& nodes, std::vector<double>& connects) {
  for (int i = 0; i < 6; i++) {
    Outcome outcome;
    co_await ask(nodes, outcome);
    EXPECT_EQ(outcome.error, "");
    co_await nodes.sleep(seconds(1));  // The lease is given back behind the answer.
    connects.push_back(http::metrics::client_connects.value());
  }
}

TEST(PeerServer, AnswersOneAfterTheOtherUseTheSameConnections) {
  Script script = story();
  Nodes nodes;
  nodes.add(script);
  std::vector<double> connects;
  nodes.run(ask_again(nodes, connects));
  ASSERT_EQ(connects.size(), 6u);
  EXPECT_EQ(connects.back(), connects.front());
}

// Kills the node that answers after so many pieces, once for each number, and brings it back.
struct Killer {
  Nodes& nodes;
  std::vector<int> after;
  int said = 0;
  io::TaskGroup tasks;

  Killer(Nodes& all, std::vector<int> pieces)
      : nodes(all), after(std::move(pieces)), tasks(all.world().executor, all.clock()) {}

  io::Task<void> before_piece() {
    co_await nodes.sleep(milliseconds(5));
    said++;
    if (after.empty() || said < after.front()) co_return;
    after.erase(after.begin());
    said = 0;
    tasks.spawn(kill_and_restart());
  }
  io::Task<void> kill_and_restart() {
    PeerNode* dying = nullptr;
    for (const auto& node : nodes.nodes) {
      if (node->alive() && node->server().leases() > 0) dying = node.get();
    }
    if (!dying) {
      // What said the piece was killed before, and does not know yet.
      after.insert(after.begin(), 1);
      co_return;
    }
    co_await dying->kill();
    // Until it has forgotten the lease, which nobody gives back.
    co_await nodes.sleep(kLeaseIdleMax + seconds(2));
    dying->start();
  }
};

io::Task<void> ask_while_nodes_die(Nodes& nodes, Killer& killer, Outcome& outcome) {
  co_await ask(nodes, outcome);
  co_await killer.tasks.wait();
}

TEST(PeerServer, AnAnswerGoesOnElsewhereWithNoTokenLostOrRepeated) {
  for (uint64_t seed = 1; seed <= 12; seed++) {
    SCOPED_TRACE(seed);
    Script script = story();
    script.loses_ids = seed % 2 == 0;
    Nodes nodes(seed);
    nodes.simulated().network().faults.slice_max = seed % 3 == 0 ? 11 : 4096;
    for (int i = 0; i < 3; i++) nodes.add(script);
    const int first = static_cast<int>(seed * 7 % 60) + 1;
    Killer killer(nodes, {first, 20, 10, 5, 1});
    script.before_piece = [&killer] { return killer.before_piece(); };
    Outcome outcome;
    nodes.run(ask_while_nodes_die(nodes, killer, outcome));
    EXPECT_EQ(outcome.error, "");
    EXPECT_EQ(outcome.text, script.answer);
    EXPECT_TRUE(killer.after.empty());
    EXPECT_GE(outcome.route.attempts, 2);
    EXPECT_EQ(script.failures, 0) << "a lost node was taken for a runner that failed";
    EXPECT_EQ(script.leases, 0);
  }
}

TEST(PeerServer, TellsTheRunnersRefusalAndItsDeath) {
  Script script = story();
  script.refusal = Error{Errc::invalid_argument, "failed to parse grammar"};
  Nodes nodes;
  nodes.add(script);
  nodes.run([](Nodes& nodes, Script& script) -> io::Task<void> {
    Outcome refused;
    co_await ask(nodes, refused);
    EXPECT_THAT(refused.error, HasSubstr("failed to parse grammar"));
    script.refusal.reset();
    script.deaths = {0, 2};
    script.targets.clear();
    script.requests.clear();
    Outcome died;
    co_await ask(nodes, died);
    EXPECT_EQ(died.error, "");
    EXPECT_EQ(died.text, script.answer);
    co_await nodes.sleep(seconds(1));
    EXPECT_EQ(script.leases, 0);  // Given back by the asker, not by time.
  }(nodes, script));
}

io::Task<void> use_all_operations(Nodes& nodes) {
  auto lease = co_await nodes.scheduler().acquire(nodes.target(), {}, {});
  CO_ASSERT(lease.has_value());
  EXPECT_EQ((*lease)->node(), "n0");
  EXPECT_EQ((*lease)->load_time(), seconds(2));
  EXPECT_EQ((*lease)->engine().properties().context_length, 4096);
  engine::Engine& engine = (*lease)->engine();
  const auto tokens = co_await engine.tokenize("h\xc3\xa9", true, {});
  CO_ASSERT(tokens.has_value());
  EXPECT_EQ(tokens->size(), 4u);
  const auto text = co_await engine.detokenize(*tokens, {});
  CO_ASSERT(text.has_value());
  EXPECT_EQ(*text, "h\xc3\xa9");
  const auto embedding = co_await engine.embed(*tokens, true, {});
  CO_ASSERT(embedding.has_value());
  EXPECT_EQ(embedding->vector, (std::vector<float>{3, 4, 4}));
  EXPECT_EQ(embedding->tokens, 4);
}

TEST(PeerServer, DoesAllThatAnEngineDoes) {
  Script script = story();
  Nodes nodes;
  nodes.add(script);
  nodes.run(use_all_operations(nodes));
}

TEST(PeerServer, ALeaseThatEndedThereIsALostNode) {
  Script script = story();
  Nodes nodes;
  nodes.add(script);
  nodes.run([](Nodes& nodes) -> io::Task<void> {
    auto lease = co_await nodes.scheduler().acquire(nodes.target(), {}, {});
    CO_ASSERT(lease.has_value());
    nodes.nodes[0]->server().forget("");
    const auto tokens = co_await (*lease)->engine().tokenize("a", false, {});
    CO_ASSERT(!tokens.has_value());
    EXPECT_EQ(tokens.error().code, Errc::unavailable);
    EXPECT_TRUE((*lease)->node_lost());
  }(nodes));
}

TEST(PeerServer, TellsNothingAnyMoreToWhoIsNoMember) {
  Script script = story();
  Nodes nodes;
  nodes.add(script);
  nodes.run([](Nodes& nodes) -> io::Task<void> {
    auto lease = co_await nodes.scheduler().acquire(nodes.target(), {}, {});
    CO_ASSERT(lease.has_value());
    http::Client client(nodes.world());
    const engine::PeerLink link = nodes.nodes[0]->link();
    auto request = link.request("GET", "/peer/v1/report");
    auto reports = co_await engine::LineReader::open(nodes.clock(), client, link,
                                                     std::move(request), io::Call());
    CO_ASSERT(reports.has_value());
    auto line = co_await reports->next();
    EXPECT_TRUE(line.has_value());
    nodes.nodes[0]->server().tell_no_more("");  // Without TLS nobody has a name.
    for (int i = 0; line && i < 10; i++) line = co_await reports->next();
    EXPECT_FALSE(line.has_value());
    EXPECT_EQ(nodes.nodes[0]->server().leases(), 1u);
    nodes.nodes[0]->server().forget("");
    EXPECT_EQ(nodes.nodes[0]->server().leases(), 0u);
    client.close_idle();
  }(nodes));
}

io::Task<Result<boost::json::object>> read_first_line(Nodes& nodes, http::Client& client,
                                                      http::ClientRequest request) {
  const engine::PeerLink link = nodes.nodes[0]->link();
  CO_TRY(auto reader, co_await engine::LineReader::open(nodes.clock(), client, link,
                                                        std::move(request), io::Call()));
  co_return co_await reader.next();
}

// Elsewhere the answer goes on all the same.
TEST(PeerServer, LinesThatAreNotKeptAnyMoreAreUnavailable) {
  Script script = story();
  Nodes nodes;
  nodes.add(script);
  nodes.run([](Nodes& nodes) -> io::Task<void> {
    http::Client client(nodes.world());
    const engine::PeerLink link = nodes.nodes[0]->link();
    const auto first_line = [&](std::string path,
                                std::string body) -> io::Task<Result<boost::json::object>> {
      return read_first_line(nodes, client, link.request("POST", path, std::move(body)));
    };
    const auto asked = scheduler::encode_lease_request(nodes.target(), {});
    CO_ASSERT(asked.has_value());
    const auto lease = co_await first_line("/peer/v1/leases", *asked);
    CO_ASSERT(lease && lease->contains("id"));
    const std::string path = "/peer/v1/leases/" + std::string(lease->at("id").as_string());
    (void)co_await first_line(path + "/complete", "{}");
    const auto line = co_await first_line(path + "/attach?from=99999", "");
    CO_ASSERT(!line.has_value());
    EXPECT_EQ(line.error().code, Errc::unavailable);
    EXPECT_THAT(line.error().what, HasSubstr("not kept"));
    client.close_idle();
  }(nodes));
}

TEST(PeerServer, GivesNoLeaseWhileItDrainsAndWaitsForThoseGiven) {
  Script script = story();
  Nodes nodes;
  nodes.add(script);
  nodes.run([](Nodes& nodes) -> io::Task<void> {
    auto lease = co_await nodes.scheduler().acquire(nodes.target(), {}, {});
    CO_ASSERT(lease.has_value());
    io::TaskGroup tasks(nodes.world().executor, nodes.clock());
    tasks.spawn(nodes.nodes[0]->server().drain(std::chrono::minutes(1)));
    co_await nodes.sleep(seconds(10));
    EXPECT_EQ(tasks.size(), 1u);
    const auto refused = co_await nodes.scheduler().acquire(nodes.target(), {}, {});
    CO_ASSERT(!refused.has_value());
    EXPECT_THAT(refused.error().what, HasSubstr("draining"));
    lease->reset();
    co_await nodes.sleep(seconds(1));
    EXPECT_EQ(tasks.size(), 0u);
    co_await tasks.stop();
  }(nodes));
}

}  // namespace
}  // namespace om::peer
