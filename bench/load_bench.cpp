// Asks a server for many streamed answers at once and tells how they came.
//
//   load_bench KEY=VALUE...
//     at=127.0.0.1:PORT | at=PATH.sock   where
//     target=/api/generate               what, by POST
//     body={"prompt":"{n} ..."}          {n}: another number for every request
//     key=SECRET                         sent as bearer token
//     streams=8 rounds=1                 so many at once, each so often
//     pid=N                              a process whose CPU time is accounted
//     hold=SECONDS                       print "open" when all have begun; end after this time
//
// Prints one line of figures. An answer's pieces are the lines that hold "content":" or
// "response":" with text in it. Latencies: `token` from the stamp that fake_llama_server puts into
// each piece, `gap` between two reads of a stream, `first` from sending the request to the first
// piece. CPU: `cpu_us_token` over the time in which all streams run; `cpu_us_all` all of it.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <map>

#include "base/check.h"
#include "base/strings.h"
#include "http/client.h"
#include "http/event_stream.h"
#include "io/real.h"
#include "io/task_group.h"

namespace {

using namespace om;

int64_t monotonic_ns() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

constexpr size_t kStampDigits = 15;  // As fake_llama_server writes them.

struct Arguments {
  io::Endpoint at;
  std::string target, body, key;
  int64_t streams = 1, rounds = 1, pid = 0, hold = 0;
};

// CPU time of all threads, ended ones not counted.
int64_t cpu_ns(io::Filesystem& files, int64_t pid) {
  if (pid == 0) return 0;
  const std::string tasks = fmt::format("/proc/{}/task", pid);
  const auto names = files.list(tasks);
  CHECK(names.has_value(), "the process that is accounted has ended");
  int64_t total = 0;
  for (const std::string& name : *names) {
    auto file = files.open(tasks + "/" + name + "/schedstat", io::Filesystem::Open::read);
    if (!file) continue;  // The thread has ended.
    std::array<char, 128> text{};
    const auto count = (*file)->read_at(0, std::span(text).first(text.size() - 1));
    if (count) total += std::atoll(text.data());
  }
  return total;
}

class Load {
 public:
  Load(io::World& world, Arguments arguments)
      : world_(world),
        arguments_(std::move(arguments)),
        client_(world, {.idle_per_endpoint_max = 4096}) {}

  io::Task<void> run();

 private:
  io::Task<void> one_client();
  io::Task<Result<void>> one_answer();
  http::ClientRequest request();
  // One line of an answer.
  void take(std::string_view line, int64_t now);
  void note_first(int64_t asked, int64_t now);
  void print(double seconds);

  io::World& world_;
  Arguments arguments_;
  http::Client client_;
  io::CancelSource stop_;

