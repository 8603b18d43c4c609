#include "scheduler/cluster_index.h"

#include <gtest/gtest.h>

namespace om::scheduler {
namespace {

cluster::NodeInfo node(std::string name, int reported, std::vector<std::string> models = {},
                       std::vector<std::string> blobs = {}) {
  cluster::NodeInfo info;
  info.name = std::move(name);
  info.reported = io::TimePoint(std::chrono::seconds(reported));
  info.memory_total = 1000;
  for (std::string& model : models) {
    cluster::RunnerInfo runner;
    runner.key = Digest::of(model);
    runner.model = std::move(model);
    info.runners.push_back(std::move(runner));
  }
  std::vector<Digest> digests;
  for (const std::string& blob : blobs) digests.push_back(Digest::of(blob));
  std::ranges::sort(digests);
  info.blobs = std::make_shared<const std::vector<Digest>>(std::move(digests));
  return info;
}

std::vector<std::string> names(const ClusterIndex& index, std::span<const NodeNumber> numbers) {
  std::vector<std::string> names;
  for (NodeNumber number : numbers) names.push_back(index.node(number).name);
  std::ranges::sort(names);
  return names;
}

using Names = std::vector<std::string>;

TEST(ClusterIndex, KnowsWhoHasWhat) {
  ClusterIndex index;
  index.put(node("a", 1, {"x"}, {"x", "y"}));
  index.put(node("b", 1, {}, {"x"}));
  EXPECT_EQ(names(index, index.with_runner(Digest::of("x"))), Names{"a"});
  EXPECT_EQ(names(index, index.with_blob(Digest::of("x"))), (Names{"a", "b"}));
  EXPECT_TRUE(index.with_runner(Digest::of("y")).empty());
}

TEST(ClusterIndex, FollowsReports) {
  ClusterIndex index;
  index.put(node("a", 1, {"x"}, {"x"}));
  index.put(node("a", 2, {"y"}, {"x", "y"}));
  EXPECT_TRUE(index.with_runner(Digest::of("x")).empty());
  EXPECT_EQ(names(index, index.with_runner(Digest::of("y"))), Names{"a"});
  cluster::NodeInfo full = node("a", 3, {"y"}, {"y"});
  full.memory_used = 900;
  index.put(full);
  EXPECT_TRUE(index.with_room(ClusterIndex::room_class(1000)).empty());
  EXPECT_EQ(names(index, index.with_room(ClusterIndex::room_class(100))), Names{"a"});
}

TEST(ClusterIndex, ListsOnlyReadyNodes) {
  ClusterIndex index;
  cluster::NodeInfo draining = node("a", 1, {"x"}, {"x"});
  draining.state = cluster::NodeState::draining;
  index.put(draining);
  EXPECT_TRUE(index.with_runner(Digest::of("x")).empty());
  EXPECT_TRUE(index.with_blob(Digest::of("x")).empty());
  EXPECT_EQ(index.size(), 1u);
  draining.state = cluster::NodeState::ready;
  index.put(draining);
  EXPECT_EQ(names(index, index.with_runner(Digest::of("x"))), Names{"a"});
}

TEST(ClusterIndex, TakesOverAViewAndSaysWhoIsGone) {
  ClusterIndex index;
  for (const char* name : {"a", "b"}) index.put(node(name, 1, {"x"}));
  EXPECT_TRUE(index.remove_others(*cluster::View::of({node("a", 1), node("b", 1)})).empty());
  const NodeNumber a = *index.find("a");
  index.put(node("b", 2, {"y"}));
  index.put(node("c", 1, {"x"}));
  const auto gone = index.remove_others(*cluster::View::of({node("b", 2), node("c", 1)}));
  EXPECT_EQ(gone, std::vector<NodeNumber>{a});
  EXPECT_FALSE(index.find("a"));
  EXPECT_EQ(names(index, index.with_runner(Digest::of("x"))), Names{"c"});
  EXPECT_EQ(names(index, index.all()), (Names{"b", "c"}));
}

TEST(ClusterIndex, ClassesOfRoomGrowWithIt) {
  size_t before = 0;
  for (uint64_t bytes = 1; bytes < uint64_t{1} << 50; bytes += bytes / 3 + 1) {
    EXPECT_GE(ClusterIndex::room_class(bytes), before);
    before = ClusterIndex::room_class(bytes);
  }
  EXPECT_LT(ClusterIndex::room_class(UINT64_MAX), ClusterIndex::kRoomClasses);
}

}  // namespace
}  // namespace om::scheduler
