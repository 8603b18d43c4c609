#include "scheduler/lease_wire.h"

#include <gtest/gtest.h>

#include "store/paths_only_for_test.h"

namespace om::scheduler {
namespace {

// Nodes of other versions read these names; what is chosen automatically is not told.
TEST(LeaseWire, OptionsOfARunnerKeepTheirNames) {
  Target target;
  target.runner = {.num_ctx = 1,
                   .num_batch = 2,
                   .num_gpu = 3,
                   .main_gpu = 4,
                   .num_thread = 5,
                   .draft_num_predict = 6,
                   .use_mmap = false};
  const auto text = encode_lease_request(target, {});
  ASSERT_TRUE(text);
  EXPECT_NE(text->find(R"("runner":{"num_ctx":1,"num_batch":2,"num_gpu":3,"main_gpu":4,)"
                       R"("num_thread":5,"draft_num_predict":6,"use_mmap":false})"),
            text->npos)
      << *text;
  store::PathsOnly store;
  const auto read = decode_lease_request(*text, store);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->target.runner, target.runner);
  target.runner = {};
  const auto automatic = encode_lease_request(target, {});
  ASSERT_TRUE(automatic);
  EXPECT_NE(automatic->find(R"("runner":{})"), automatic->npos) << *automatic;
}

}  // namespace
}  // namespace om::scheduler
