// The parts of the gateway benchmark, one role a process; bench/gateway puts them together.
//
//   gateway_bench upstream PORT            streams /stream?tokens=N&pause_us=P, answers /small
//   gateway_bench relay PORT UPSTREAM      passes bodies on as they come, as nginx does
//   gateway_bench transform PORT UPSTREAM  server-sent events in, JSON lines out
//   gateway_bench load PORT STREAMS ROUNDS TOKENS PAUSE_US    prints one line of figures
//   gateway_bench small PORT CONNECTIONS REQUESTS             the same for /small
#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "base/check.h"
#include "http/client.h"
#include "http/event_stream.h"
#include "http/server.h"
#include "io/real.h"

namespace {

using namespace om;

int64_t monotonic_ns() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);  // The same in every process of the machine.
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

int number(std::string_view text) { return std::atoi(std::string(text).c_str()); }

io::Task<void> upstream(io::World& world, http::Request& request, http::ResponseWriter& response) {
  if (request.path == "/small") {
    const auto sent = co_await response.send(200, "application/json", std::string(250, 'x'));
    (void)sent.has_value();
    co_return;
  }
  const int tokens = number(request.query_value("tokens"));
  const std::chrono::microseconds pause(number(request.query_value("pause_us")));
  auto result = co_await response.start(200, "text/event-stream");
  const std::string padding(140, 'p');
  for (int i = 0; i < tokens && result; i++) {
    if (pause.count() > 0) CHECK((co_await world.clock.sleep_for(pause)).has_value());
    const std::string event =
        fmt::format("data: {{\"t\":{:020},\"content\":\"{}\"}}\n\n", monotonic_ns(), padding);
    result = co_await response.write(event);
  }
  if (result) result = co_await response.finish();
}

io::Task<Result<void>> pass_on(http::ClientResponse& from, http::ResponseWriter& to) {
  std::string bytes;
  while (true) {
    bytes.clear();
    CO_TRY(const bool more, co_await from.read_some(bytes));
    if (!more) co_return co_await to.finish();
    CO_TRY_VOID(co_await to.write(bytes));
  }
}

io::Task<Result<void>> pass_on_as_lines(http::ClientResponse& from, http::ResponseWriter& to) {
  std::string bytes, lines;
  http::SseReader reader;
  http::SseEvent event;
  while (true) {
    bytes.clear();
    CO_TRY(const bool more, co_await from.read_some(bytes));
    if (!more) co_return co_await to.finish();
    lines.clear();
    std::string_view input = bytes;
    while (true) {
      CO_TRY(const bool whole, reader.next(input, event));
      if (!whole) break;
      lines.append(event.data).append("\n");
    }
    CO_TRY_VOID(co_await to.write(lines));
  }
}

io::Task<void> proxy(http::Client& client, io::Endpoint upstream_at, bool transform,
                     http::Request& request, http::ResponseWriter& response) {
  http::ClientRequest forward;
  forward.endpoint = upstream_at;
  forward.target = request.target;
  const io::Call call{io::kNever, request.cancel};
  auto answer = co_await client.send(std::move(forward), call);
  CHECK(answer.has_value(), answer ? "" : answer.error().what);
  const std::string type((*answer)->headers().get("Content-Type"));
  const auto started = co_await response.start((*answer)->status(), type, (*answer)->length());
  if (!started) co_return;
  auto passed = transform && type == "text/event-stream" ? pass_on_as_lines(**answer, response)
                                                         : pass_on(**answer, response);
  const auto result = co_await std::move(passed);
  (void)result.has_value();  // The client left: nothing to tell.
}

struct Figures {
  std::vector<int64_t> token_ns, total_ns;
  int64_t tokens = 0, requests = 0;
};

// The time stamps in what arrived; a stamp that is cut over two reads is not counted.
void take_stamps(std::string_view bytes, Figures& figures) {
  const int64_t now = monotonic_ns();
  static constexpr std::string_view kMark = "\"t\":";
  for (size_t at = bytes.find(kMark); at != std::string_view::npos;
       at = bytes.find(kMark, at + 1)) {
    figures.tokens++;
    if (at + 24 > bytes.size()) continue;
    figures.token_ns.push_back(now - std::atoll(std::string(bytes.substr(at + 4, 20)).c_str()));
  }
}

