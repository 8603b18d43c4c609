// Whatever the metadata and the other nodes do, a table ends up with what is agreed.
#include <gtest/gtest.h>

#include "base/log.h"
#include "cluster/fact_table.h"
#include "sim/metadata.h"

namespace om::cluster {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Two nodes that follow and change one prefix, while calls fail in every way they may.
class TwoNodes {
 public:
  explicit TwoNodes(uint64_t seed) : sim_(seed), facts_(sim_) {
    for (const char* name : {"one", "two"}) metadata_.push_back(facts_.node(name));
  }

  void run() { sim_.run(drive()); }

 private:
  static constexpr int kChanges = 60;

  io::Task<void> drive() {
    draw_faults();
    for (size_t i = 0; i < 2; i++) {
      tables_.push_back(std::make_unique<FactTable>(sim_.world(), *metadata_[i], "/a/",
                                                    fmt::format("/tmp/facts{}.json", i)));
      tables_.back()->start();
    }
    for (int i = 0; i < kChanges; i++) co_await change();
    facts_.faults = {};
    for (const char* name : {"one", "two"}) facts_.heal(name);
    const auto slept = co_await sim_.clock().sleep_for(seconds(20));
    EXPECT_TRUE(slept.has_value());
    for (size_t i = 0; i < 2; i++) expect_agreed(*tables_[i]);
    for (size_t i = 0; i < 2; i++) {
      co_await tables_[i]->stop();
      co_await metadata_[i]->stop();
    }
    // A restart without a majority shows the same.
    FactTable again(sim_.world(), *metadata_[0], "/a/", "/tmp/facts0.json");
    again.start();
    expect_agreed(again);
    co_await again.stop();
  }

  void draw_faults() {
    SimRandom& random = sim_.random();
    const auto sometimes = [&random](double most) {
      return random.chance(0.5) ? random.unit() * most : 0;
    };
    facts_.faults.slow_chance = sometimes(0.2);
    facts_.faults.refused_chance = sometimes(0.3);
    facts_.faults.unknown_chance = sometimes(0.3);
    facts_.faults.forget_chance = sometimes(0.3);
  }

  // As the classes above the table do it: commit, then apply what was committed.
  io::Task<void> change() {
    SimRandom& random = sim_.random();
    const size_t node = random.below(2);
    const auto slept = co_await sim_.clock().sleep_for(milliseconds(random.between(0, 400)));
    EXPECT_TRUE(slept.has_value());
    if (random.chance(0.1)) facts_.cut(random.chance(0.5) ? "one" : "two");
    if (random.chance(0.1)) facts_.heal(random.chance(0.5) ? "one" : "two");
    const std::string key(1, static_cast<char>('a' + random.below(4)));
    const std::string value = random.letters(3);
    const bool removes = random.chance(0.3);
    metadata::Transaction transaction;
    transaction.operations.push_back(removes ? metadata::Operation::remove("/a/" + key)
                                             : metadata::Operation::put("/a/" + key, value));
    const io::Call call = sim_.clock().call_within(seconds(2));
    const auto commit = co_await metadata_[node]->commit(std::move(transaction), call);
    if (commit) tables_[node]->apply(key, removes ? nullptr : &value, commit->revision);
  }

  void expect_agreed(const FactTable& table) {
    std::map<std::string, std::string> agreed, seen;
    for (const auto& entry : facts_.all().entries) agreed[entry.key.substr(3)] = entry.value;
    for (const auto& [key, fact] : table.facts()) seen[key] = fact.value;
    EXPECT_EQ(seen, agreed);
  }

  using SimRandom = sim::SimRandom;
  sim::World sim_;
  sim::SharedMetadata facts_;
  std::vector<std::unique_ptr<metadata::Metadata>> metadata_;
  std::vector<std::unique_ptr<FactTable>> tables_;
};

TEST(FactTable, AgreesInTheEndWhateverHappened) {
  const LogLevel level = log_level();
  set_log_level(LogLevel::off);
  for (uint64_t seed = 1; seed <= 100; seed++) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    TwoNodes nodes(seed);
    nodes.run();
    if (::testing::Test::HasFailure()) break;
  }
  set_log_level(level);
}

}  // namespace
}  // namespace om::cluster
