#include "transfer/replicas/health.h"

#include <gtest/gtest.h>

#include "transfer/replicas/metrics.h"

namespace om::transfer {
namespace {

ModelHealth model(std::vector<std::string> copies, std::vector<std::string> unreachable, int wanted,
                  int minimum) {
  ModelHealth health;
  health.copies = std::move(copies);
  health.unreachable = std::move(unreachable);
  health.wanted = wanted;
  health.minimum = minimum;
  return health;
}

// All that an operator hears of missing copies by.
TEST(ReplicaHealth, IsCountedForTheOperator) {
  count_health({model({"a", "b"}, {}, 2, 1), model({"a"}, {}, 2, 1), model({"a", "b"}, {}, 1, 1),
                model({"a"}, {}, 3, 2), model({}, {"c"}, 2, 1), model({}, {}, 2, 1)});
  EXPECT_EQ(models_catalogued.value(), 6);
  EXPECT_EQ(models_under.value(), 4);
  EXPECT_EQ(models_over.value(), 1);
  EXPECT_EQ(models_in_danger.value(), 3);
  EXPECT_EQ(models_out_of_reach.value(), 1);
  EXPECT_EQ(models_lost.value(), 1);
  count_health({});
  EXPECT_EQ(models_under.value(), 0);
  EXPECT_EQ(models_lost.value(), 0);
}

}  // namespace
}  // namespace om::transfer