  int64_t asked_ = 0, begun_ = 0, pieces_ = 0, told_tokens_ = 0, answers_ = 0, errors_ = 0;
  std::vector<int64_t> token_ns_, gap_ns_, first_ns_;
  int64_t cpu_begin_ = 0, cpu_open_ = 0, cpu_close_ = 0;
  int64_t open_ns_ = 0, close_ns_ = 0, pieces_open_ = 0, pieces_close_ = 0;
  std::string first_error_;
};

http::ClientRequest Load::request() {
  http::ClientRequest request;
  request.method = "POST";
  request.endpoint = arguments_.at;
  request.host = "localhost";
  request.target = arguments_.target;
  request.headers.add("Content-Type", "application/json");
  if (!arguments_.key.empty()) request.headers.add("Authorization", "Bearer " + arguments_.key);
  request.body = arguments_.body;
  const size_t place = request.body.find("{n}");
  if (place != std::string::npos) request.body.replace(place, 3, fmt::to_string(asked_));
  asked_++;
  return request;
}

// The number behind the last `name` in the line, 0 if there is none.
int64_t number_behind(std::string_view line, std::string_view name) {
  const size_t at = line.rfind(name);
  return at == line.npos ? 0 : std::atoll(std::string(line.substr(at + name.size(), 20)).c_str());
}

void Load::take(std::string_view line, int64_t now) {
  told_tokens_ += number_behind(line, "\"eval_count\":");
  if (line.find("\"stop\":true") != line.npos) {
    told_tokens_ += number_behind(line, "\"tokens_predicted\":");
  }
  size_t at = line.find("\"content\":\"");
  if (at == line.npos) at = line.find("\"response\":\"");
  if (at == line.npos) return;
  const std::string_view text = line.substr(line.find(":\"", at) + 2);
  if (text.empty() || text.front() == '"') return;
  pieces_++;
  const auto made = parse_number<int64_t>(text.substr(0, kStampDigits));
  if (made && *made > 1'000'000'000) token_ns_.push_back(now - *made);
}

void Load::note_first(int64_t asked, int64_t now) {
  first_ns_.push_back(now - asked);
  if (++begun_ != arguments_.streams) return;
  open_ns_ = now;
  pieces_open_ = pieces_;
  cpu_open_ = cpu_ns(world_.files, arguments_.pid);
  if (arguments_.hold == 0) return;
  fmt::print("open\n");
  std::fflush(stdout);
  world_.clock.start_timer(world_.clock.now() + std::chrono::seconds(arguments_.hold),
                           [this] { stop_.cancel(); });
}

io::Task<Result<void>> Load::one_answer() {
  const int64_t asked = monotonic_ns();
  auto wanted = request();
  const io::Call call{io::kNever, stop_.token()};
  CO_TRY(auto answer, co_await client_.send(std::move(wanted), call));
  std::string bytes;
  if (answer->status() != 200) {
    CO_TRY(bytes, co_await answer->read_all(65536));
    co_return fail(Errc::internal, "{}: {}", answer->status(), bytes);
  }
  http::NdjsonReader lines(1 << 20);
  int64_t last = 0;
  while (true) {
    bytes.clear();
    CO_TRY(const bool more, co_await answer->read_some(bytes));
    if (!more) break;
    const int64_t now = monotonic_ns();
    const int64_t before = pieces_;
    std::string_view input = bytes, line;
    while (true) {
      CO_TRY(const bool whole, lines.next(input, line));
      if (!whole) break;
      take(line, now);
    }
    if (pieces_ == before) continue;
    if (last == 0) {
      note_first(asked, now);
    } else {
      gap_ns_.push_back(now - last);
    }
    last = now;
  }
  if (last == 0) co_return fail(Errc::internal, "an answer without text");
  co_return Result<void>{};
}

io::Task<void> Load::one_client() {
  for (int64_t i = 0; i < arguments_.rounds && !stop_.cancelled(); i++) {
    auto result = co_await one_answer();
    if (close_ns_ == 0 && open_ns_ != 0 &&
        begun_ + arguments_.streams > arguments_.streams * arguments_.rounds) {
      close_ns_ = monotonic_ns();
      pieces_close_ = pieces_;
      cpu_close_ = cpu_ns(world_.files, arguments_.pid);
    }
    if (result || stop_.cancelled()) {
      answers_++;
      continue;
    }
    errors_++;
    if (first_error_.empty()) first_error_ = result.error().what;
  }
}

io::Task<void> Load::run() {
  io::TaskGroup group(world_.executor, world_.clock);
  cpu_begin_ = cpu_ns(world_.files, arguments_.pid);
  const int64_t begin = monotonic_ns();
  for (int64_t i = 0; i < arguments_.streams; i++) group.spawn(one_client());
  co_await group.wait();
  print(static_cast<double>(monotonic_ns() - begin) / 1e9);
}

double percentile_us(std::vector<int64_t>& values, double part) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const auto index = static_cast<size_t>(part * static_cast<double>(values.size() - 1));
  return static_cast<double>(values[index]) / 1000;
}

void Load::print(double seconds) {
  const auto tokens = static_cast<double>(told_tokens_ > 0 ? told_tokens_ : pieces_);
  const int64_t cpu_end = cpu_ns(world_.files, arguments_.pid);
  const auto share = [](int64_t ns, int64_t count) {
    return count > 0 ? static_cast<double>(ns) / 1000 / static_cast<double>(count) : 0.0;
  };
  fmt::print("answers={} errors={} tokens={} seconds={:.4f} tokens_s={:.2f} ", answers_, errors_,
             tokens, seconds, tokens / seconds);
  for (auto& [name, values] : std::map<std::string, std::vector<int64_t>*>{
           {"token", &token_ns_}, {"gap", &gap_ns_}, {"first", &first_ns_}}) {
    fmt::print("{}_p50_us={:.1f} {}_p99_us={:.1f} ", name, percentile_us(*values, 0.5), name,
               percentile_us(*values, 0.99));
  }
  fmt::print("window_tokens={} window_s={:.4f} cpu_us_token={:.3f} cpu_us_all={:.3f}\n",
             pieces_close_ - pieces_open_, static_cast<double>(close_ns_ - open_ns_) / 1e9,
             share(cpu_close_ - cpu_open_, pieces_close_ - pieces_open_),
             share(cpu_end - cpu_begin_, pieces_));
  if (!first_error_.empty()) fmt::print(stderr, "first error: {}\n", first_error_);
}

Arguments read_arguments(int argc, char** argv) {
  std::map<std::string, std::string, std::less<>> given;
  for (int i = 1; i < argc; i++) {
    const std::string_view word = argv[i];
    const size_t equals = word.find('=');
    if (equals != word.npos) given[std::string(word.substr(0, equals))] = word.substr(equals + 1);
  }
  const auto number = [&given](const char* name, int64_t otherwise) {
    return given.contains(name) ? std::atoll(given[name].c_str()) : otherwise;
  };
  Arguments arguments{.target = given["target"], .body = given["body"], .key = given["key"]};
  const std::string at = given["at"];
  const size_t colon = at.rfind(':');
  arguments.at =
      at.ends_with(".sock") || colon == at.npos
          ? io::Endpoint::unix_socket(at)
          : io::Endpoint::tcp(at.substr(0, colon),
                              static_cast<uint16_t>(std::atoi(at.substr(colon + 1).c_str())));
  arguments.streams = number("streams", 1);
  arguments.rounds = number("rounds", 1);
  arguments.pid = number("pid", 0);
  arguments.hold = number("hold", 0);
  return arguments;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    fmt::print(stderr, "usage: see the head of bench/load_bench.cpp\n");
    return 2;
  }
  io::RealWorld real;
  Load load(real.world(), read_arguments(argc, argv));
  real.run_until_done(load.run());
  return 0;
}
