// A cluster of real members under writes: members are killed, paused, and gone.
#include "metadata/testing/etcd_cluster.h"

#include <signal.h>

#include <filesystem>

#include "io/task_group.h"
#include "metadata/etcd/etcd_metadata.h"
#include "metadata/testing/contract.h"

namespace om::metadata::testing {

constexpr const char* kEtcd = "/usr/bin/etcd";

uint16_t free_port(io::World& world) {
  const auto listener = world.network.listen(io::Endpoint::tcp("127.0.0.1", 0), nullptr);
  EXPECT_TRUE(listener.has_value());
  return listener ? (*listener)->local().port : 0;
}

EtcdCluster::EtcdCluster(io::World& world, size_t members)
    : world_(world),
      folder_(std::filesystem::temp_directory_path() /
              fmt::format("etcd-test-{}", world.random.letters(12))) {
  for (size_t i = 0; i < members; i++) {
    members_.push_back({fmt::format("m{}", i), io::Endpoint::tcp("127.0.0.1", free_port(world)),
                        io::Endpoint::tcp("127.0.0.1", free_port(world)), nullptr});
  }
  EXPECT_TRUE(std::filesystem::exists(kEtcd)) << "install etcd-server: ./run test does";
}

EtcdCluster::~EtcdCluster() {
  members_.clear();
  std::filesystem::remove_all(folder_);
}

Result<void> EtcdCluster::restart(size_t member) {
  std::string all;
  for (const auto& one : members_) {
    all += fmt::format("{}{}=http://{}", all.empty() ? "" : ",", one.name, one.peer.str());
  }
  auto& one = members_[member];
  const std::string client = "http://" + one.client.str(), peer = "http://" + one.peer.str();
  io::SpawnOptions options;
  options.argv = {kEtcd,
                  "--name",
                  one.name,
                  "--data-dir",
                  folder_ + "/" + one.name,
                  "--listen-client-urls",
                  client,
                  "--advertise-client-urls",
                  client,
                  "--listen-peer-urls",
                  peer,
                  "--initial-advertise-peer-urls",
                  peer,
                  "--initial-cluster",
                  all,
                  "--logger",
                  "zap",
                  "--log-outputs",
                  "stderr",
                  "--log-level",
                  "error"};
  TRY(one.child, world_.processes.spawn(std::move(options)));
  return {};
}

io::Task<bool> EtcdCluster::start() {
  std::filesystem::create_directories(folder_);
  for (size_t i = 0; i < members_.size(); i++) {
    const auto started = restart(i);
    EXPECT_TRUE(started.has_value()) << started.error().what;
    if (!started) co_return false;
  }
  for (size_t i = 0; i < members_.size(); i++) {
    if (!co_await ready(i)) co_return false;
  }
  co_return true;
}

io::Task<bool> EtcdCluster::ready(size_t member) {
  Gateway gateway(world_, {.endpoints = {endpoint(member)}});
  const io::Call call = world_.clock.call_within(std::chrono::seconds(60));
  while (world_.clock.now() < call.deadline) {
    const auto read =
        co_await gateway.ask(Gateway::Kind::read, "/v3/kv/range", R"({"key":"aw=="})", call);
    if (read) co_return true;
    (void)co_await world_.clock.sleep_for(std::chrono::milliseconds(50));
  }
  ADD_FAILURE() << "etcd member " << member << " does not answer";
  co_return false;
}

void EtcdCluster::kill(size_t member) { members_[member].child.reset(); }
void EtcdCluster::pause(size_t member) { members_[member].child->signal(SIGSTOP); }
void EtcdCluster::resume(size_t member) { members_[member].child->signal(SIGCONT); }

EtcdOptions EtcdCluster::options() const {
  EtcdOptions options;
  for (const auto& one : members_) options.endpoints.push_back(one.client);
  return options;
}

io::Task<std::optional<size_t>> EtcdCluster::leader() {
  Gateway gateway(world_, options());
  for (size_t i = 0; i < members_.size(); i++) {
    const auto body = co_await gateway.ask_one(i, "/v3/maintenance/status", "{}", {});
    if (!body) continue;
    const auto status = parse_status(*body);
    if (status && status->leader != 0 && status->leader == status->header.member) co_return i;
  }
  co_return std::nullopt;
}

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// One member for all tests of the contract; each has a prefix of its own.
class SharedEtcd {
 public:
  SharedEtcd() : cluster_(world_.world(), 1) { world_.run_until_done(start()); }
  io::RealWorld& world() { return world_; }
  EtcdOptions options() {
    auto options = cluster_.options();
    options.prefix = fmt::format("/{}/", world_.world().random.letters(10));
    return options;
  }
  static std::unique_ptr<SharedEtcd>& instance() {
    static std::unique_ptr<SharedEtcd> shared;
    if (!shared) shared = std::make_unique<SharedEtcd>();
    return shared;
  }

