#include "base/id.h"

#include <gtest/gtest.h>

#include <string>
#include <unordered_set>

namespace om {
namespace {

using NodeId = Id<struct NodeIdTag>;

TEST(Id, TakesPlainNamesUpToTheBound) {
  EXPECT_EQ(NodeId::parse("node-3.rack_b")->str(), "node-3.rack_b");
  EXPECT_TRUE(NodeId::parse(std::string(kIdBytesMax, 'a')));
  EXPECT_TRUE(NodeId().empty());
}

TEST(Id, RefusesWhatWouldBeUnsafeInAPathALogOrAHeader) {
  const std::string too_long(kIdBytesMax + 1, 'a');
  for (const std::string text : {"", "..", ".a", "-rf", "a/b", "a b", "a\n", "\xC3\xA9", "a\"b"}) {
    EXPECT_EQ(NodeId::parse(text).error().code, Errc::invalid_argument) << text;
  }
  EXPECT_FALSE(NodeId::parse(too_long));
}

TEST(Id, ComparesAndHashesByText) {
  std::unordered_set<NodeId> ids{*NodeId::parse("a"), *NodeId::parse("b"), *NodeId::parse("a")};
  EXPECT_EQ(ids.size(), 2u);
  EXPECT_LT(*NodeId::parse("a"), *NodeId::parse("b"));
}

}  // namespace
}  // namespace om
