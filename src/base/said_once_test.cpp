#include "base/said_once.h"

#include <gtest/gtest.h>

namespace om {
namespace {

TEST(SaidOnce, IsSilentForAsLongAsALookFindsIt) {
  SaidOnce said;
  for (int look = 0; look < 3; look++) {
    EXPECT_EQ(said.is_new("bad manifest"), look == 0);
    EXPECT_FALSE(said.is_new("bad manifest")) << "twice in one look";
    said.end_look();
  }
  said.end_look();  // Mended.
  EXPECT_TRUE(said.is_new("bad manifest"));
}

TEST(SaidOnce, KeepsSilentWhenALookBreaksOff) {
  SaidOnce said;
  EXPECT_TRUE(said.is_new("a"));
  EXPECT_FALSE(said.is_new("a"));  // The next look: the first one did not end.
  said.end_look();
  EXPECT_FALSE(said.is_new("a"));
}

}  // namespace
}  // namespace om
