// Where a node of a cluster sends its requests, as its peers' reports tell: the reports of real
// PeerServers, cut and coming back.
#include "peer/nodes_for_test.h"

namespace om::peer {
namespace {

using cluster::NodeState;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using testing::Nodes;
using testing::Script;

TEST(Reports, ASilentNodeIsUnreachableWithinThreeSeconds) {
  Script script;
  Nodes nodes;
  nodes.add(script);
  nodes.add(script);
  std::vector<std::string> lost;
  nodes.reports().on_lost([&lost](const std::string& node) { lost.push_back(node); });
  nodes.run([](Nodes& nodes) -> io::Task<void> {
    co_await nodes.sleep(seconds(60));
    EXPECT_EQ(nodes.state_of("n0"), NodeState::ready);
    // From now on nothing arrives any more, and no connection breaks either.
    nodes.simulated().network().faults.delay_min = std::chrono::minutes(10);
    nodes.simulated().network().faults.delay_max = std::chrono::minutes(10);
    const io::Duration taken = co_await nodes.wait_for("n0", NodeState::unreachable);
    EXPECT_LE(taken, seconds(3));
    EXPECT_GE(taken, milliseconds(1000));
    nodes.simulated().network().faults = {};
    co_await nodes.sleep(seconds(1));
  }(nodes));
  EXPECT_THAT(lost, ::testing::UnorderedElementsAre("n0", "n1"));
}

TEST(Reports, ANodeThatDiesIsUnreachableAtOnce) {
  Script script;
  Nodes nodes;
  nodes.add(script);
  nodes.add(script);
  nodes.run([](Nodes& nodes) -> io::Task<void> {
    co_await nodes.nodes[0]->kill();
    const io::Duration taken = co_await nodes.wait_for("n0", NodeState::unreachable);
    EXPECT_LE(taken, milliseconds(100));
    EXPECT_EQ(nodes.state_of("n1"), NodeState::ready);
  }(nodes));
}

TEST(Reports, ANodeThatComesBackShowsThreeSignsOfLifeAndGetsAGrowingShare) {
  Script script;
  Nodes nodes;
  nodes.add(script);
  nodes.run([](Nodes& nodes) -> io::Task<void> {
    EXPECT_EQ(nodes.reports().view().find("n0")->ramp, 1.0);
    co_await nodes.nodes[0]->kill();
    (void)co_await nodes.wait_for("n0", NodeState::unreachable);
    co_await nodes.sleep(seconds(30));
    nodes.nodes[0]->start();
    const io::Duration taken = co_await nodes.wait_for("n0", NodeState::ready);
    EXPECT_GE(taken, 2 * engine::kBeatInterval);
    EXPECT_LE(taken, cluster::Reports::kRetryMax + 4 * engine::kBeatInterval);
    double ramp = nodes.reports().view().find("n0")->ramp;
    EXPECT_NEAR(ramp, cluster::kRampFirst, 0.05);
    for (int i = 0; i < 4; i++) {
      co_await nodes.sleep(cluster::kRampTime / 5);
      const double now = nodes.reports().view().find("n0")->ramp;
      EXPECT_GT(now, ramp);
      ramp = now;
    }
    co_await nodes.sleep(cluster::kRampTime / 5 + seconds(1));
    EXPECT_EQ(nodes.reports().view().find("n0")->ramp, 1.0);
  }(nodes));
}

TEST(Reports, ChangesOfANodeAreSeenWithinASecond) {
  Script script;
  Nodes nodes;
  nodes.add(script);
  nodes.run([](Nodes& nodes) -> io::Task<void> {
    cluster::NodeInfo& self = nodes.nodes[0]->self;
    self.blobs = std::make_shared<const std::vector<Digest>>();
    self.state = NodeState::draining;
    self.memory_used = 77;
    (void)co_await nodes.wait_for("n0", NodeState::draining);
    const cluster::View view = nodes.reports().view();
    EXPECT_FALSE(view.find("n0")->has_blob(nodes.weights));
    EXPECT_EQ(view.find("n0")->memory_used, 77u);
  }(nodes));
}

TEST(Reports, ANodeThatIsLeftOutIsForgotten) {
  Script script;
  Nodes nodes;
  nodes.add(script);
  nodes.run([](Nodes& nodes) -> io::Task<void> {
    nodes.reports().set_peers({});
    EXPECT_EQ(nodes.reports().link_of("n0"), nullptr);
    co_await nodes.sleep(seconds(5));
    EXPECT_EQ(nodes.reports().view().find("n0"), nullptr);
    EXPECT_NE(nodes.reports().view().find("gate"), nullptr);
  }(nodes));
}

TEST(ClusterScheduler, PassesOnWhenANodeRefuses) {
  for (const Errc code : {Errc::overloaded, Errc::unavailable, Errc::not_found, Errc::internal}) {
    Script busy, free;
    busy.acquire_error = Error{code, "not here"};
    Nodes nodes;
    nodes.add(busy);
    nodes.add(busy);
    nodes.add(free);
    nodes.run([](Nodes& nodes) -> io::Task<void> {
      for (int i = 0; i < 10; i++) {
        const auto lease = co_await nodes.scheduler().acquire(nodes.target(), {}, {});
        CO_ASSERT(lease.has_value());
        EXPECT_EQ((*lease)->node(), "n2");
      }
    }(nodes));
    EXPECT_EQ(free.targets.size(), 10u);
  }
}

TEST(ClusterScheduler, ARequestThatIsWrongIsWrongEverywhere) {
  Script first, second;
  first.acquire_error = second.acquire_error = Error{Errc::invalid_argument, "quarantined"};
  Nodes nodes;
  nodes.add(first);
  nodes.add(second);
  nodes.run([](Nodes& nodes) -> io::Task<void> {
    const io::TimePoint before = nodes.clock().now();
    const auto lease = co_await nodes.scheduler().acquire(nodes.target(), {}, {});
    CO_ASSERT(!lease.has_value());
    EXPECT_EQ(lease.error().code, Errc::invalid_argument);
    EXPECT_THAT(lease.error().what, HasSubstr("quarantined"));
    EXPECT_LE(nodes.clock().now() - before, milliseconds(100));
  }(nodes));
}

TEST(ClusterScheduler, AsksOnlyNodesThatHaveTheFilesAndAreReady) {
  Script without, draining, with;
  Nodes nodes;
  nodes.add(without).self.blobs = nullptr;
  nodes.add(draining);
  nodes.add(with);
  nodes.run([](Nodes& nodes) -> io::Task<void> {
    nodes.nodes[1]->self.state = NodeState::draining;
    (void)co_await nodes.wait_for("n1", NodeState::draining);
    for (int i = 0; i < 10; i++) {
      const auto lease = co_await nodes.scheduler().acquire(nodes.target(), {}, {});
      EXPECT_TRUE(lease.has_value());
    }
  }(nodes));
  EXPECT_EQ(without.targets.size() + draining.targets.size(), 0u);
  EXPECT_EQ(with.targets.size(), 10u);
}

TEST(ClusterScheduler, SpreadsRequestsThatNoReportTellsOfYet) {
  Script first, second;
  Nodes nodes;
  nodes.add(first);
  nodes.add(second);
  nodes.run([](Nodes& nodes) -> io::Task<void> {
    std::vector<std::unique_ptr<scheduler::Lease>> leases;
    for (int i = 0; i < 20; i++) {
      auto lease = co_await nodes.scheduler().acquire(nodes.target(), {}, {});
      CO_ASSERT(lease.has_value());
      leases.push_back(std::move(*lease));
    }
  }(nodes));
  EXPECT_GE(first.targets.size(), 8u);
  EXPECT_GE(second.targets.size(), 8u);
}

io::Task<void> start_after(Nodes& nodes, io::Duration after) {
  co_await nodes.sleep(after);
  nodes.nodes[0]->start();
}

TEST(ClusterScheduler, AnAnswerThatHasBegunWaitsForAHolderToComeBack) {
  Script script;
  Nodes nodes;
  nodes.add(script);
  nodes.run([](Nodes& nodes) -> io::Task<void> {
    co_await nodes.nodes[0]->kill();
    io::TaskGroup tasks(nodes.world().executor, nodes.clock());
    tasks.spawn(start_after(nodes, seconds(8)));
    scheduler::AcquireOptions options;
    options.resumes = true;
    const auto lease = co_await nodes.scheduler().acquire(nodes.target(), options, {});
    EXPECT_TRUE(lease.has_value());
    co_await tasks.stop();
  }(nodes));
}

TEST(ClusterScheduler, IsUnavailableInTheEndWhenNoHolderComesBack) {
  Script script;
  Nodes nodes;
  nodes.add(script);
  nodes.run([](Nodes& nodes) -> io::Task<void> {
    co_await nodes.nodes[0]->kill();
    for (const bool resumes : {false, true}) {
      const io::Duration patience =
          resumes ? scheduler::kResumePatience : scheduler::kReturnPatience;
      scheduler::AcquireOptions options;
      options.resumes = resumes;
      const io::TimePoint before = nodes.clock().now();
      const auto lease = co_await nodes.scheduler().acquire(nodes.target(), options, {});
      CO_ASSERT(!lease.has_value());
      EXPECT_EQ(lease.error().code, Errc::unavailable);
      EXPECT_GE(nodes.clock().now() - before, patience);
      EXPECT_LE(nodes.clock().now() - before, patience + seconds(3));
    }
  }(nodes));
}

TEST(ClusterScheduler, UnloadsOnEveryNodeThatHasItLoaded) {
  Script first, second;
  Nodes nodes;
  nodes.add(first);
  nodes.add(second);
  nodes.run([](Nodes& nodes) -> io::Task<void> {
    cluster::RunnerInfo runner;
    runner.key = nodes.weights;
    runner.slots = 1;
    nodes.nodes[1]->self.runners.push_back(runner);
    co_await nodes.sleep(seconds(1));
    EXPECT_TRUE(nodes.scheduler().unload(nodes.weights));
    co_await nodes.sleep(seconds(1));
  }(nodes));
  EXPECT_TRUE(first.unloaded.empty());
  EXPECT_EQ(second.unloaded.size(), 1u);
}

}  // namespace
}  // namespace om::peer
