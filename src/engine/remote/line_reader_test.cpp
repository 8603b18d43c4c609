// A node that speaks as the path says, over the simulated network, and who reads it.
#include "engine/remote/line_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/remote/remote_engine.h"
#include "http/server.h"
#include "io/co_assert_for_test.h"
#include "sim/world.h"

namespace om::engine {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

constexpr milliseconds kTransport{100};  // More than the simulated network takes for a few lines.

io::Task<void> pulse_for(io::World& world, http::ResponseWriter& response, int pulses) {
  for (int i = 0; i < pulses; i++) {
    const auto slept = co_await world.clock.sleep_for(kPulseInterval);
    const auto sent = co_await response.write(kPulseLine);
    if (!slept || !sent) co_return;
  }
}

io::Task<void> be_silent(io::World& world, const http::Request& request) {
  const auto slept =
      co_await world.clock.sleep_for(std::chrono::hours(1), {io::kNever, request.cancel});
  EXPECT_FALSE(slept) << "the reader stayed";
}

constexpr std::string_view kCompletion = "/peer/v1/leases/7/complete";

std::string piece_line(std::string text) {
  Piece piece;
  piece.text = std::move(text);
  std::string line;
  append_piece(line, piece);
  return line;
}

// Parts of an answer, each with a pause before it, by the path asked for.
const std::map<std::string_view, std::vector<std::string>> kAnswers = {
    {"/lines", {"{}\n{}\n{\"a\":1}\n{}", "\n{\"b\":", "2}\n{}\n"}},
    {"/error", {"{\"a\":1}\n{\"error\":{\"code\":\"overloaded\",\"what\":\"busy\"}}\n"}},
    {"/gave_up", {"{\"a\":1}\n{\"error\":{\"code\":\"cancelled\",\"what\":\"over\"}}\n"}},
    {"/garbage", {"{\"a\":1}\n", "what?\n"}},
    {"/two", {"{\"a\":1}\n", "[]\n", "{\"b\":2}\n"}},
    {"/half", {"{\"a\":1}\n{\"b\""}},
    {"/silent", {"{\"a\":1}\n"}},
    {"/in_time", {"{\"a\":1}\n", "{\"b\":2}\n"}},
    {"/cut", {"{\"a\":1}\n"}},
    {kCompletion, {"{\"started\":true}\n", piece_line("once")}},
};

io::Task<void> speak(io::World& world, http::Request& request, http::BodyReader& body,
                     http::ResponseWriter& response) {
  const auto read = co_await body.read_all(64 << 20);
  if (!read) co_return;
  if (request.path == "/headless") co_return co_await be_silent(world, request);
  if (request.path == "/refuses") {
    std::string line = error_line({Errc::forbidden, "not a member"});
    (void)co_await response.send(403, "application/x-ndjson", std::move(line));
    co_return;
  }
  if (request.path == "/broken") {
    (void)co_await response.send(500, "text/plain", "oops");
    co_return;
  }
  const auto started = co_await response.start(200, "application/x-ndjson");
  if (!started) co_return;
  if (request.path == "/slow") {
    co_await pulse_for(world, response, 60);
    (void)co_await response.write("{\"a\":1}\n");
  }
  if (request.path == "/endless") {
    const std::string much(1 << 20, 'x');
    for (auto sent = co_await response.write(much); sent;) sent = co_await response.write(much);
    co_return;
  }
  const auto answer = kAnswers.find(request.path);
  if (answer != kAnswers.end()) {
    for (const std::string& part : answer->second) {
      const auto slept = co_await world.clock.sleep_for(milliseconds(50));
      const auto sent = co_await response.write(part);
      if (!slept || !sent) co_return;
    }
  }
  if (request.path == kCompletion) co_await pulse_for(world, response, 20);
  if (request.path == "/silent" || request.path == kCompletion) {
    co_return co_await be_silent(world, request);
  }
  if (request.path == "/cut") co_return;  // Without an end.
  (void)co_await response.finish();
}

// A scripted node and a client of it.
class ScriptedNode {
 public:
  ScriptedNode()
      : server_(
            sim_.world(), {},
            [this](http::Request& request, http::BodyReader& body, http::ResponseWriter& response) {
              return speak(sim_.world(), request, body, response);
            }),
        client_(sim_.world()) {
    auto at = server_.listen(io::Endpoint::tcp("127.0.0.1", 0));
    EXPECT_TRUE(at.has_value());
    if (at) link_.endpoint = *at;
    link_.node = "blue";
  }

