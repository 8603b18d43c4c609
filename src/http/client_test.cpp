#include "http/client.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "http/loopback_for_test.h"
#include "io/co_assert_for_test.h"

namespace om::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A server that says exactly what it is told: for each connection, for each request head that
// arrives, the next of these strings. "!" in front: close afterwards.
using Script = std::vector<std::vector<std::string>>;

class Scripted {
 public:
  explicit Scripted(Script script) : script_(std::move(script)), client(real_.world()) {
    auto listening = real_.world().network.listen(io::Endpoint::tcp("127.0.0.1", 0), nullptr);
    EXPECT_TRUE(listening.has_value());
    listener_ = std::move(*listening);
  }

  io::World& world() { return real_.world(); }
  void run(io::Task<void> task) { real_.run_until_done(run_all(std::move(task))); }
  ClientRequest request(std::string method = "GET", std::string body = {}) {
    ClientRequest request;
    request.method = std::move(method);
    request.endpoint = listener_->local();
    request.body = std::move(body);
    return request;
  }
  // The whole answer to one request: "status body", or the error's code.
  io::Task<std::string> ask(ClientRequest request, io::Call call) {
    auto response = co_await client.send(std::move(request), std::move(call));
    if (!response) co_return std::string(to_string(response.error().code));
    const auto body = co_await (*response)->read_all(1 << 20);
    const std::string text = body ? *body : std::string(to_string(body.error().code));
    co_return fmt::format("{} {}", (*response)->status(), text);
  }
  io::Stream& last_stream() { return *open_.back(); }
  io::Task<std::string> ask() {
    co_return co_await ask(request(), world().clock.call_within(seconds(10)));
  }

 private:
  io::Task<void> run_all(io::Task<void> task) {
    io::TaskGroup group(world().executor, world().clock);
    group.spawn(serve());
    co_await std::move(task);
    listener_->close();
    client.close_idle();
    co_await group.stop();
  }
  io::Task<void> serve() {
    for (const auto& answers : script_) {
      auto stream = co_await listener_->accept();
      if (!stream) co_return;
      connections++;
      for (const std::string& answer : answers) {
        const std::string head = co_await read_until(**stream, "\r\n\r\n");
        if (head.empty()) break;
        requests += head;
        const bool close = answer.starts_with('!');
        const auto written = co_await (*stream)->write(std::string_view(answer).substr(close));
        if (!written || close) break;
        if (&answer == &answers.back()) open_.push_back(std::move(*stream));
      }
    }
  }

  io::RealWorld real_;
  Script script_;
  std::unique_ptr<io::Listener> listener_;
  std::vector<std::unique_ptr<io::Stream>> open_;

 public:
  Client client;
  int connections = 0;
  std::string requests;
};

io::Task<void> keep(std::string* into, io::Task<std::string> from) {
  *into = co_await std::move(from);
}

std::string answer_to(std::string bytes) {
  Scripted scripted({{"!" + bytes}});
  std::string answer;
  scripted.run(keep(&answer, scripted.ask()));
  return answer;
}

