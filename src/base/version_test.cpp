#include "base/version.h"

#include <gtest/gtest.h>

namespace om {
namespace {

TEST(Version, IsComparedByItsNumbers) {
  EXPECT_TRUE(is_older_version("0.2.0", "0.3.0"));
  EXPECT_TRUE(is_older_version("0.9.0", "0.10.0"));
  EXPECT_TRUE(is_older_version("0.3", "0.3.1"));
  EXPECT_FALSE(is_older_version("0.3.0", "0.3.0"));
  EXPECT_FALSE(is_older_version("1.0.0", "0.3.0"));
  EXPECT_FALSE(is_older_version("0.3.0", "0.3"));
  EXPECT_FALSE(is_older_version(kVersion, kVersion));
}

TEST(Version, OfAProgramThatToldNoneIsOld) {
  EXPECT_TRUE(is_older_version("", "0.3.0"));
  EXPECT_TRUE(is_older_version("dev", "0.3.0"));
}

}  // namespace
}  // namespace om
