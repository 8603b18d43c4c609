#include "io/real/route.h"

#include <gtest/gtest.h>

namespace om::io {
namespace {

TEST(Route, TellsFromWhereThisMachineReachesAHost) {
  EXPECT_EQ(source_towards("127.0.0.1"), "127.0.0.1");
  EXPECT_EQ(source_towards("127.0.0.9"), "127.0.0.1");
  EXPECT_EQ(source_towards("localhost"), "");  // To ask for a name would be to send something.
  EXPECT_EQ(source_towards(""), "");
}

}  // namespace
}  // namespace om::io
