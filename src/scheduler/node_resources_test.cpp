#include "scheduler/node_resources.h"

#include <fmt/format.h>
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

TEST(NodeResources, ReadsProcessorLists) {
  EXPECT_EQ(parse_cpus("0-3,8,10-11\n"), (std::vector{0, 1, 2, 3, 8, 10, 11}));
  EXPECT_EQ(parse_cpus("0"), std::vector{0});
  for (const char* bad : {"", "x", "5-2", "0-99999999999"}) EXPECT_TRUE(parse_cpus(bad).empty());
}

TEST(NodeResources, KnowsThisMachine) {
  io::RealWorld real;
  const NodeResources node = read_node_resources(real.world().files);
  EXPECT_GT(node.memory_total, 256u << 20);
  EXPECT_GT(node.memory_for_models(), 0u);
  EXPECT_LT(node.memory_for_models(), node.memory_total);
  EXPECT_GE(node.cores, 1);
}

NodeResources resources_of(const std::vector<std::pair<std::string, std::string>>& texts) {
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

using Texts = std::vector<std::pair<std::string, std::string>>;

// So many cores with two threads each, numbered 0, 1 and so on, then so many with one.
Texts machine(const char* allowed, int fast, int slow = 0) {
  Texts texts{{"/proc/self/status", fmt::format("Cpus_allowed_list:\t{}\n", allowed)}};
  for (int cpu = 0; cpu < 2 * fast + slow; cpu++) {
    const int first = cpu < 2 * fast ? cpu & ~1 : cpu;
    const uint64_t mask = (cpu < 2 * fast ? 3ull : 1ull) << first;
    texts.emplace_back(fmt::format("/sys/devices/system/cpu/cpu{}/topology/thread_siblings", cpu),
                       fmt::format("{:08x}\n", mask));
  }
  if (slow > 0) {
    texts.emplace_back("/sys/devices/cpu_atom/cpus",
                       fmt::format("{}-{}\n", 2 * fast, 2 * fast + slow - 1));
  }
  return texts;
}

TEST(NodeResources, TakesOneThreadForEachPhysicalCore) {
  const NodeResources whole = resources_of(machine("0-15", 8));
  EXPECT_EQ(whole.processors, 16);
  EXPECT_EQ(whole.cores, 8);
  EXPECT_EQ(resources_of(machine("0-3", 8)).cores, 2);
  EXPECT_EQ(resources_of(machine("0,2,4,6", 8)).cores, 4);
}

// As with `nosmt`, and where a machine could be given more processors than it has.
TEST(NodeResources, LeavesOutWhatIsOffline) {
  Texts texts{{"/proc/self/status", "Cpus_allowed_list:\t0-31\n"},
              {"/sys/devices/system/cpu/offline", "1,3,5,7,9,11,13,15-31\n"}};
  for (int cpu = 0; cpu < 16; cpu += 2) {
    texts.emplace_back(fmt::format("/sys/devices/system/cpu/cpu{}/topology/thread_siblings", cpu),
                       fmt::format("{:08x}\n", 1u << cpu));
  }
  const NodeResources node = resources_of(texts);
  EXPECT_EQ(node.processors, 8);
  EXPECT_EQ(node.cores, 8);
  texts = machine("0-15", 8);
  texts.emplace_back("/sys/devices/system/cpu/offline", "\n");
  EXPECT_EQ(resources_of(texts).processors, 16);
}

TEST(NodeResources, LeavesEfficiencyCoresOut) {
  EXPECT_EQ(resources_of(machine("0-19", 8, 4)).cores, 8);
  EXPECT_EQ(resources_of(machine("17-19", 8, 4)).cores, 3) << "we may use no others";
}

TEST(NodeResources, TakesNoMoreThreadsThanTheQuotaFeeds) {
  Texts texts = machine("0-15", 8);
  texts.emplace_back("/proc/self/cgroup", "0::/a\n");
  texts.emplace_back("/sys/fs/cgroup/a/cpu.max", "200000 100000\n");
  EXPECT_EQ(resources_of(texts).cores, 2);
}

}  // namespace
}  // namespace om::scheduler
