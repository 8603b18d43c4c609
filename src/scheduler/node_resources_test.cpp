#include "scheduler/node_resources.h"

#include <gtest/gtest.h>

#include "io/real.h"

namespace om::scheduler {
namespace {

TEST(NodeResources, ReadsMeminfo) {
  const std::string text = "MemTotal:       24649024 kB\nMemFree: 1 kB\nMemAvailable:  23 kB\n";
  EXPECT_EQ(meminfo_bytes(text, "MemTotal"), 24649024ull * 1024);
  EXPECT_EQ(meminfo_bytes(text, "MemAvailable"), 23ull * 1024);
  EXPECT_EQ(meminfo_bytes(text, "Mem"), 0u);
  EXPECT_EQ(meminfo_bytes("", "MemTotal"), 0u);
}

TEST(NodeResources, CountsProcessorLists) {
  EXPECT_EQ(count_cpus("0-3,8,10-11\n"), 7);
  EXPECT_EQ(count_cpus("0"), 1);
  EXPECT_EQ(count_cpus(""), 0);
  EXPECT_EQ(count_cpus("x"), 0);
  EXPECT_EQ(count_cpus("5-2"), 0);
}

TEST(NodeResources, KnowsThisMachine) {
  io::RealWorld real;
  const NodeResources node = read_node_resources(real.world().files);
  EXPECT_GT(node.memory_total, 256u << 20);
  EXPECT_GT(node.memory_for_models(), 0u);
  EXPECT_LT(node.memory_for_models(), node.memory_total);
  EXPECT_GE(node.cores, 1);
}

}  // namespace
}  // namespace om::scheduler
