#include "scheduler/replica_policy.h"

#include <gtest/gtest.h>

namespace om::scheduler {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr io::TimePoint kNow{std::chrono::hours(1)};
const Digest kWeights = Digest::of("weights");
constexpr uint64_t kBytes = 100;

class ReplicaPolicy : public ::testing::Test {
 protected:
  cluster::NodeInfo& node(const std::string& name, uint64_t used = 0, bool has_file = true) {
    cluster::NodeInfo& info = nodes_[name];
    info.name = name;
    info.memory_total = 300;
    info.memory_used = used;
    info.disk_free = 1000;
    std::vector<Digest> blobs;
    if (has_file) blobs.push_back(kWeights);
    info.blobs = std::make_shared<const std::vector<Digest>>(std::move(blobs));
    return info;
  }

  cluster::RunnerInfo& runner(const std::string& name, int running, int queued = 0) {
    cluster::NodeInfo& info = node(name, kBytes);
    info.runners.resize(1);
    cluster::RunnerInfo& one = info.runners[0];
    one.key = kWeights;
    one.slots = 4;
    one.running = running;
    one.queued = queued;
    one.size_bytes = kBytes;
    return one;
  }

  std::optional<ReplicaChange> decide(io::TimePoint now) {
    for (const auto& [name, info] : nodes_) cluster_.put(info);
    return decide_replicas(cluster_,
                           {.weights = kWeights, .load_bytes = kBytes, .runners_min = runners_min_},
                           pressure_.at(now), state_, options_, now);
  }
  // The first change within a time, looked for every second.
  std::optional<ReplicaChange> within(io::Duration time) {
    for (const io::TimePoint end = now_ + time; now_ < end; now_ += seconds(1)) {
      if (auto change = decide(now_)) return change;
    }
    return std::nullopt;
  }

