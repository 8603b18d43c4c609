#include "peer/lease_table.h"

#include <gtest/gtest.h>

#include "generation/scripted_for_test.h"

namespace om::peer {
namespace {

using generation::testing::Script;
using generation::testing::ScriptedLease;
using std::chrono::seconds;

struct Bench {
  sim::World sim{1};
  Script script;
  LeaseTable table{sim.world()};

  std::string add(std::string holder) {
    auto id =
        table.add(std::make_unique<ScriptedLease>(script, std::nullopt, false), std::move(holder));
    EXPECT_TRUE(id.has_value());
    return id ? *id : std::string();
  }
  io::Task<void> sleep(io::Duration duration) {
    const auto slept = co_await sim.clock().sleep_for(duration);
    EXPECT_TRUE(slept.has_value());
  }
  using Body = io::Task<void> (*)(Bench&);
  void run(Body body) { sim.run(run_and_stop(body)); }
  io::Task<void> run_and_stop(Body body) {
    table.start();
    co_await body(*this);
    co_await table.stop();
    EXPECT_EQ(script.leases, 0);
  }
};

TEST(LeaseTable, FindsALeaseForItsHolderOnly) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    const std::string id = bench.add("blue");
    EXPECT_GE(id.size(), 20u);
    EXPECT_TRUE(bench.table.find(id, "blue").has_value());
    for (const auto& [other, holder] :
         {std::pair<std::string, std::string>{id, "red"}, {id, ""}, {id + "x", "blue"}}) {
      const auto found = bench.table.find(other, holder);
      EXPECT_FALSE(found.has_value());
      if (!found) EXPECT_EQ(found.error().code, Errc::not_found);
    }
    co_return;
  });
}

TEST(LeaseTable, GivesBackWhatItsHolderGivesBackAndNobodyElse) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    const std::string id = bench.add("blue");
    bench.table.remove(id, "red", true);
    EXPECT_EQ(bench.script.leases, 1);
    EXPECT_EQ(bench.script.failures, 0);
    bench.table.remove(id, "blue", true);
    EXPECT_EQ(bench.script.leases, 0);
    EXPECT_EQ(bench.script.failures, 1);
    bench.table.remove(id, "blue", true);
    EXPECT_EQ(bench.script.failures, 1);
    co_return;
  });
}

TEST(LeaseTable, GivesBackALeaseThatNobodyUses) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    const std::string id = bench.add("blue");
    co_await bench.sleep(kLeaseIdleMax - seconds(1));
    EXPECT_EQ(bench.table.size(), 1u);
    co_await bench.sleep(seconds(3));
    EXPECT_EQ(bench.table.size(), 0u);
    EXPECT_EQ(bench.script.leases, 0);
    EXPECT_FALSE(bench.table.find(id, "blue").has_value());
  });
}

TEST(LeaseTable, KeepsALeaseAsLongAsSomebodyWorksWithIt) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    const std::string id = bench.add("blue");
    {
      auto held = bench.table.find(id, "blue");
      const LeaseUse use(bench.sim.clock(), std::move(*held));
      co_await bench.sleep(10 * kLeaseIdleMax);
      EXPECT_EQ(bench.table.size(), 1u);
    }
    co_await bench.sleep(kLeaseIdleMax - seconds(1));
    EXPECT_EQ(bench.table.size(), 1u);  // The time begins anew with the end of the work.
    co_await bench.sleep(seconds(3));
    EXPECT_EQ(bench.table.size(), 0u);
  });
}

TEST(LeaseTable, GivesBackAllLeasesOfALostNode) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    for (const char* holder : {"blue", "red", "blue"}) bench.add(holder);
    bench.table.remove_all_of("blue");
    EXPECT_EQ(bench.table.size(), 1u);
    EXPECT_EQ(bench.script.leases, 1);
    co_return;
  });
}

TEST(LeaseTable, AnOperationUnderWayOutlivesItsLease) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    const std::string id = bench.add("blue");
    auto held = bench.table.find(id, "blue");
    LeaseUse use(bench.sim.clock(), std::move(*held));
    bench.table.remove_all_of("blue");
    EXPECT_EQ(bench.script.leases, 1);
    const auto tokens = co_await use.lease().engine().tokenize("ab", false, {});
    EXPECT_TRUE(tokens.has_value());
  });
}

TEST(LeaseTable, RefusesMoreThanItsBound) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    for (size_t i = 0; i < kLeasesMax; i++) bench.add("blue");
    const auto one_more =
        bench.table.add(std::make_unique<ScriptedLease>(bench.script, std::nullopt, false), "blue");
    EXPECT_FALSE(one_more.has_value());
    if (!one_more) EXPECT_EQ(one_more.error().code, Errc::overloaded);
    EXPECT_EQ(static_cast<size_t>(bench.script.leases), kLeasesMax);
    co_return;
  });
}

}  // namespace
}  // namespace om::peer
