#include "base/memory/governor.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <vector>

namespace om {
namespace {

constexpr uint64_t kGigabyte = 1'000'000'000;

MemorySample used(double part) {
  return {.limit_bytes = 10 * kGigabyte,
          .used_bytes = static_cast<uint64_t>(part * 10 * static_cast<double>(kGigabyte))};
}

// Remembers what it was asked for.
class RecordingPool final : public Pool {
 public:
  RecordingPool() : Pool("test_recording", 100) {}
  size_t trim(double fraction) override {
    fractions.push_back(fraction);
    return 7;
  }
  std::vector<double> fractions;
};

TEST(MemoryGovernor, DoesNothingWhileThereIsRoom) {
  RecordingPool pool;
  MemoryGovernor governor;
  governor.add(pool);
  for (int i = 0; i < 10; i++) {
    const auto outcome = governor.observe(used(0.84));
    EXPECT_EQ(outcome.level, MemoryLevel::normal);
    EXPECT_FALSE(outcome.changed);
  }
  EXPECT_TRUE(pool.fractions.empty());
}

TEST(MemoryGovernor, TrimsMoreEachTimeWhileThePressureLasts) {
  RecordingPool pool;
  MemoryGovernor governor;
  int handed_back = 0;
  governor.add(pool);
  governor.set_after_trim([&] { handed_back++; });
  const auto first = governor.observe(used(0.9));
  EXPECT_EQ(first.level, MemoryLevel::trim);
  EXPECT_TRUE(first.changed);
  EXPECT_EQ(first.trimmed_bytes, 7u);
  for (int i = 0; i < 3; i++) governor.observe(used(0.9));
  EXPECT_EQ(pool.fractions, (std::vector<double>{0.25, 0.5, 1, 1}));
  EXPECT_EQ(handed_back, 4);
  EXPECT_FALSE(governor.shedding());
}

TEST(MemoryGovernor, ComesDownOneLevelAtATimeAfterCalmSamples) {
  MemoryGovernor governor({.calm_samples = 3});
  EXPECT_EQ(governor.observe(used(0.96)).level, MemoryLevel::shed);
  EXPECT_TRUE(governor.shedding());
  std::vector<MemoryLevel> levels;
  for (int i = 0; i < 6; i++) levels.push_back(governor.observe(used(0.5)).level);
  using enum MemoryLevel;
  EXPECT_EQ(levels, (std::vector{shed, shed, trim, trim, trim, normal}));
}

TEST(MemoryGovernor, DoesNotSwingBetweenTheThresholds) {
  RecordingPool pool;
  MemoryGovernor governor({.calm_samples = 2});
  governor.add(pool);
  governor.observe(used(0.86));
  // Below the threshold, above its release point: stays, without trimming on.
  for (int i = 0; i < 20; i++) EXPECT_EQ(governor.observe(used(0.8)).level, MemoryLevel::trim);
  EXPECT_EQ(pool.fractions.size(), 1u);
}

TEST(MemoryGovernor, APeakInBetweenStartsTheCalmAgain) {
  MemoryGovernor governor({.calm_samples = 3});
  governor.observe(used(0.9));
  governor.observe(used(0.1));
  governor.observe(used(0.1));
  governor.observe(used(0.9));
  governor.observe(used(0.1));
  EXPECT_EQ(governor.observe(used(0.1)).level, MemoryLevel::trim);
  EXPECT_EQ(governor.observe(used(0.1)).level, MemoryLevel::normal);
}

TEST(MemoryGovernor, ListensToPressureAndToItsOwnSize) {
  EXPECT_EQ(MemoryGovernor().observe({.some_avg10 = 12}).level, MemoryLevel::trim);
  EXPECT_EQ(MemoryGovernor().observe({.some_avg10 = 60, .full_avg10 = 30}).level,
            MemoryLevel::shed);
  EXPECT_EQ(MemoryGovernor().observe({.own_bytes = 170'000'000}).level, MemoryLevel::trim);
  EXPECT_EQ(MemoryGovernor().observe({.own_bytes = 2 * kGigabyte}).level, MemoryLevel::shed);
  EXPECT_EQ(MemoryGovernor().observe({}).level, MemoryLevel::normal);
}

RC_GTEST_PROP(MemoryGovernor, NeverShedsBelowItsThresholdsAndAlwaysCalmsDown,
              (const std::vector<uint8_t>& parts)) {
  MemoryGovernor governor;
  auto before = governor.level();
  for (const uint8_t part : parts) {
    const double share = part / 255.0;
    const auto outcome = governor.observe(used(share));
    if (outcome.level > before) RC_ASSERT(share >= 0.85 - 1e-9);
    if (outcome.level == MemoryLevel::shed && before != MemoryLevel::shed) {
      RC_ASSERT(share >= 0.95 - 1e-9);
    }
    RC_ASSERT(static_cast<int>(before) - static_cast<int>(outcome.level) <= 1);
    before = outcome.level;
  }
  for (int i = 0; i < 10; i++) governor.observe(used(0.1));
  RC_ASSERT(governor.level() == MemoryLevel::normal);
}

TEST(MemorySample, ReadsPressure) {
  const auto pressure = parse_pressure(
      "some avg10=1.53 avg60=0.87 avg300=0.25 total=193\nfull avg10=0.40 avg60=0.1 avg300=0.00 "
      "total=7\n");
  ASSERT_TRUE(pressure);
  EXPECT_DOUBLE_EQ(pressure->some_avg10, 1.53);
  EXPECT_DOUBLE_EQ(pressure->full_avg10, 0.40);
  for (const auto* text : {"", "some", "some avg10=x", "full avg10=1.0", "some avg10=nan"}) {
    EXPECT_EQ(parse_pressure(text).error().code, Errc::corrupt) << text;
  }
}

TEST(MemorySample, FindsItsCgroup) {
  const auto v2 = parse_cgroup_paths("0::/system.slice/a:b.service\n");
  EXPECT_EQ(v2.unified, "/system.slice/a:b.service");
  EXPECT_EQ(v2.memory_v1, std::nullopt);
  const auto v1 = parse_cgroup_paths("8:pids:/\n4:cpu,memory:/box/1\n0::/\n");
  EXPECT_EQ(v1.memory_v1, "/box/1");
  EXPECT_EQ(v1.unified, "/");
  EXPECT_EQ(parse_cgroup_paths("nonsense").unified, std::nullopt);
}

TEST(MemorySample, ReadsLimitsOfBothVersions) {
  EXPECT_EQ(*parse_cgroup_limit("max\n"), std::nullopt);
  EXPECT_EQ(*parse_cgroup_limit("9223372036854771712\n"), std::nullopt);
  EXPECT_EQ(*parse_cgroup_limit("536870912\n"), 536870912u);
  EXPECT_EQ(parse_cgroup_limit("lots\n").error().code, Errc::corrupt);
  EXPECT_EQ(parse_cgroup_usage("").error().code, Errc::corrupt);
}

TEST(MemorySample, ReadsFileCacheResidentAndMachineMemory) {
  EXPECT_EQ(*parse_file_cache_bytes("anon 5\nfile 9\ninactive_file 4\nactive_file 3\n"), 7u);
  EXPECT_EQ(*parse_file_cache_bytes("active_file 1\ninactive_file 1\ntotal_active_file 30\n"
                                    "total_inactive_file 12\n"),
            42u);
  EXPECT_FALSE(parse_file_cache_bytes("anon 5\n"));
  EXPECT_EQ(*parse_resident_bytes("Name:\tx\nVmRSS:\t    2048 kB\nThreads:\t1\n"), 2048u * 1024);
  EXPECT_FALSE(parse_resident_bytes("VmRSS:\t 99999999999999999999 kB\n"));
  const auto machine =
      parse_machine_memory("MemTotal:  8000 kB\nMemFree: 10 kB\nMemAvailable:  6000 kB\n");
  ASSERT_TRUE(machine);
  EXPECT_EQ(machine->total_bytes, 8000u * 1024);
  EXPECT_EQ(machine->available_bytes, 6000u * 1024);
}

}  // namespace
}  // namespace om