 private:
  io::Task<void> start() {
    const bool started = co_await cluster_.start();
    EXPECT_TRUE(started);
  }
  io::RealWorld world_;
  EtcdCluster cluster_;
};

// Ends the shared member with the tests, not with the process.
class EndSharedEtcd final : public Environment {
 public:
  void TearDown() override { SharedEtcd::instance().reset(); }
};
const Environment* const end_shared_etcd = AddGlobalTestEnvironment(new EndSharedEtcd);

class EtcdForTest final : public EngineForTest {
 public:
  EtcdForTest() : options_(SharedEtcd::instance()->options()) {}
  io::World& world() override { return SharedEtcd::instance()->world().world(); }
  void run(io::Task<void> task) override {
    SharedEtcd::instance()->world().run_until_done(std::move(task));
  }
  io::Task<std::unique_ptr<Metadata>> open() override {
    auto metadata = std::make_unique<EtcdMetadata>(world(), options_);
    opened_ = metadata.get();
    co_return metadata;
  }
  io::Task<void> forget_history(Metadata& metadata) override {
    Bench bench{*this, metadata};
    const auto last = co_await put(bench, "history", "v");
    ok(co_await opened_->compact(last.revision, bench.call()));
  }

 private:
  EtcdOptions options_;
  EtcdMetadata* opened_ = nullptr;
};

constexpr int kWritesBetweenKills = 100;

// What writers of a cluster in trouble have seen.
struct Written {
  std::map<std::string, int> acknowledged;  // By key: how often a counter went up.
  int total = 0;
  bool enough = false;
};

// Adds one to a counter again and again, by compare and put: an update that was done twice, or was
// acknowledged and lost, makes it differ from what was acknowledged.
io::Task<void> count_through_trouble(Bench& bench, std::string key, Written& written) {
  while (!written.enough) {
    const auto entry = co_await bench.metadata.get(key, bench.call());
    if (!entry) continue;
    const int count = *entry ? std::stoi((*entry)->value) : 0;
    EXPECT_EQ(count, written.acknowledged[key]) << key;
    Transaction transaction;
    transaction.request_id = bench.world().random.letters(16);
    transaction.compares = {*entry ? Compare::unchanged(**entry) : Compare::absent(key)};
    transaction.operations = {Operation::put(key, std::to_string(count + 1)),
                              Operation::put(fmt::format("{}/log/{:06}", key, count + 1), "")};
    auto done = co_await bench.metadata.commit(transaction, bench.call());
    if (!done && done.error().code == Errc::not_leader) continue;
    // Once an outcome is unknown, only an answer to the same request tells what became of it.
    while (!done) done = co_await bench.metadata.commit(transaction, bench.call());
    EXPECT_TRUE(done->done) << key << ": nobody else writes it";
    if (!done->done) co_return;
    written.acknowledged[key]++;
    written.total++;
  }
}

io::Task<void> check_counters(Bench& bench, const Written& written) {
  for (const auto& [key, count] : written.acknowledged) {
    EXPECT_EQ(co_await value_of(bench, key), std::to_string(count));
    const auto log = ok(co_await bench.metadata.list(key + "/log/", bench.call()));
    EXPECT_EQ(log.entries.size(), static_cast<size_t>(count));
    for (const auto& entry : log.entries) EXPECT_EQ(entry.version, 1) << entry.key;
  }
}

// Every change of the counters comes once and in order, whatever happens to the members. Ends with
// the key "c/end", which is written last.
io::Task<void> follow(Bench& bench, Watch& watch, std::map<std::string, int>& told) {
  while (true) {
    const auto events = co_await watch.next(bench.call());
    EXPECT_TRUE(events.has_value()) << events.error().what;
    if (!events) co_return;
    for (const auto& event : *events) {
      if (event.entry.key == "c/end") co_return;
      if (event.entry.key.contains("/log/")) continue;
      EXPECT_EQ(std::stoi(event.entry.value), ++told[event.entry.key]) << event.entry.key;
    }
  }
}

// Kills each leader in the midst of writes that go well.
io::Task<void> kill_leaders(io::World& world, EtcdCluster& cluster, int kills,
                            const Written& written) {
  for (int i = 1; i <= kills; i++) {
    while (written.total < i * kWritesBetweenKills) {
      (void)co_await world.clock.sleep_for(milliseconds(10));
    }
    std::optional<size_t> leader;
    while (!leader) {
      leader = co_await cluster.leader();
      if (!leader) (void)co_await world.clock.sleep_for(milliseconds(50));
    }
    cluster.kill(*leader);
    (void)co_await world.clock.sleep_for(milliseconds(300));
    const auto restarted = cluster.restart(*leader);
    EXPECT_TRUE(restarted.has_value());
    EXPECT_TRUE(co_await cluster.ready(*leader));
  }
}

// The cluster tests stand on a bench without an engine to reopen.
class ClusterForTest final : public EngineForTest {
 public:
  explicit ClusterForTest(size_t members) : cluster(world_.world(), members) {}
  io::World& world() override { return world_.world(); }
  void run(io::Task<void> task) override { world_.run_until_done(std::move(task)); }
  io::Task<std::unique_ptr<Metadata>> open() override {
    EXPECT_TRUE(co_await cluster.start());
    co_return std::make_unique<EtcdMetadata>(world(), cluster.options());
  }
  io::Task<void> forget_history(Metadata&) override { co_return; }

