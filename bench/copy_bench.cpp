// The parts of the copy benchmark, one role a process; bench/copy puts them together.
//
//   copy_bench serve PORT FILE     gives out FILE as the mirror and the peer server do
//   copy_bench pieces PORT FILE    the same, read and written piece by piece
//   copy_bench take PORT PATH STREAMS BYTES    reads the file in ranges and forgets it; a figure
#include <fmt/format.h>

#include <csignal>
#include <cstdlib>
#include <ctime>

#include "base/check.h"
#include "http/client.h"
#include "http/range.h"
#include "io/real.h"
#include "io/task_group.h"

namespace {

using namespace om;

constexpr uint64_t kRangeBytes = 16 << 20;  // What a node asks of another with one request.

// Hides the kernel's copying: what every connection with TLS does.
class PieceWriter final : public http::ResponseWriter {
 public:
  explicit PieceWriter(http::ResponseWriter& inner) : inner_(inner) {}
  http::Headers& headers() override { return inner_.headers(); }
  io::Task<Result<void>> send(int status, std::string type, std::string body) override {
    return inner_.send(status, std::move(type), std::move(body));
  }
  io::Task<Result<void>> start(int status, std::string type,
                               std::optional<uint64_t> length) override {
    return inner_.start(status, std::move(type), length);
  }
  io::Task<Result<void>> write(std::string_view data) override { return inner_.write(data); }
  io::Task<Result<void>> finish() override { return inner_.finish(); }
  bool started() const override { return inner_.started(); }

 private:
  http::ResponseWriter& inner_;
};

io::Task<void> give(io::World& world, std::string path, bool pieces, http::Request& request,
                    http::ResponseWriter& response) {
  http::FileToSend file;
  file.path = std::move(path);
  PieceWriter writer(response);
  http::ResponseWriter& used = pieces ? static_cast<http::ResponseWriter&>(writer) : response;
  const auto sent = co_await http::send_file(world, request, used, std::move(file));
  CHECK(sent.has_value(), sent ? "" : sent.error().what);
}

struct Ranges {
  uint64_t next = 0, end = 0, taken = 0;
};

io::Task<void> take_ranges(http::Client& client, uint16_t port, std::string path, Ranges& ranges) {
  std::string buffer;
  while (ranges.next < ranges.end) {
    const uint64_t first = ranges.next;
    ranges.next = std::min(ranges.end, first + kRangeBytes);
    http::ClientRequest request;
    request.endpoint = io::Endpoint::tcp("127.0.0.1", port);
    request.host = "127.0.0.1";
    request.target = path;
    request.headers.set("Range", fmt::format("bytes={}-{}", first, ranges.next - 1));
    auto response = co_await client.send(std::move(request), {});
    CHECK(response.has_value() && (*response)->status() == 206, "no part of the file came");
    for (bool more = true; more;) {
      buffer.clear();
      const auto read = co_await (*response)->read_some(buffer);
      CHECK(read.has_value(), "the connection broke");
      ranges.taken += buffer.size();
      more = *read;
    }
  }
}

io::Task<void> take(io::World& world, http::Client& client, uint16_t port, std::string path,
                    int streams, uint64_t bytes) {
  Ranges ranges{0, bytes, 0};
  io::TaskGroup group(world.executor, world.clock);
  const io::TimePoint begun = world.clock.now();
  for (int i = 0; i < streams; i++) group.spawn(take_ranges(client, port, path, ranges));
  co_await group.wait();
  const double seconds = std::chrono::duration<double>(world.clock.now() - begun).count();
  CHECK(ranges.taken == bytes);
  fmt::print("bytes={} seconds={:.4f}\n", ranges.taken, seconds);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string role = argc > 3 ? argv[1] : "";
  const auto port = static_cast<uint16_t>(argc > 3 ? std::atoi(argv[2]) : 0);
  std::signal(SIGPIPE, SIG_IGN);
  io::RealWorld real;
  io::World& world = real.world();
  if (role == "take" && argc == 6) {
    http::Client client(world);
    real.run_until_done(take(world, client, port, argv[3], std::atoi(argv[4]),
                             std::strtoull(argv[5], nullptr, 10)));
    return 0;
  }
  if (role == "serve" || role == "pieces") {
    const std::string path = argv[3];
    http::Server server(
        world, {}, [&world, path, pieces = role == "pieces"](auto& request, auto&, auto& response) {
          return give(world, path, pieces, request, response);
        });
    const auto listening = server.listen(io::Endpoint::tcp("127.0.0.1", port));
    CHECK(listening.has_value(), listening ? "" : listening.error().what);
    real.on_signal({SIGTERM}, [](int) { std::_Exit(0); });
    real.run();
    return 0;
  }
  fmt::print(stderr, "usage: see the head of bench/copy_bench.cpp\n");
  return 2;
}
