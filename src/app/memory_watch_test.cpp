#include "app/memory_watch.h"

#include <gmock/gmock.h>

#include "base/memory/memory_metrics.h"
#include "sim/world.h"

namespace om::app {
namespace {

constexpr uint64_t kMega = 1 << 20;

// A machine of 1000 MB, half of it used, and our process in groups of it.
class Memory : public ::testing::Test {
 protected:
  Memory() {
    write("/proc/meminfo", "MemTotal: 1024000 kB\nMemFree: 1 kB\nMemAvailable: 512000 kB\n");
    write("/proc/pressure/memory", "some avg10=1.00 avg60=0 avg300=0 total=0\n");
    write("/proc/self/status", "Name: x\nVmRSS:\t  2048 kB\n");
  }
  void write(const std::string& path, const std::string& text) {
    ASSERT_TRUE(world_.files.make_directories(io::parent(path)));
    ASSERT_TRUE(world_.files.write_file(path, text));
  }
  void group(const std::string& path, const std::string& limit, uint64_t used, uint64_t cache = 0,
             double some = 0) {
    const std::string folder = "/sys/fs/cgroup" + path;
    write(folder + "/memory.max", limit + "\n");
    write(folder + "/memory.current", fmt::format("{}\n", used));
    write(folder + "/memory.stat", fmt::format("anon 1\nactive_file 0\ninactive_file {}\n", cache));
    write(folder + "/memory.pressure",
          fmt::format("some avg10={:.2f} avg60=0 avg300=0 total=0\n", some));
  }

  io::Task<void> watch() {
    uint64_t left = 0;
    MemoryWatch watch(world_, [&left](uint64_t bytes) { left = bytes; });
    watch.start();
    EXPECT_TRUE(co_await world_.clock.sleep_for(std::chrono::seconds(2)));
    EXPECT_EQ(left, 500 * kMega);
    EXPECT_FALSE(watch.shedding());
    EXPECT_EQ(memory_level.value(), 0);
    write("/proc/meminfo", "MemTotal: 1024000 kB\nMemFree: 1 kB\nMemAvailable: 1024 kB\n");
    EXPECT_TRUE(co_await world_.clock.sleep_for(std::chrono::seconds(2)));
    EXPECT_EQ(left, 1 * kMega);
    EXPECT_TRUE(watch.shedding());
    EXPECT_EQ(memory_level.value(), 2);
    co_await watch.stop();
  }

  sim::World sim_{1};
  io::World& world_ = sim_.world();
};

TEST_F(Memory, IsTheMachinesWithoutAGroup) {
  const MemorySample sample = sample_memory(world_.files);
  EXPECT_EQ(sample.limit_bytes, 1000 * kMega);
  EXPECT_EQ(sample.used_bytes, 500 * kMega);
  EXPECT_EQ(sample.left_bytes, 500 * kMega);
  EXPECT_EQ(sample.own_bytes, 2 * kMega);
  EXPECT_EQ(sample.some_avg10, 1);
}

TEST_F(Memory, IsThatOfTheGroupThatIsNearestItsLimit) {
  write("/proc/self/cgroup", "0::/outer/inner\n");
  group("/outer/inner", "max", 300 * kMega);
  group("/outer", std::to_string(400 * kMega), 390 * kMega, 20 * kMega, 7);
  MemorySample sample = sample_memory(world_.files);
  EXPECT_EQ(sample.limit_bytes, 400 * kMega);
  EXPECT_EQ(sample.used_bytes, 370 * kMega);
  EXPECT_EQ(sample.left_bytes, 30 * kMega);
  EXPECT_EQ(sample.some_avg10, 7);

  group("/outer/inner", std::to_string(310 * kMega), 305 * kMega, 0, 9);
  sample = sample_memory(world_.files);
  EXPECT_EQ(sample.limit_bytes, 310 * kMega);
  EXPECT_EQ(sample.left_bytes, 5 * kMega);
  EXPECT_EQ(sample.some_avg10, 9);
}

TEST_F(Memory, IsTheMachinesWhereItIsFullerThanTheGroup) {
  write("/proc/self/cgroup", "0::/own\n");
  group("/own", std::to_string(800 * kMega), 100 * kMega, 0, 9);
  const MemorySample sample = sample_memory(world_.files);
  EXPECT_EQ(sample.limit_bytes, 1000 * kMega);
  EXPECT_EQ(sample.some_avg10, 1);
}

TEST_F(Memory, LeavesWhatTheSmallestLeavesAndNotTheFullest) {
  write("/proc/self/cgroup", "0::/own\n");
  group("/own", std::to_string(300 * kMega), 100 * kMega);
  const MemorySample sample = sample_memory(world_.files);
  EXPECT_EQ(sample.limit_bytes, 1000 * kMega);
  EXPECT_EQ(sample.left_bytes, 200 * kMega);
}

TEST_F(Memory, IsWatchedAndTold) { sim_.run(watch()); }

TEST_F(Memory, KnowsTheFirstVersionsGroups) {
  write("/proc/self/cgroup", "5:cpu:/a\n4:memory:/a/b\n");
  const std::string folder = "/sys/fs/cgroup/memory/a";
  write(folder + "/memory.limit_in_bytes", std::to_string(100 * kMega) + "\n");
  write(folder + "/memory.usage_in_bytes", std::to_string(90 * kMega) + "\n");
  const MemorySample sample = sample_memory(world_.files);
  EXPECT_EQ(sample.limit_bytes, 100 * kMega);
  EXPECT_EQ(sample.used_bytes, 90 * kMega);
}

}  // namespace
}  // namespace om::app
