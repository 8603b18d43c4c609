// The simulated engine: the contract without faults, and what it may do with them.
#include "io/task_group.h"
#include "metadata/testing/contract.h"
#include "sim/metadata.h"

namespace om::metadata::testing {
namespace {

class SimulatedForTest final : public EngineForTest {
 public:
  explicit SimulatedForTest(uint64_t seed) : world_(seed), shared(world_) {}
  io::World& world() override { return world_.world(); }
  void run(io::Task<void> task) override { world_.run(std::move(task)); }
  io::Task<std::unique_ptr<Metadata>> open() override { co_return shared.node("a"); }
  io::Task<void> forget_history(Metadata&) override {
    shared.forget_history();
    co_return;
  }

 private:
  sim::World world_;

 public:
  sim::SharedMetadata shared;
};

// Adds one `times` times to a counter that others count up too, whatever happens.
io::Task<void> count_up(EngineForTest& engine, Metadata& metadata, int times) {
  for (int done = 0; done < times;) {
    const auto entry = co_await metadata.get("count", {});
    if (!entry) continue;
    Transaction transaction;
    transaction.request_id = engine.world().random.letters(16);
    transaction.compares = {*entry ? Compare::unchanged(**entry) : Compare::absent("count")};
    const int count = *entry ? std::stoi((*entry)->value) : 0;
    transaction.operations = {Operation::put("count", std::to_string(count + 1))};
    auto committed = co_await metadata.commit(transaction, {});
    if (!committed && committed.error().code == Errc::not_leader) continue;
    // Once an outcome is unknown, only an answer to the same request tells what became of it.
    while (!committed) committed = co_await metadata.commit(transaction, {});
    if (committed->done) done++;
  }
}

io::Task<void> cut_and_heal(SimulatedForTest& engine, io::CancelToken token) {
  while (!token.cancelled()) {
    engine.shared.cut("b");
    (void)co_await engine.world().clock.sleep_for(std::chrono::seconds(2), {io::kNever, token});
    engine.shared.heal("b");
    (void)co_await engine.world().clock.sleep_for(std::chrono::seconds(3), {io::kNever, token});
  }
}

io::Task<void> count_under_faults(SimulatedForTest& engine) {
  auto& faults = engine.shared.faults;
  faults.slow_chance = 0.05;
  faults.refused_chance = 0.05;
  faults.unknown_chance = 0.2;
  faults.forget_chance = 0.05;
  io::TaskGroup trouble(engine.world().executor, engine.world().clock);
  trouble.spawn(cut_and_heal(engine, trouble.token()));
  io::TaskGroup writers(engine.world().executor, engine.world().clock);
  std::vector<std::unique_ptr<Metadata>> nodes;
  for (const char* name : {"a", "b", "c"}) {
    nodes.push_back(engine.shared.node(name));
    writers.spawn(count_up(engine, *nodes.back(), 10));
  }
  co_await writers.wait();
  co_await trouble.stop();
  const auto snapshot = engine.shared.all();
  EXPECT_EQ(snapshot.entries.at(0).value, "30");
  EXPECT_EQ(snapshot.entries.at(0).version, 30);
  for (const auto& node : nodes) co_await node->stop();
}

TEST(SimulatedMetadata, CountsEachUpdateOnceUnderEveryFaultAndRepeatsARun) {
  for (uint64_t seed = 1; seed <= 40; seed++) {
    std::set<io::TimePoint> ends;
    for (int i = 0; i < 2; i++) {
      SimulatedForTest engine(seed);
      engine.run(count_under_faults(engine));
      ends.insert(engine.world().clock.now());
    }
    EXPECT_EQ(ends.size(), 1u) << "seed " << seed;
  }
}

io::Task<void> cut_off(SimulatedForTest& engine) {
  const auto here = engine.shared.node("a"), there = engine.shared.node("b");
  Bench bench{engine, *here}, cut{engine, *there};
  const auto watch = there->watch("k", 0);
  engine.shared.cut("b");
  EXPECT_FALSE(there->healthy());
  co_await put(bench, "k", "1");
  co_await put(bench, "k", "2");
  EXPECT_EQ(code_of(co_await there->get("k", cut.call())), Errc::not_leader);
  const auto silent = co_await watch->next(bench.clock().call_within(std::chrono::seconds(9)));
  EXPECT_EQ(code_of(silent), Errc::deadline_exceeded);
  engine.shared.heal("b");
  EXPECT_THAT(co_await changes_of(cut, *watch, 2), ElementsAre("k=1", "k=2"));
  EXPECT_EQ(co_await value_of(cut, "k"), "2");
  EXPECT_TRUE(there->healthy());
}

TEST(SimulatedMetadata, RefusesACutOffNodeAndTellsItAllWhenItIsHealed) {
  SimulatedForTest engine(1);
  engine.run(cut_off(engine));
}

io::Task<void> lost_lease(SimulatedForTest& engine) {
  const auto node = engine.shared.node("a");
  Bench bench{engine, *node};
  const LeaseId lease = ok(co_await node->grant(std::chrono::seconds(60), bench.call()));
  co_await put(bench, "k", "v", lease);
  engine.shared.faults.lost_lease_chance = 1;
  EXPECT_EQ(code_of(co_await node->keep_alive(lease, bench.call())), Errc::not_found);
  EXPECT_EQ(co_await value_of(bench, "k"), "-");
}

TEST(SimulatedMetadata, LosesALeaseAndItsKeys) {
  SimulatedForTest engine(1);
  engine.run(lost_lease(engine));
}

io::Task<void> unknown_outcomes(SimulatedForTest& engine, int& done, int& lost) {
  const auto node = engine.shared.node("a");
  engine.shared.faults.unknown_chance = 1;
  for (int i = 0; i < 100; i++) {
    Transaction transaction;
    transaction.operations = {Operation::put(std::to_string(i), "v")};
    const auto before = engine.shared.revision();
    const auto answer = co_await node->commit(transaction, {});
    if (answer) continue;
    EXPECT_EQ(answer.error().code, Errc::unavailable);
    (engine.shared.revision() > before ? done : lost)++;
  }
}

TEST(SimulatedMetadata, LeavesItOpenWhetherAnUnansweredChangeWasDone) {
  SimulatedForTest engine(1);
  int done = 0, lost = 0;
  engine.run(unknown_outcomes(engine, done, lost));
  EXPECT_GT(done, 10);
  EXPECT_GT(lost, 10);
}

}  // namespace

std::unique_ptr<EngineForTest> simulated_for_test() {
  return std::make_unique<SimulatedForTest>(1);
}

}  // namespace om::metadata::testing
