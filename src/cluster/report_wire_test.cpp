#include "cluster/report_wire.h"

#include <gtest/gtest.h>

namespace om::cluster {
namespace {

NodeInfo decoded(const std::string& text, NodeInfo known = {}) {
  return decode_report(boost::json::parse(text).as_object(), std::move(known));
}

TEST(ReportWire, TellsOfModelsOnTheirWay) {
  NodeInfo node;
  node.copying = {{"registry.ollama.ai/library/m:latest", 10, 30}, {"other", 0, 0}};
  const NodeInfo read = decoded(encode_report(node, false));
  ASSERT_EQ(read.copying.size(), 2U);
  EXPECT_EQ(read.copying[0].model, "registry.ollama.ai/library/m:latest");
  EXPECT_EQ(read.copying[0].done_bytes, 10U);
  EXPECT_EQ(read.copying[0].total_bytes, 30U);
  // Once they are there nothing is told of them.
  EXPECT_TRUE(decoded(encode_report(NodeInfo{}, false), read).copying.empty());
}

TEST(ReportWire, AReportWithoutBlobsLeavesThoseThatAreKnown) {
  NodeInfo node;
  node.blobs = std::make_shared<const std::vector<Digest>>(1, Digest::of("x"));
  const NodeInfo read = decoded(encode_report(node, true));
  EXPECT_TRUE(read.has_blob(Digest::of("x")));
  EXPECT_TRUE(decoded(encode_report(NodeInfo{}, false), read).has_blob(Digest::of("x")));
}

TEST(ReportWire, TellsOfAVoterThatReachesNoMajority) {
  NodeInfo node;
  node.reaches_majority = false;
  const NodeInfo read = decoded(encode_report(node, false));
  EXPECT_FALSE(read.reaches_majority);
  // Nothing is said of one that does, and by earlier versions.
  EXPECT_TRUE(decoded(encode_report(NodeInfo{}, false), read).reaches_majority);
}

TEST(ReportWire, TellsOfRatesThatAreOld) {
  NodeInfo node;
  for (const bool are_old : {true, false}) {
    node.runners.emplace_back().rates_are_old = are_old;
  }
  const NodeInfo read = decoded(encode_report(node, false));
  ASSERT_EQ(read.runners.size(), 2U);
  EXPECT_TRUE(read.runners[0].rates_are_old);
  EXPECT_FALSE(read.runners[1].rates_are_old);
}

}  // namespace
}  // namespace om::cluster