TEST(Client, ReadsBodiesOfEveryFraming) {
  EXPECT_EQ(answer_to("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"), "200 hi");
  EXPECT_EQ(
      answer_to(
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n"),
      "200 hi");
  EXPECT_EQ(answer_to("HTTP/1.1 404 Not Found\r\n\r\nhi"), "404 hi");
  EXPECT_EQ(answer_to("HTTP/1.1 204 No Content\r\n\r\n"), "204 ");
  EXPECT_EQ(answer_to("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: a\r\n\r\n"
                      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
            "200 hi");
}

TEST(Client, TellsABrokenResponseFromAWholeOne) {
  EXPECT_EQ(answer_to("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi"), "200 unavailable");
  EXPECT_EQ(answer_to("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n"),
            "200 unavailable");
  EXPECT_EQ(answer_to("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
            "200 corrupt");
  EXPECT_EQ(answer_to("HTTP/1.1 200 OK\r\nContent-Length: 1"), "unavailable");
  EXPECT_EQ(answer_to("SSH-2.0-OpenSSH\r\n\r\n"), "corrupt");
  EXPECT_EQ(answer_to("HTTP/1.1 101 Switching\r\n\r\n"), "corrupt");
  EXPECT_EQ(answer_to("HTTP/1.1 200 OK\r\nX: " + std::string(70'000, 'x') + "\r\n\r\n"), "corrupt");
  EXPECT_EQ(answer_to("HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n"), "200 overloaded");
}

const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

io::Task<void> ask_twice(Scripted& scripted, std::string second) {
  EXPECT_EQ(co_await scripted.ask(), "200 ok");
  EXPECT_EQ(co_await scripted.ask(), second);
}

TEST(Client, UsesItsConnectionAgain) {
  Scripted scripted({{kOk, kOk}});
  scripted.run(ask_twice(scripted, "200 ok"));
  EXPECT_EQ(scripted.connections, 1);
}

TEST(Client, AsksAgainWhenAnIdleConnectionTurnsOutDead) {
  Scripted scripted({{kOk, "!"}, {kOk}});
  scripted.run(ask_twice(scripted, "200 ok"));
  EXPECT_EQ(scripted.connections, 2);
}

io::Task<void> post_after_get(Scripted& scripted, bool repeatable, std::string answer) {
  EXPECT_EQ(co_await scripted.ask(), "200 ok");
  ClientRequest request = scripted.request("POST", "a change");
  request.repeatable = repeatable;
  EXPECT_EQ(co_await scripted.ask(std::move(request), io::Call{}), answer);
}

TEST(Client, DoesNotAskAgainForWhatTheServerMayHaveDone) {
  Scripted scripted({{kOk, "!"}, {kOk}});
  scripted.run(post_after_get(scripted, false, "unavailable"));
  EXPECT_EQ(scripted.connections, 1);
}

TEST(Client, AsksAgainForWhatMayBeDoneTwice) {
  Scripted scripted({{kOk, "!"}, {kOk}});
  scripted.run(post_after_get(scripted, true, "200 ok"));
  EXPECT_EQ(scripted.connections, 2);
}

TEST(Client, DoesNotAskAgainOnceAByteCameBack) {
  Scripted scripted({{kOk, "!HTTP/1.1 2"}, {kOk}});
  scripted.run(ask_twice(scripted, "unavailable"));
  EXPECT_EQ(scripted.connections, 1);
}

TEST(Client, AsksAFreshConnectionOnlyOnce) {
  Scripted scripted({{kOk, "!"}, {"!"}, {kOk}});
  scripted.run(ask_twice(scripted, "unavailable"));
  EXPECT_EQ(scripted.connections, 2);
}

TEST(Client, DoesNotUseAConnectionThatSaidTooMuch) {
  Scripted scripted({{kOk + "HTTP/1.1 200 OK\r\n"}, {kOk}});
  scripted.run(ask_twice(scripted, "200 ok"));
  EXPECT_EQ(scripted.connections, 2);
}

TEST(Client, DoesNotUseAConnectionTheServerWantsToClose) {
  Scripted scripted(
      {{"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"}, {kOk}});
  scripted.run(ask_twice(scripted, "200 ok"));
  EXPECT_EQ(scripted.connections, 2);
}

io::Task<void> leave_body(Scripted& scripted) {
  auto response = co_await scripted.client.send(scripted.request(),
                                                scripted.world().clock.call_within(seconds(10)));
  EXPECT_TRUE(response.has_value());
  response->reset();
  EXPECT_EQ(co_await scripted.ask(), "200 ok");
}

TEST(Client, DoesNotUseAConnectionWhoseBodyWasNotRead) {
  Scripted scripted({{kOk}, {kOk}});
  scripted.run(leave_body(scripted));
  EXPECT_EQ(scripted.connections, 2);
}

io::Task<void> head_request(Scripted& scripted) {
  EXPECT_EQ(co_await scripted.ask(scripted.request("HEAD"), {}), "200 ");
  EXPECT_EQ(co_await scripted.ask(), "200 ok");
}

TEST(Client, ExpectsNoBodyAfterHead) {
  Scripted scripted({{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", kOk}});
  scripted.run(head_request(scripted));
  EXPECT_EQ(scripted.connections, 1);
}

io::Task<void> inject(Scripted& scripted) {
  auto request = scripted.request();
  request.headers.add("X", "a\r\nHost: b");
  EXPECT_EQ(co_await scripted.ask(std::move(request), {}), "invalid argument");
  request = scripted.request();
  request.target = "/ HTTP/1.1\r\nX: y\r\n\r\n";
  EXPECT_EQ(co_await scripted.ask(std::move(request), {}), "invalid argument");
}

TEST(Client, RefusesToWriteWhatWouldBreakTheFraming) {
  Scripted scripted({});
  scripted.run(inject(scripted));
}

const std::string kHalf = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhi";

io::Task<void> read_late(Scripted& scripted, io::Call call, io::Duration idle, Errc expected) {
  auto response = co_await scripted.client.send(scripted.request(), std::move(call));
  EXPECT_TRUE(response.has_value());
  if (!response) co_return;
  if (idle > io::Duration::zero()) (*response)->set_idle_max(idle);
  std::string got;
  auto more = co_await (*response)->read_some(got);
  while (more && *more) more = co_await (*response)->read_some(got);
  EXPECT_EQ(got, "hi");
  EXPECT_FALSE(more.has_value());
  if (!more) {
    EXPECT_EQ(more.error().code, expected) << more.error().what;
  }
  const auto again = co_await (*response)->read_some(got);
  EXPECT_FALSE(again.has_value());
}

TEST(Client, EndsABodyAtTheDeadline) {
  Scripted scripted({{kHalf}});
  scripted.run(read_late(scripted, scripted.world().clock.call_within(milliseconds(300)), {},
                         Errc::deadline_exceeded));
}

TEST(Client, EndsABodyThatStandsStill) {
  Scripted scripted({{kHalf}});
  scripted.run(read_late(scripted, {}, milliseconds(300), Errc::deadline_exceeded));
}

io::Task<void> leave_idle(Loopback& loopback, io::Duration idle, size_t open) {
  auto response = co_await loopback.client.send(loopback.request("GET", "/unread"), {});
  CO_ASSERT(response.has_value());
  const auto body = co_await (*response)->read_all(100);
  CO_ASSERT(body.has_value());
  const auto slept = co_await loopback.world().clock.sleep_for(idle);
  CO_ASSERT(slept.has_value());
  EXPECT_EQ(loopback.server.connections(), open);
}

TEST(Client, ClosesWhatNobodyUsesAlthoughNothingElseIsAsked) {
  const ClientLimits limits;
  Loopback used(limits_for_test(), Where::simulated);
  used.run(leave_idle(used, limits.idle_max - seconds(1), 1));
  Loopback unused(limits_for_test(), Where::simulated);
  unused.run(leave_idle(unused, limits.idle_max + seconds(1), 0));
}

// Takes one part and comes back for the next one much later than the server may be silent.
io::Task<void> read_with_a_pause(Scripted& scripted, std::string start, std::string rest) {
  auto response = co_await scripted.client.send(scripted.request(), {});
  CO_ASSERT(response.has_value());
  (*response)->set_idle_max(milliseconds(300));
  const auto begun = co_await scripted.last_stream().write(start);  // Apart from the head.
  std::string got;
  const auto first = co_await (*response)->read_some(got);
  CO_ASSERT(begun && first);
  EXPECT_EQ(got, "hi");
  const auto slept = co_await scripted.world().clock.sleep_for(milliseconds(500));
  const auto sent = co_await scripted.last_stream().write(rest);
  const auto slept_on = co_await scripted.world().clock.sleep_for(milliseconds(500));
  EXPECT_TRUE(slept && sent && slept_on);
  auto more = co_await (*response)->read_some(got);
  while (more && *more) more = co_await (*response)->read_some(got);
  EXPECT_TRUE(more.has_value()) << more.error().what;
  EXPECT_EQ(got, "hiho");
}

TEST(Client, APauseOfItsReaderIsNoSilenceOfTheServer) {
  Scripted with_length({{"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"}});
  with_length.run(read_with_a_pause(with_length, "hi", "ho"));
  Scripted chunked({{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"}});
  chunked.run(read_with_a_pause(chunked, "2\r\nhi\r\n", "2\r\nho\r\n0\r\n\r\n"));
}

TEST(Client, EndsABodyThatNobodyWantsAnyMore) {
  Scripted scripted({{kHalf}});
  io::CancelSource source;
  scripted.world().clock.start_timer(scripted.world().clock.now() + milliseconds(50),
                                     [&source] { source.cancel(); });
  scripted.run(read_late(scripted, {io::kNever, source.token()}, {}, Errc::cancelled));
}

io::Task<void> cancel_early(Scripted& scripted, io::CancelToken token) {
  EXPECT_EQ(co_await scripted.ask(scripted.request(), {io::kNever, std::move(token)}), "cancelled");
}

TEST(Client, StopsWaitingForAHeadWhenCancelled) {
  Scripted scripted({{""}});
  io::CancelSource source;
  scripted.world().clock.start_timer(scripted.world().clock.now() + milliseconds(50),
                                     [&source] { source.cancel(); });
  scripted.run(cancel_early(scripted, source.token()));
}

struct Pieces {
  int left = 0;
  std::string piece;
  io::Task<Result<std::string>> next() {
    if (left-- <= 0) co_return std::string();
    co_return piece;
  }
};

io::Task<void> upload(Loopback& loopback, int count, int status) {
  Pieces pieces{count, std::string(50'000, 'p')};
  auto request = loopback.request("POST", "/echo");
  request.body_source = [&pieces] { return pieces.next(); };
  request.body_length = static_cast<uint64_t>(count) * 50'000;
  auto response = co_await loopback.client.send(std::move(request), loopback.soon());
  EXPECT_TRUE(response.has_value()) << response.error().what;
  if (!response) co_return;
  EXPECT_EQ((*response)->status(), status);
  const auto body = co_await (*response)->read_all(2 << 20);
  EXPECT_TRUE(body.has_value());
  if (body && status == 200) EXPECT_EQ(*body, std::string(50'000 * count, 'p'));
}

TEST(Client, StreamsABodyBothWays) {
  Loopback loopback;
  loopback.run(upload(loopback, 20, 200));
}

TEST(Client, HearsWhyALargeBodyWasRefused) {
  ServerLimits limits;  // Lingers, so that the answer is not lost to a reset.
  Loopback loopback(limits);
  loopback.run(upload(loopback, 100, 413));
}

io::Task<void> over_unix_socket(Loopback& loopback, std::string path) {
  const auto listening = loopback.server.listen(io::Endpoint::unix_socket(path));
  EXPECT_TRUE(listening.has_value());
  auto request = loopback.request("POST", "/echo", "unix");
  request.endpoint = io::Endpoint::unix_socket(path);
  auto response = co_await loopback.client.send(std::move(request), loopback.soon());
  EXPECT_TRUE(response.has_value());
  if (!response) co_return;
  const auto body = co_await (*response)->read_all(100);
  EXPECT_EQ(body.value_or("?"), "unix");
}

TEST(Client, SpeaksOverAUnixSocket) {
  Loopback loopback;
  const std::string path = fmt::format("/tmp/ollamamax_http_{}", getpid());
  loopback.run(over_unix_socket(loopback, path));
}

}  // namespace
}  // namespace om::http
