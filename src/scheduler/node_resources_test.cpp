#include "scheduler/node_resources.h"

#include <gtest/gtest.h>

#include "io/real.h"
#include "sim/world.h"

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

NodeResources resources_of(std::initializer_list<std::pair<const char*, const char*>> texts) {
  sim::World sim(1);
  io::Filesystem& files = sim.world().files;
  for (const auto& [path, text] : texts) {
    EXPECT_TRUE(files.make_directories(io::parent(path)));
    EXPECT_TRUE(files.write_file(path, text));
  }
  return read_node_resources(files);
}

TEST(NodeResources, CountsTheQuotaOfItsOwnGroupAndOfThoseAroundIt) {
  constexpr std::pair<const char*, const char*> kEight{"/proc/self/status",
                                                       "Cpus_allowed_list:\t0-7\n"};
  const NodeResources whole = resources_of({kEight});
  EXPECT_EQ(whole.processors, 8);
  EXPECT_EQ(whole.cores, 8);
  const NodeResources unified =
      resources_of({kEight,
                    {"/proc/self/cgroup", "0::/slice/service\n"},
                    {"/sys/fs/cgroup/slice/cpu.max", "250000 100000\n"},
                    {"/sys/fs/cgroup/slice/service/cpu.max", "max 100000\n"}});
  EXPECT_EQ(unified.processors, 2.5);
  EXPECT_EQ(unified.cores, 2);
  const NodeResources old =
      resources_of({kEight,
                    {"/proc/self/cgroup", "4:cpu,cpuacct:/a/b\n"},
                    {"/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"},
                    {"/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"},
                    {"/sys/fs/cgroup/cpu/a/b/cpu.cfs_quota_us", "20000\n"},
                    {"/sys/fs/cgroup/cpu/a/b/cpu.cfs_period_us", "100000\n"}});
  EXPECT_EQ(old.processors, 0.2);
  EXPECT_EQ(old.cores, 1);
}

}  // namespace
}  // namespace om::scheduler
