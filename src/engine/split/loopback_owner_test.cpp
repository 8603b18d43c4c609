#include "engine/split/loopback_owner.h"

#include <gtest/gtest.h>

namespace om::engine {
namespace {

constexpr std::string_view kTable =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout\n"
    "   0: 0100007F:1F90 0100007F:D2A4 01 00000000:00000000 00:00000000 00000000  1000        0 9\n"
    "   1: 0100007F:D2A4 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     7        0 8\n"
    "   2: 0200007F:D2A5 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     7        0 "
    "8\n";

TEST(LoopbackOwner, FindsTheUserOfASocket) {
  EXPECT_TRUE(is_owned_by(kTable, 0x1F90, 0xD2A4, 1000));
  EXPECT_FALSE(is_owned_by(kTable, 0x1F90, 0xD2A4, 7));
  EXPECT_TRUE(is_owned_by(kTable, 0xD2A4, 0x1F90, 7));
}

// The end of somebody's connection to another listener waits in the table for a minute, with the
// user 0.
TEST(LoopbackOwner, IsNotMistakenForWhoHadThePortBefore) {
  constexpr std::string_view kTimeWait =
      "   0: 0100007F:D2A4 0100007F:0BB8 06 00000000:00000000 03:00000000 00000000     0        0 "
      "0\n";
  const std::string table = std::string(kTimeWait) + std::string(kTable);
  EXPECT_TRUE(is_owned_by(table, 0xD2A4, 0x1F90, 7));
  EXPECT_FALSE(is_owned_by(table, 0xD2A4, 0x1F90, 0));
}

TEST(LoopbackOwner, TrustsNoSocketThatIsNotThere) {
  EXPECT_FALSE(is_owned_by(kTable, 0xD2A5, 0x1F90, 7));
  EXPECT_FALSE(is_owned_by("", 80, 81, 0));
  EXPECT_FALSE(is_owned_by("nonsense\n\n 0100007F:0050", 80, 81, 0));
}

}  // namespace
}  // namespace om::engine
