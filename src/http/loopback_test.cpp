#include "http/loopback_for_test.h"

namespace om::http {
namespace {

io::Task<void> stream_chunks(Seen& seen, Request& request, ResponseWriter& response) {
  const int count = std::atoi(std::string(request.query_value("n")).c_str());
  auto started = co_await response.start(200, "text/plain");
  for (int i = 0; i < count && started; i++) {
    const std::string chunk = fmt::format("chunk {}\n", i);
    const auto written = co_await response.write(chunk);
    if (!written) seen.write_error = written.error();
    if (!written) co_return;
  }
  const auto finished = co_await response.finish();
  EXPECT_TRUE(finished.has_value());
}

io::Task<void> flood(Seen& seen, ResponseWriter& response) {
  const std::string block(64 * 1024, 'x');
  auto result = co_await response.start(200, "text/plain");
  while (result) {
    result = co_await response.write(block);
    if (result) seen.bytes_written += block.size();
  }
  seen.write_error = result.error();
}

io::Task<void> hang(io::World& world, Seen& seen, Request& request, ResponseWriter& response,
                    bool silent) {
  if (!silent) {
    const auto started = co_await response.start(200, "text/plain");
    const auto written = co_await response.write("first");
    EXPECT_TRUE(started.has_value() && written.has_value());
  }
  io::Event never(world.clock);
  const auto ended =
      co_await never.wait({world.clock.now() + std::chrono::seconds(20), request.cancel});
  EXPECT_FALSE(ended.has_value());
  if (!ended && ended.error().code == Errc::cancelled) seen.cancels++;
  seen.cancelled.notify_all();
}

}  // namespace

io::Task<void> handle_for_test(io::World& world, Seen& seen, Request& request, BodyReader& body,
                               ResponseWriter& response) {
  seen.requests++;
  seen.targets.push_back(request.target);
  seen.headers = request.headers;
  seen.path = request.path;
  seen.query = request.query;
  seen.peer = request.peer;
  seen.certificate = request.peer_certificate;
  seen.certificate_serial = request.peer_certificate_serial;
  if (request.path == "/none") co_return;
  if (request.path == "/stream") co_return co_await stream_chunks(seen, request, response);
  if (request.path == "/flood") co_return co_await flood(seen, response);
  if (request.path == "/hang") co_return co_await hang(world, seen, request, response, false);
  if (request.path == "/silent") co_return co_await hang(world, seen, request, response, true);
  if (request.path == "/cut") {
    const auto started = co_await response.start(200, "text/plain");
    const auto written = co_await response.write("half");
    EXPECT_TRUE(started.has_value() && written.has_value());
    co_return;
  }
  if (request.path == "/wait") {
    const auto woken = co_await seen.go_on.wait({world.clock.now() + std::chrono::seconds(20), {}});
    EXPECT_TRUE(woken.has_value());
  }
  std::string answer = "unread";
  int status = 200;
  if (request.path != "/unread") {
    auto read = co_await body.read_all(1 << 20);
    if (read) {
      answer = std::move(*read);
    } else {
      seen.body_error = read.error();
      status = read.error().code == Errc::overloaded ? 413 : 400;
      answer = read.error().what;
    }
    seen.body = answer;
  }
  // The client of a cancelled request may be gone already.
  const auto sent = co_await response.send(status, "text/plain", std::move(answer));
  if (!sent) seen.write_error = sent.error();
}

Loopback::Loopback(ServerLimits limits, Where where, uint64_t seed)
    : real_(where == Where::real ? std::make_unique<io::RealWorld>() : nullptr),
      simulated_(real_ ? nullptr : std::make_unique<sim::World>(seed)),
      seen(world().clock),
      server(world(), limits,
             [this](Request& request, BodyReader& body, ResponseWriter& response) {
               return handle_for_test(world(), seen, request, body, response);
             }),
      client(world()) {
  auto listening = server.listen(io::Endpoint::tcp("127.0.0.1", 0));
  EXPECT_TRUE(listening.has_value());
  if (listening) at = *listening;
}

Loopback::~Loopback() = default;

namespace {
io::Task<void> run_and_stop(Loopback& loopback, io::Task<void> task) {
  co_await std::move(task);
  loopback.client.close_idle();
  co_await loopback.server.stop(std::chrono::milliseconds(100));
}
}  // namespace

void Loopback::run(io::Task<void> task) {
  auto all = run_and_stop(*this, std::move(task));
  if (real_) {
    real_->run_until_done(std::move(all));
  } else {
    simulated_->run(std::move(all));
  }
}

ClientRequest Loopback::request(std::string method, std::string target, std::string body) {
  ClientRequest request;
  request.method = std::move(method);
  request.endpoint = at;
  request.host = "localhost";
  request.target = std::move(target);
  request.body = std::move(body);
  return request;
}

io::Task<Result<std::unique_ptr<io::Stream>>> Loopback::raw() {
  return world().network.connect(at, nullptr, soon());
}

io::Task<std::string> read_until(io::Stream& stream, std::string text) {
  std::string got;
  std::array<char, 16384> piece;
  while (got.find(text) == std::string::npos) {
    const auto count = co_await stream.read_some(piece);
    if (!count || *count == 0) break;
    got.append(piece.data(), *count);
  }
  co_return got;
}

io::Task<std::string> Loopback::exchange(std::string bytes) {
  auto stream = co_await raw();
  EXPECT_TRUE(stream.has_value());
  if (!stream) co_return "";
  (*stream)->set_deadline(world().clock.now() + std::chrono::seconds(10));
  const auto written = co_await (*stream)->write(bytes);
  EXPECT_TRUE(written.has_value());
  co_return co_await read_until(**stream, "\xff never");
}

io::Task<void> Loopback::wait_for_cancels(int count) {
  const io::Call call = world().clock.call_within(std::chrono::seconds(2));
  while (seen.cancels < count) {
    const auto woken = co_await seen.cancelled.wait(call);
    if (!woken) co_return;
  }
}

}  // namespace om::http
