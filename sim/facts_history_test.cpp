// Nodes that ask a simulated metadata engine for all it can do, under every fault: their history is
// linearizable, and with any bug planted it is soon seen not to be.
#include "sim/facts_history.h"

#include <gmock/gmock.h>

#include "sim/facts_load.h"
#include "sim/planted_bug.h"

namespace om::sim {
namespace {

using metadata::Operation;
using metadata::Transaction;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int kNodes = 3;
constexpr auto kLasts = seconds(30), kSettles = seconds(20);
constexpr uint64_t kSeedsMax = 20;  // Within which a bug is found.

class FactsRun {
 public:
  FactsRun(uint64_t seed, PlantedBug bug) : world_(seed), facts_(world_), history_(facts_) {
    facts_.faults.slow_chance = facts_.faults.refused_chance = 0.05;
    facts_.faults.unknown_chance = facts_.faults.lost_lease_chance = 0.1;
    facts_.faults.forget_chance = 0.02;
    const FactsLoadOptions load{&wanted_, milliseconds(200)};
    for (int i = 0; i < kNodes; i++) {
      std::string name = fmt::format("n{}", i);
      auto engine = with_bug(facts_.node(name), bug, world_, facts_);
      auto node = history_.record(std::move(engine), std::move(name), false);
      nodes_.push_back(with_load(std::move(node), world_.world(), load));
    }
  }

  FactsVerdict run() {
    world_.run(drive());
    nodes_.clear();
    history_.read_all();
    auto verdict = judge_facts(history_);
    for (const auto& text : history_.complaints()) verdict.complaints.push_back(text);
    return verdict;
  }

  size_t events_told() const { return history_.events_told(); }

 private:
  io::Task<void> drive() {
    (void)co_await world_.clock().sleep_for(kLasts);
    wanted_ = false;
    facts_.faults = {};
    (void)co_await world_.clock().sleep_for(kSettles);
    history_.expect_told(world_.clock().now() - kSettles / 2);
    for (const auto& node : nodes_) co_await node->stop();
    facts_.end_all_leases();
  }

  World world_;
  SharedMetadata facts_;
  FactsHistory history_;
  bool wanted_ = true;
  std::vector<std::unique_ptr<metadata::Metadata>> nodes_;
};

TEST(FactsHistory, IsLinearizableUnderEveryFault) {
  size_t operations = 0, open = 0, told = 0;
  for (uint64_t seed = 1; seed <= 60; seed++) {
    FactsRun run(seed, PlantedBug::none);
    const FactsVerdict verdict = run.run();
    EXPECT_THAT(verdict.complaints, IsEmpty()) << "seed " << seed;
    EXPECT_EQ(verdict.void_, 0U);
    operations += verdict.operations;
    open += verdict.open;
    told += run.events_told();
  }
  // Else it proved nothing.
  EXPECT_GT(operations, 60U * 100);
  EXPECT_GT(open, 60U * 2);
  EXPECT_GT(told, 60U * 100);
}

TEST(FactsHistory, ShowsEveryPlantedBug) {
  EXPECT_THAT(planted_bugs(), SizeIs(16));
  for (const PlantedBug bug : planted_bugs()) {
    uint64_t seed = 1;
    while (seed <= kSeedsMax && FactsRun(seed, bug).run().complaints.empty()) seed++;
    EXPECT_LE(seed, kSeedsMax) << to_string(bug);
    RecordProperty(std::string(to_string(bug)), static_cast<int>(seed));
  }
}

io::Task<void> put_and_list(metadata::Metadata& node) {
  Transaction two, one;
  two.operations = {Operation::put("/a", "1"), Operation::put("/b", "2")};
  one.operations = {Operation::put("/c", "3")};
  EXPECT_TRUE(co_await node.commit(std::move(two), {}));
  EXPECT_TRUE(co_await node.commit(std::move(one), {}));
  EXPECT_TRUE(co_await node.list("/", {}));
  co_await node.stop();
}

TEST(FactsHistory, IsJudgedByWhatTransactionsJoin) {
  World world(1);
  SharedMetadata facts(world);
  FactsHistory history(facts);
  const auto node = history.record(facts.node("a"), "a", false);
  world.run(put_and_list(*node));
  const FactsVerdict verdict = judge_facts(history);
  EXPECT_THAT(verdict.complaints, IsEmpty());
  EXPECT_EQ(verdict.operations, 3U);
  EXPECT_EQ(verdict.parts, 2U);
  EXPECT_EQ(verdict.open, 0U);
}

}  // namespace
}  // namespace om::sim