 private:
  io::RealWorld world_;

 public:
  EtcdCluster cluster;
};

io::Task<void> under_kills(ClusterForTest& engine) {
  const auto metadata = co_await engine.open();
  Bench bench{engine, *metadata};
  Written written;
  std::map<std::string, int> told;
  const auto watch = metadata->watch("c", 1);
  io::TaskGroup writers(engine.world().executor, engine.world().clock);
  io::TaskGroup follower(engine.world().executor, engine.world().clock);
  for (int i = 0; i < 4; i++) {
    writers.spawn(count_through_trouble(bench, fmt::format("c{}", i), written));
  }
  follower.spawn(follow(bench, *watch, told));
  co_await kill_leaders(engine.world(), engine.cluster, 3, written);
  written.enough = true;
  co_await writers.wait();
  co_await put(bench, "c/end", "");
  co_await follower.wait();
  co_await check_counters(bench, written);
  EXPECT_EQ(told, written.acknowledged);
  for (const auto& [key, count] : written.acknowledged) EXPECT_GT(count, 0) << key;
  co_await metadata->stop();
}

TEST(EtcdCluster, LosesNoAcknowledgedWriteAndDoesNoneTwiceWhenLeadersAreKilled) {
  ClusterForTest engine(3);
  engine.run(under_kills(engine));
}

io::Task<void> in_a_minority(ClusterForTest& engine) {
  const auto metadata = co_await engine.open();
  Bench bench{engine, *metadata};
  co_await put(bench, "k", "v");
  engine.cluster.pause(1);
  engine.cluster.pause(2);
  // Until the last member has noticed, a change may end as unknown; it takes it two seconds.
  while (true) {
    const auto refused = co_await metadata->get("k", bench.call());
    if (refused) continue;
    EXPECT_EQ(refused.error().code, Errc::not_leader) << refused.error().what;
    break;
  }
  (void)co_await bench.clock().sleep_for(seconds(2));
  const auto begun = bench.clock().now();
  Transaction transaction;
  transaction.operations = {Operation::put("k", "never")};
  const auto refused = co_await metadata->commit(transaction, bench.call());
  EXPECT_EQ(code_of(refused), Errc::not_leader);
  EXPECT_EQ(code_of(co_await metadata->grant(seconds(5), bench.call())), Errc::not_leader);
  EXPECT_LT(bench.clock().now() - begun, seconds(16)) << "each is told within four seconds";
  EXPECT_FALSE(metadata->healthy());
  engine.cluster.resume(1);
  engine.cluster.resume(2);
  EXPECT_TRUE(co_await engine.cluster.ready(0));
  EXPECT_EQ(co_await value_of(bench, "k"), "v");
  EXPECT_TRUE(metadata->healthy());
  co_await metadata->stop();
}

TEST(EtcdCluster, RefusesWithinSecondsWhatAMinorityCanNotDo) {
  ClusterForTest engine(3);
  engine.run(in_a_minority(engine));
}

io::Task<void> without_anybody(io::World& world) {
  EtcdOptions options;
  options.endpoints = {io::Endpoint::tcp("127.0.0.1", free_port(world))};
  EtcdMetadata metadata(world, options);
  EXPECT_EQ(code_of(co_await metadata.get("k", {})), Errc::not_leader);
  Transaction transaction;
  transaction.operations = {Operation::put("k", "v")};
  EXPECT_EQ(code_of(co_await metadata.commit(transaction, {})), Errc::not_leader);
  EXPECT_FALSE(metadata.healthy());
  co_await metadata.stop();
}

TEST(EtcdMetadata, SaysNotLeaderWhenNobodyAnswers) {
  io::RealWorld world;
  world.run_until_done(without_anybody(world.world()));
}

}  // namespace

std::unique_ptr<EngineForTest> etcd_for_test() { return std::make_unique<EtcdForTest>(); }

}  // namespace om::metadata::testing