  io::Clock& clock() { return sim_.clock(); }
  RemoteEngine engine() { return {sim_.world(), client_, link_, "7", {}}; }
  io::Task<Result<LineReader>> open(std::string path, io::Call call = {}, std::string body = {}) {
    auto request = link_.request("POST", std::move(path), std::move(body));
    auto reader = co_await LineReader::open(sim_.clock(), client_, link_, std::move(request), call);
    co_return reader;
  }
  using Body = io::Task<void> (*)(ScriptedNode&);
  void run(Body body) { sim_.run(run_and_stop(body)); }
  void listen_no_more() { link_.endpoint.port++; }
  sim::SimNetwork& network() { return sim_.network(); }
  http::Server& server() { return server_; }

 private:
  io::Task<void> run_and_stop(Body body) {
    co_await body(*this);
    client_.close_idle();
    co_await server_.stop(seconds(1));
  }

  sim::World sim_{1};
  http::Server server_;
  http::Client client_;
  PeerLink link_;
};

TEST(LineReader, GivesWhatIsToldAndSwallowsPulses) {
  ScriptedNode().run([](ScriptedNode& node) -> io::Task<void> {
    auto reader = co_await node.open("/lines");
    CO_ASSERT(reader.has_value());
    const auto first = co_await reader->next();
    CO_ASSERT(first.has_value());
    EXPECT_EQ(first->at("a"), 1);
    EXPECT_FALSE(reader->ready());
    const auto second = co_await reader->next();
    CO_ASSERT(second.has_value());
    EXPECT_EQ(second->at("b"), 2);
    co_await reader->finish();
    EXPECT_FALSE(reader->lost());
  });
}

TEST(LineReader, WaitsAsLongAsTheNodePulses) {
  ScriptedNode().run([](ScriptedNode& node) -> io::Task<void> {
    const io::TimePoint before = node.clock().now();
    auto reader = co_await node.open("/slow");
    CO_ASSERT(reader.has_value());
    const auto line = co_await reader->next();
    CO_ASSERT(line.has_value());
    EXPECT_EQ(line->at("a"), 1);
    EXPECT_GE(node.clock().now() - before, 60 * kPulseInterval);
  });
}

TEST(LineReader, TellsTheNodesOwnErrorAndDoesNotTakeItForLost) {
  ScriptedNode().run([](ScriptedNode& node) -> io::Task<void> {
    auto reader = co_await node.open("/error");
    CO_ASSERT(reader.has_value());
    const auto first = co_await reader->next();
    CO_ASSERT(first.has_value());
    const auto second = co_await reader->next();
    CO_ASSERT(!second.has_value());
    EXPECT_EQ(second.error().code, Errc::overloaded);
    EXPECT_EQ(second.error().what, "busy");
    EXPECT_FALSE(reader->lost());
  });
}

TEST(LineReader, TellsWhyItIsRefused) {
  ScriptedNode().run([](ScriptedNode& node) -> io::Task<void> {
    const auto refused = co_await node.open("/refuses");
    CO_ASSERT(!refused.has_value());
    EXPECT_EQ(refused.error().code, Errc::forbidden);
    EXPECT_EQ(refused.error().what, "not a member");
    const auto broken = co_await node.open("/broken");
    CO_ASSERT(!broken.has_value());
    EXPECT_EQ(broken.error().code, Errc::unavailable);
    EXPECT_EQ(broken.error().what, "node blue answered 500");
  });
}

TEST(LineReader, AReaderThatComesLateDoesNotLoseTheNode) {
  ScriptedNode().run([](ScriptedNode& node) -> io::Task<void> {
    auto reader = co_await node.open("/in_time");
    CO_ASSERT(reader.has_value());
    const auto first = co_await reader->next();
    CO_ASSERT(first.has_value());
    const auto slept = co_await node.clock().sleep_for(kSilenceMax + seconds(1));
    EXPECT_TRUE(slept);
    const auto second = co_await reader->next();
    CO_ASSERT(second.has_value());
    EXPECT_EQ(second->at("b"), 2);
    EXPECT_FALSE(reader->lost());
  });
}

// One line comes, then trouble: unavailable, naming the node, and lost.
io::Task<void> expect_lost_after_a_line(ScriptedNode& node, std::string path,
                                        io::Duration at_most) {
  auto reader = co_await node.open(path);
  CO_ASSERT(reader.has_value());
  const auto first = co_await reader->next();
  CO_ASSERT(first.has_value());
  const io::TimePoint before = node.clock().now();
  const auto second = co_await reader->next();
  CO_ASSERT(!second.has_value());
  EXPECT_EQ(second.error().code, Errc::unavailable) << path;
  EXPECT_THAT(second.error().what, HasSubstr("node blue"));
  EXPECT_TRUE(reader->lost());
  EXPECT_LE(node.clock().now() - before, at_most) << path;
  const auto third = co_await reader->next();
  EXPECT_FALSE(third.has_value());
}

TEST(LineReader, ANodeThatFallsSilentIsLostAfterTwoSeconds) {
  ScriptedNode().run([](ScriptedNode& node) -> io::Task<void> {
    const io::TimePoint before = node.clock().now();
    co_await expect_lost_after_a_line(node, "/silent", kSilenceMax + milliseconds(500));
    EXPECT_GE(node.clock().now() - before, kSilenceMax);
  });
}

TEST(RemoteEngine, ANodeThatFallsSilentInAnAnswerIsLostAfterASecond) {
  ScriptedNode().run([](ScriptedNode& node) -> io::Task<void> {
    RemoteEngine engine = node.engine();
    auto completion = co_await engine.complete({}, {});
    CO_ASSERT(completion.has_value());
    const auto piece = co_await (*completion)->next();
    CO_ASSERT(piece.has_value());
    EXPECT_EQ(piece->text, "once");
    const io::TimePoint before = node.clock().now();
    const auto lost = co_await (*completion)->next();
    CO_ASSERT(!lost.has_value());
    EXPECT_EQ(lost.error().code, Errc::unavailable);
    EXPECT_TRUE(engine.lost());
    const io::Duration taken = node.clock().now() - before - 20 * kPulseInterval;
    EXPECT_GE(taken, kAnswerSilenceMax) << "pulses are signs of life";
    EXPECT_LE(taken, kAnswerSilenceMax + milliseconds(500));
  });
}

TEST(LineReader, ANodeThatGivesARequestUpWhichItsCallerDidNotIsLost) {
  ScriptedNode().run([](ScriptedNode& node) -> io::Task<void> {
    co_await expect_lost_after_a_line(node, "/gave_up", kTransport);
  });
}

TEST(LineReader, ANodeThatCutsOrWritesNonsenseIsLostAtOnce) {
  ScriptedNode().run([](ScriptedNode& node) -> io::Task<void> {
    co_await expect_lost_after_a_line(node, "/cut", kTransport);
    co_await expect_lost_after_a_line(node, "/garbage", kTransport);
    co_await expect_lost_after_a_line(node, "/half", kTransport);
    co_await expect_lost_after_a_line(node, "/two", kTransport);  // As long as a pulse.
  });
}

TEST(LineReader, ALineWithoutAnEndIsNotKept) {
  ScriptedNode().run([](ScriptedNode& node) -> io::Task<void> {
    auto reader = co_await node.open("/endless");
    CO_ASSERT(reader.has_value());
    const auto line = co_await reader->next();
    CO_ASSERT(!line.has_value());
    EXPECT_THAT(line.error().what, HasSubstr("a line without an end"));
    EXPECT_TRUE(reader->lost());
  });
}

TEST(LineReader, AHeadThatDoesNotComeIsNotWaitedForLongerThanTwoSeconds) {
  ScriptedNode().run([](ScriptedNode& node) -> io::Task<void> {
    const io::TimePoint before = node.clock().now();
    const auto reader = co_await node.open("/headless");
    CO_ASSERT(!reader.has_value());
    EXPECT_EQ(reader.error().code, Errc::unavailable);
    EXPECT_EQ(reader.error().what, "node blue: it does not answer");
    EXPECT_GE(node.clock().now() - before, kSilenceMax);
    EXPECT_LE(node.clock().now() - before, kSilenceMax + kTransport);
  });
}

TEST(LineReader, ALargeQuestionMayTakeLonger) {
  ScriptedNode().run([](ScriptedNode& node) -> io::Task<void> {
    node.network().faults.delay_min = node.network().faults.delay_max = milliseconds(100);
    auto reader = co_await node.open("/lines", {}, std::string(8 << 20, 'x'));
    CO_ASSERT(reader.has_value());
    const auto line = co_await reader->next();
    EXPECT_TRUE(line.has_value());
  });
}

TEST(LineReader, ANodeThatIsNotThereIsUnavailable) {
  ScriptedNode().run([](ScriptedNode& node) -> io::Task<void> {
    node.listen_no_more();
    const auto reader = co_await node.open("/lines");
    CO_ASSERT(!reader.has_value());
    EXPECT_EQ(reader.error().code, Errc::unavailable);
    EXPECT_THAT(reader.error().what, HasSubstr("node blue"));
  });
}

TEST(LineReader, ACallerThatLeavesIsCancelledAndTheNodeIsNotLost) {
  ScriptedNode().run([](ScriptedNode& node) -> io::Task<void> {
    io::CancelSource cancel;
    auto reader = co_await node.open("/silent", io::Call{io::kNever, cancel.token()});
    CO_ASSERT(reader.has_value());
    const auto first = co_await reader->next();
    EXPECT_TRUE(first.has_value());
    const auto timer = node.clock().start_timer(node.clock().now() + milliseconds(300),
                                                [&cancel] { cancel.cancel(); });
    const io::TimePoint before = node.clock().now();
    const auto second = co_await reader->next();
    node.clock().cancel_timer(timer);
    CO_ASSERT(!second.has_value());
    EXPECT_EQ(second.error().code, Errc::cancelled);
    EXPECT_FALSE(reader->lost());
    EXPECT_LE(node.clock().now() - before, milliseconds(300) + kTransport);
  });
}

TEST(LineReader, TheCallersOwnDeadlineSaysNothingOfTheNode) {
  ScriptedNode().run([](ScriptedNode& node) -> io::Task<void> {
    const auto headless =
        co_await node.open("/headless", node.clock().call_within(milliseconds(300)));
    CO_ASSERT(!headless.has_value());
    EXPECT_EQ(headless.error().code, Errc::deadline_exceeded);
    auto reader = co_await node.open("/slow", node.clock().call_within(seconds(5)));
    CO_ASSERT(reader.has_value());
    const io::TimePoint before = node.clock().now();
    const auto line = co_await reader->next();
    CO_ASSERT(!line.has_value());
    EXPECT_EQ(line.error().code, Errc::deadline_exceeded);
    EXPECT_FALSE(reader->lost());
    EXPECT_LE(node.clock().now() - before, seconds(5));
  });
}

}  // namespace
}  // namespace om::engine
