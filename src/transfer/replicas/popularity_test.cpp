#include "transfer/replicas/popularity.h"

#include <gtest/gtest.h>

namespace om::transfer {
namespace {

using std::chrono::seconds;

cluster::NodeInfo node(std::string name, int running, int queued) {
  cluster::NodeInfo info;
  info.name = std::move(name);
  cluster::RunnerInfo runner;
  runner.key = Digest::of("weights");
  runner.slots = 4;
  runner.running = running;
  runner.queued = queued;
  if (running > 0) info.runners.push_back(runner);
  return info;
}

ReplicaInput input_of(std::vector<cluster::NodeInfo> nodes, io::TimePoint now) {
  ReplicaInput input;
  input.view = cluster::View::of(std::move(nodes)).value();
  ReplicatedModel model;
  model.key = "m";
  model.runner_key = Digest::of("weights");
  model.policy.factor = 1;
  input.models.push_back(std::move(model));
  input.now = now;
  return input;
}

std::string speaker() { return place_score("a", "m") > place_score("b", "m") ? "a" : "b"; }

TEST(Popularity, CountsTheCopiesThatWouldKeepUp) {
  const auto view = input_of({node("a", 4, 5), node("b", 3, 0)}, {}).view;
  EXPECT_EQ(copies_busy(view, Digest::of("weights")), 3);
  EXPECT_EQ(copies_busy(view, Digest::of("others")), 0);
}

TEST(Popularity, IsToldByOneNodeWhenItLastsAndTakenBackWhenItEnds) {
  Popularity speaks, silent;
  const std::string other = speaker() == "a" ? "b" : "a";
  io::TimePoint now{};
  std::vector<int> told;
  for (int i = 0; i < 12; i++, now += seconds(5)) {
    const bool is_busy = i < 9;
    const auto input = input_of({node("a", 4, is_busy ? 4 : 0), node("b", 0, 0)}, now);
    EXPECT_TRUE(silent.look(input, plan_replicas(input).speakers, other).empty());
    for (const PopularModel& model : speaks.look(input, plan_replicas(input).speakers, speaker()))
      told.push_back(model.extra);
  }
  EXPECT_EQ(told, (std::vector{1, 1, 0}));  // At the third look, again after 20 s, at the end.
}

TEST(Popularity, IsNotMovedByABurst) {
  Popularity speaks;
  for (int i = 0; i < 20; i++) {
    const auto input = input_of({node("a", 4, i % 3 == 2 ? 0 : 9), node("b", 0, 0)},
                                io::TimePoint(seconds(5 * i)));
    EXPECT_TRUE(speaks.look(input, plan_replicas(input).speakers, speaker()).empty());
  }
}

}  // namespace
}  // namespace om::transfer