io::Task<void> one_client(http::Client& client, io::Endpoint at, std::string target, int rounds,
                          Figures& figures) {
  std::string bytes;
  for (int i = 0; i < rounds; i++) {
    http::ClientRequest request;
    request.endpoint = at;
    request.target = target;
    const int64_t begin = monotonic_ns();
    auto answer = co_await client.send(std::move(request), {});
    CHECK(answer.has_value(), answer ? "" : answer.error().what);
    while (true) {
      bytes.clear();
      const auto more = co_await (*answer)->read_some(bytes);
      CHECK(more.has_value(), more ? "" : more.error().what);
      if (!*more) break;
      take_stamps(bytes, figures);
    }
    figures.total_ns.push_back(monotonic_ns() - begin);
    figures.requests++;
  }
}

double percentile_us(std::vector<int64_t>& values, double part) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const auto index = static_cast<size_t>(part * static_cast<double>(values.size() - 1));
  return static_cast<double>(values[index]) / 1000;
}

io::Task<void> load(io::World& world, http::Client& client, uint16_t port, std::string target,
                    int clients, int rounds) {
  Figures figures;
  io::TaskGroup group(world.executor, world.clock);
  for (int i = 0; i < clients; i++) {
    group.spawn(one_client(client, io::Endpoint::tcp("127.0.0.1", port), target, rounds, figures));
  }
  const int64_t begin = monotonic_ns();
  co_await group.wait();
  const double seconds = static_cast<double>(monotonic_ns() - begin) / 1e9;
  fmt::print(
      "requests={} tokens={} seconds={:.3f} total_p50_us={:.1f} total_p99_us={:.1f} "
      "token_p50_us={:.1f} token_p99_us={:.1f}\n",
      figures.requests, figures.tokens, seconds, percentile_us(figures.total_ns, 0.5),
      percentile_us(figures.total_ns, 0.99), percentile_us(figures.token_ns, 0.5),
      percentile_us(figures.token_ns, 0.99));
}

int serve(io::RealWorld& world, uint16_t port, http::Handler handler) {
  http::Server server(world.world(), {}, std::move(handler));
  const auto listening = server.listen(io::Endpoint::tcp("127.0.0.1", port));
  CHECK(listening.has_value(), listening ? "" : listening.error().what);
  world.on_signal({SIGTERM}, [](int) { std::_Exit(0); });
  world.run();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string role = argc > 2 ? argv[1] : "";
  const auto port = static_cast<uint16_t>(argc > 2 ? std::atoi(argv[2]) : 0);
  io::RealWorld real;
  io::World& world = real.world();
  http::Client client(world, {.idle_per_endpoint_max = 2048});
  if (role == "upstream") {
    return serve(real, port, [&world](auto& request, auto&, auto& response) {
      return upstream(world, request, response);
    });
  }
  if ((role == "relay" || role == "transform") && argc == 4) {
    const auto at = io::Endpoint::tcp("127.0.0.1", static_cast<uint16_t>(std::atoi(argv[3])));
    return serve(real, port,
                 [&client, at, lines = role == "transform"](auto& request, auto&, auto& response) {
                   return proxy(client, at, lines, request, response);
                 });
  }
  if (role == "load" && argc == 7) {
    std::string target = fmt::format("/stream?tokens={}&pause_us={}", argv[5], argv[6]);
    real.run_until_done(
        load(world, client, port, std::move(target), std::atoi(argv[3]), std::atoi(argv[4])));
    return 0;
  }
  if (role == "small" && argc == 5) {
    const int clients = std::max(1, std::atoi(argv[3]));
    real.run_until_done(load(world, client, port, "/small", clients, std::atoi(argv[4]) / clients));
    return 0;
  }
  fmt::print(stderr, "usage: see the head of bench/gateway_bench.cpp\n");
  return 2;
}
