// A machine that was busy with something else once is found to be fast again.
#include <gtest/gtest.h>

#include "scheduler/node_placement_for_test.h"

namespace om::scheduler {
namespace {

class OldRates : public NodePlacement {
 protected:
  cluster::RunnerInfo& runner_with(const std::string& name, double output_rate, bool on_card) {
    cluster::RunnerInfo& one = runner(name, "x");
    one.output_rate = output_rate;
    one.prompt_rate = 10 * output_rate;
    one.on_card = on_card;
    return one;
  }
};

TEST_F(OldRates, AnIdleRunnerIsTriedOnce) {
  cluster::RunnerInfo& on_card = runner_with("card", 5, true);
  runner_with("plain", 10, false);
  report();
  EXPECT_EQ(decide(request("x")).best()->name, "plain") << "it is slow now";
  on_card.rates_are_old = true;
  report();
  EXPECT_EQ(send(request("x")).name, "card");
  EXPECT_EQ(decide(request("x")).best()->name, "plain") << "one request finds out";
}

TEST_F(OldRates, WhatIsTenTimesSlowerIsLeftAlone) {
  runner_with("slow", 5, false).rates_are_old = true;
  runner_with("fast", 50, false).rates_are_old = true;
  report();
  EXPECT_EQ(decide(request("x")).best()->name, "fast");
}

}  // namespace
}  // namespace om::scheduler