  std::map<std::string, cluster::NodeInfo> nodes_;
  ClusterIndex cluster_;
  ModelPressure pressure_;
  ReplicaState state_;
  size_t runners_min_ = 0;
  ReplicaOptions options_;
  io::TimePoint now_ = kNow;
};

TEST_F(ReplicaPolicy, GrowsWhereThereIsRoomWhenRequestsQueueForAWhile) {
  runner("a", 4, 3);
  node("b", 250);
  node("c", 50);
  node("d", 0, false);
  EXPECT_FALSE(decide(now_)) << "a moment's queue is no pressure";
  const auto change = within(seconds(10));
  ASSERT_TRUE(change);
  EXPECT_EQ(change->kind, ReplicaChange::Kind::grow);
  EXPECT_EQ(change->node, "c") << "b has no room, d not the file";
  EXPECT_FALSE(change->stage_files);
}

TEST_F(ReplicaPolicy, BringsTheFilesWhereNobodyElseHasRoom) {
  runner("a", 4, 3);
  node("d", 0, false);
  const auto change = within(seconds(10));
  ASSERT_TRUE(change);
  EXPECT_EQ(change->node, "d");
  EXPECT_TRUE(change->stage_files);
}

TEST_F(ReplicaPolicy, GrowsForLostHitsAndLongWaitsToo) {
  runner("a", 2);
  node("b");
  for (int i = 0; i < 5; i++) pressure_.add_request(milliseconds(1), now_);
  EXPECT_FALSE(within(seconds(10)));
  for (int i = 0; i < 8; i++) pressure_.add_lost_hit(now_);
  EXPECT_TRUE(within(seconds(10)));
}

TEST_F(ReplicaPolicy, NeverEvictsToGrow) {
  runner("a", 4, 3);
  node("b", 250);
  EXPECT_FALSE(within(minutes(5)));
}

TEST_F(ReplicaPolicy, WaitsForALoadAndRestsBetweenChanges) {
  runner("a", 4, 9);
  node("b");
  node("c");
  ASSERT_TRUE(within(seconds(10)));
  runner("b", 0).loading = true;
  EXPECT_FALSE(within(minutes(2)));
  runner("b", 4, 2);
  nodes_["b"].runners[0].loading = false;
  EXPECT_TRUE(within(seconds(10)));
}

TEST_F(ReplicaPolicy, GrowsNoSecondTimeForTheSameWaits) {
  runner("a", 2);
  node("b");
  node("c");
  for (int i = 0; i < 40; i++) pressure_.add_request(seconds(9), now_);
  ASSERT_TRUE(within(seconds(10)));
  runner("b", 0).loading = true;
  for (int i = 0; i < 20; i++) pressure_.add_request(seconds(9), now_);
  EXPECT_FALSE(within(seconds(10)));
  runner("b", 1).loading = false;
  EXPECT_FALSE(within(minutes(3))) << "nobody has waited since";
  for (int i = 0; i < 5; i++) pressure_.add_request(seconds(9), now_);
  EXPECT_TRUE(within(seconds(10)));
}

TEST_F(ReplicaPolicy, ShrinksLateAndNotBelowWhatIsWanted) {
  runner("a", 1);
  runner("b", 0);
  EXPECT_FALSE(within(minutes(4)));
  const auto change = within(minutes(2));
  ASSERT_TRUE(change);
  EXPECT_EQ(change->kind, ReplicaChange::Kind::shrink);
  EXPECT_EQ(change->node, "b");
  runners_min_ = 2;
  state_ = {};
  EXPECT_FALSE(within(minutes(20)));
}

TEST_F(ReplicaPolicy, KeepsThePinnedAndTheLast) {
  runner("a", 0);
  EXPECT_FALSE(within(minutes(20)));
  runner("b", 0);
  nodes_["a"].runners[0].pinned = nodes_["b"].runners[0].pinned = true;
  EXPECT_FALSE(within(minutes(20)));
}

TEST_F(ReplicaPolicy, DoesNotSwingUnderALoadThatJustFits) {
  // Both numbers of runners are right for this load: whichever there is stays.
  runner("a", 3);
  node("b");
  EXPECT_FALSE(within(minutes(30)));
  runner("a", 2);
  runner("b", 1);
  EXPECT_FALSE(within(minutes(30)));
}

TEST_F(ReplicaPolicy, PreloadsUpToTheMinimum) {
  runners_min_ = 1;
  node("a");
  const auto change = within(seconds(2));
  ASSERT_TRUE(change);
  EXPECT_EQ(change->kind, ReplicaChange::Kind::grow);
}

TEST_F(ReplicaPolicy, KeepsAStandbyForAModelThatAnswersForAWhile) {
  options_.standby = 1;
  runner("a", 0);
  node("b");
  EXPECT_FALSE(within(minutes(20)));  // Nothing would be lost with its node.
  runner("a", 1);
  EXPECT_FALSE(within(seconds(2)));  // A short answer is over before a load is.
  const auto change = within(seconds(2));
  ASSERT_TRUE(change);
  EXPECT_EQ(change->kind, ReplicaChange::Kind::grow);
  EXPECT_EQ(change->node, "b");
  runner("b", 0).loading = true;
  EXPECT_FALSE(within(minutes(2)));
  runner("b", 0).loading = false;
  EXPECT_FALSE(within(minutes(20)));  // There it is, and there it stays as long as "a" answers.
  runner("a", 0);
  const auto idle = within(minutes(20));
  ASSERT_TRUE(idle);
  EXPECT_EQ(idle->kind, ReplicaChange::Kind::shrink);
}

TEST_F(ReplicaPolicy, ReplacesALostRunnerAtOnce) {
  options_.standby = 1;
  runner("a", 1);
  node("b");
  node("c");
  ASSERT_TRUE(within(seconds(5)));
  runner("b", 0);
  EXPECT_FALSE(within(seconds(1)));
  nodes_["a"].runners.clear();  // The answer goes on at "b".
  runner("b", 1);
  for (int death = 0; death < 3; death++) {  // Long before the rest after a change is over.
    SCOPED_TRACE(death);
    const auto change = within(seconds(1));
    ASSERT_TRUE(change);
    EXPECT_FALSE(within(seconds(3))) << "its load was not told yet";
    runner(change->node, 0);
    EXPECT_FALSE(within(seconds(1)));
    nodes_[change->node].runners.clear();
  }
}

TEST_F(ReplicaPolicy, RestsWhereAChangeBroughtNothing) {
  options_.standby = 1;
  runner("a", 1);
  node("b");
  ASSERT_TRUE(within(seconds(5)));
  EXPECT_FALSE(within(seconds(19)));  // It cannot be loaded there.
  EXPECT_TRUE(within(seconds(5)));
  runners_min_ = 2;
  EXPECT_FALSE(within(seconds(19)));
  EXPECT_TRUE(within(seconds(2)));
}

TEST_F(ReplicaPolicy, EvictsNothingForAStandby) {
  options_.standby = 1;
  runner("a", 1);
  node("b", 250);
  EXPECT_FALSE(within(minutes(20)));
}

TEST_F(ReplicaPolicy, IsDecidedByOneNodeForEachModel) {
  constexpr int kModels = 300;
  for (const char* name : {"a", "b", "c"}) {
    cluster::NodeInfo& info = node(name);
    for (int i = 0; i < kModels; i++) {
      info.demand.push_back({.key = Digest::of(std::to_string(i)), .requests = 1});
    }
    cluster_.put(info);
  }
  std::map<std::string, int> models;
  for (int i = 0; i < kModels; i++) {
    int owners = 0;
    for (const char* name : {"a", "b", "c"}) {
      if (!owns(cluster_, Digest::of(std::to_string(i)), name)) continue;
      owners++;
      models[name]++;
    }
    EXPECT_EQ(owners, 1);
  }
  for (const char* name : {"a", "b", "c"}) EXPECT_GT(models[name], 50);
}

}  // namespace
}  // namespace om::scheduler
