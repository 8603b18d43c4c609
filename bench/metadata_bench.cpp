// Writes a second of the metadata engines: SQLite in a fresh folder, and etcd members on loopback
// that this starts itself, asked through our client.
//
//   metadata_bench [seconds] [folder]
//   prints one line a case: engine, writers, writes/s, p50 ms, p99 ms
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "io/real.h"
#include "io/task_group.h"
#include "metadata/etcd/etcd_metadata.h"
#include "metadata/etcd/member.h"
#include "metadata/sqlite/sqlite_metadata.h"

namespace {

using namespace om;
using namespace om::metadata;

constexpr int kWriters[] = {1, 4, 16};
constexpr size_t kValueBytes = 100;

struct Run {
  io::World& world;
  Metadata& metadata;
  io::TimePoint end{};
  std::vector<double> took_ms;
};

io::Task<void> write(Run& run, int writer) {
  for (int i = 0; run.world.clock.now() < run.end; i++) {
    Transaction transaction;
    transaction.operations = {
        Operation::put(fmt::format("bench/{}/{}", writer, i % 100), std::string(kValueBytes, 'v'))};
    const auto begun = run.world.clock.now();
    const auto done = co_await run.metadata.commit(std::move(transaction), {});
    if (!done) {
      fmt::print(stderr, "{}\n", done.error().what);
      std::exit(1);
    }
    const std::chrono::duration<double, std::milli> took = run.world.clock.now() - begun;
    run.took_ms.push_back(took.count());
  }
}

io::Task<void> measure(io::World& world, Metadata& metadata, std::string name, int seconds) {
  for (const int writers : kWriters) {
    Run run{world, metadata, world.clock.now() + std::chrono::seconds(seconds), {}};
    io::TaskGroup group(world.executor, world.clock);
    for (int i = 0; i < writers; i++) group.spawn(write(run, i));
    co_await group.wait();
    std::ranges::sort(run.took_ms);
    fmt::print("{}\t{}\t{:.0f}\t{:.2f}\t{:.2f}\n", name, writers,
               static_cast<double>(run.took_ms.size()) / seconds,
               run.took_ms[run.took_ms.size() / 2], run.took_ms[run.took_ms.size() * 99 / 100]);
  }
}

template <class T>
T must(Result<T> result) {
  if (result) return std::move(*result);
  fmt::print(stderr, "{}\n", result.error().what);
  std::exit(1);
}
void must(Result<void> result) {
  if (result) return;
  fmt::print(stderr, "{}\n", result.error().what);
  std::exit(1);
}

MemberOptions member_options(io::World& world, const std::string& folder, int number) {
  MemberOptions options;
  options.name = fmt::format("m{}", number);
  options.directory = folder + "/" + options.name;
  for (auto* endpoint : {&options.client, &options.peer}) {
    *endpoint = must(world.network.listen(io::Endpoint::tcp("127.0.0.1", 0), nullptr))->local();
  }
  return options;
}

io::Task<void> measure_etcd(io::World& world, std::string folder, int members, int seconds) {
  std::vector<std::unique_ptr<EtcdMember>> all;
  EtcdOptions options;
  const io::Call call = world.clock.call_within(std::chrono::seconds(60));
  for (int i = 0; i < members; i++) {
    all.push_back(std::make_unique<EtcdMember>(
        world, member_options(world, fmt::format("{}/of{}", folder, members), i)));
    if (i == 0) {
      must(co_await all.back()->begin(call));
    } else {
      Membership cluster(world, options);
      must(co_await all.back()->join(cluster, call));
    }
    options.endpoints.push_back(all.back()->options().client);
  }
  EtcdMetadata metadata(world, options);
  co_await measure(world, metadata, fmt::format("etcd, {} members", members), seconds);
  co_await metadata.stop();
  for (const auto& member : all) co_await member->stop();
}

io::Task<void> run_all(io::World& world, std::string folder, int seconds) {
  const auto sqlite = must(co_await open_sqlite(world, folder + "/metadata.db"));
  co_await measure(world, *sqlite, "sqlite", seconds);
  co_await sqlite->stop();
  co_await measure_etcd(world, folder, 1, seconds);
  co_await measure_etcd(world, folder, 3, seconds);
}

}  // namespace

int main(int argc, char** argv) {
  const int seconds = argc > 1 ? std::max(std::atoi(argv[1]), 1) : 5;
  const std::string folder = argc > 2 ? argv[2] : "/tmp";
  io::RealWorld world;
  const std::string own =
      fmt::format("{}/metadata-bench-{}", folder, world.world().random.letters(8));
  must(world.world().files.make_directories(own));
  world.run_until_done(run_all(world.world(), own, seconds));
  must(world.world().files.remove_all(own));
}
