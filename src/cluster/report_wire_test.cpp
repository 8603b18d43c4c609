#include "cluster/report_wire.h"

#include <gtest/gtest.h>

#include "cluster/members.h"

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

// Nodes of other versions read these names.
TEST(ReportWire, MembersOfARunnerKeepTheirNames) {
  NodeInfo node;
  RunnerInfo& runner = node.runners.emplace_back();
  runner.rates_are_old = true;
  runner.expires_ms = 5;
  runner.part_of = "n2";
  runner.parts = {{"n3", 7}};
  const std::string zero(64, '0');
  EXPECT_EQ(
      encode_report(node, false),
      R"({"state":"ready","memory_total":0,"memory_used":0,"graphics_total":0,"graphics_used":0,)"
      R"("disk_free":0,"cores":0,"processors":0E0,"load_rate":0E0,"copy_rate":0E0,)"
      R"("runners":[{"model":"","manifest":"sha256:)" +
          zero + R"(","stopping":false,"weights":"sha256:)" + zero +
          R"(","context_length":0,"slots":0,"running":0,"queued":0,"size_bytes":0,"loading":false,)"
          R"("load_progress":0E0,"graphics_bytes":0,"on_card":false,"output_rate":0E0,)"
          R"("prompt_rate":0E0,"pending_prompt_tokens":0,"pinned":false,"value":0E0,)"
          R"("rates_are_old":true,"expires_ms":5,"part_of":"n2",)"
          R"("parts":[{"node":"n3","bytes":7}]}]})");
}

TEST(MemberWire, MembersKeepTheirNames) {
  const Member member{.name = "n1",
                      .peer = {"10.0.0.1", 11435},
                      .draining = true,
                      .voter = true,
                      .asked = true,
                      .etcd_client = "c",
                      .etcd_peer = "p",
                      .serial = "s",
                      .version = "v",
                      .joined_seconds = 9};
  const std::string text = write_member(member);
  EXPECT_EQ(text, R"({"name":"n1","host":"10.0.0.1","port":11435,"draining":true,"voter":true,)"
                  R"("asked":true,"etcd_client":"c","etcd_peer":"p","serial":"s","version":"v",)"
                  R"("joined_seconds":9})");
  const auto read = read_member(text);
  ASSERT_TRUE(read);
  EXPECT_EQ(write_member(*read), text);
}

}  // namespace
}  // namespace om::cluster
