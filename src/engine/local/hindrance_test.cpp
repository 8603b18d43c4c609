// What the kernel's counters tell of a child.
#include "engine/local/hindrance.h"

#include <gtest/gtest.h>

#include "sim/world.h"

namespace om::engine {
namespace {

using std::chrono::seconds;

TEST(Hindrance, IsReadFromTheKernelsCounters) {
  const ThreadWork work =
      parse_work("300 400 5\n", "7 (a) b (c) S 1 7 7 0 -1 4194304 210 0 31 0 12 3 0 0 20 0 4 0\n");
  EXPECT_EQ(work.ran, 300u);
  EXPECT_EQ(work.waited, 400u);
  EXPECT_EQ(work.page_reads, 31u);
  EXPECT_EQ(work.state, 'S');
  for (const char* nonsense : {"", "nonsense", "7 (a) "}) {
    const ThreadWork nothing = parse_work("", nonsense);
    EXPECT_EQ(nothing.ran + nothing.waited + nothing.page_reads, 0u);
    EXPECT_EQ(nothing.state, 0);
  }
}

constexpr uint64_t kSecond = 1'000'000'000;
constexpr ThreadWork kSleeps{.ran = 5 * kSecond, .waited = kSecond, .page_reads = 10, .state = 'S'};

// Of two threads, the second of which became so in a second.
ChildLook look_at(ThreadWork after) {
  return compare({{"7", kSleeps}, {"8", kSleeps}}, {{"7", kSleeps}, {"8", after}}, seconds(1));
}

TEST(Hindrance, IsThatOfAnyThread) {
  EXPECT_EQ(look_at(kSleeps).free_share, 1) << "it hangs";
  ThreadWork work = kSleeps;
  work.waited += kSecond * 9 / 10;
  EXPECT_DOUBLE_EQ(look_at(work).free_share, 0.1);
  work.waited += 8 * kSecond;
  EXPECT_EQ(look_at(work).free_share, 0);
  work = kSleeps;
  work.page_reads++;
  EXPECT_EQ(look_at(work).free_share, 0);
  EXPECT_EQ(look_at({}).free_share, 1) << "the counters are gone";
  EXPECT_EQ(compare({}, {}, seconds(1)).free_share, 1);
}

// The kernel tells of a wait once it is over.
TEST(Hindrance, IsAWaitThatGoesOn) {
  ThreadWork wants = kSleeps;
  wants.state = 'R';
  EXPECT_EQ(compare({{"7", wants}}, {{"7", wants}}, seconds(1)).free_share, 0);
}

TEST(Hindrance, TakesAChildForIdleThatDidNothing) {
  EXPECT_TRUE(look_at(kSleeps).idle);
  ThreadWork work = kSleeps;
  work.ran += kSecond / 1000;
  EXPECT_TRUE(look_at(work).idle) << "it looked whether its connections live";
  work.state = 'T';
  EXPECT_TRUE(look_at(work).idle);
}

TEST(Hindrance, TakesNoChildForIdleThatRanWaitedOrRead) {
  for (const char state : {'R', 'D', '\0'}) {
    ThreadWork work = kSleeps;
    work.state = state;
    EXPECT_FALSE(look_at(work).idle) << state;
  }
  for (const auto counter : {&ThreadWork::ran, &ThreadWork::waited}) {
    ThreadWork work = kSleeps;
    work.*counter += kSecond / 10;
    EXPECT_FALSE(look_at(work).idle);
  }
  ThreadWork work = kSleeps;
  work.page_reads++;
  EXPECT_FALSE(look_at(work).idle);
}

TEST(Hindrance, TakesNoChildForIdleWhereTheKernelTellsNothing) {
  ThreadWork starter = kSleeps;
  starter.ran = kSecond / 100;
  EXPECT_FALSE(compare({{"7", starter}}, {{"7", starter}}, seconds(1)).idle);
  ThreadWork silent = kSleeps;
  silent.ran = silent.waited = 0;
  EXPECT_FALSE(compare({{"7", silent}}, {{"7", silent}}, seconds(1)).idle);
  EXPECT_FALSE(compare({}, {}, seconds(1)).idle);
  EXPECT_FALSE(compare({{"7", kSleeps}}, {}, seconds(1)).idle);
  EXPECT_FALSE(compare({{"7", kSleeps}}, {{"7", kSleeps}, {"8", kSleeps}}, seconds(1)).idle);
  EXPECT_FALSE(compare({{"7", kSleeps}}, {{"7", kSleeps}}, io::Duration{}).idle);
}

TEST(Hindrance, IsReadOfEachThread) {
  sim::World sim(1);
  io::Filesystem& files = sim.world().files;
  const auto put = [&files](const std::string& path, std::string_view text) {
    EXPECT_TRUE(files.make_directories(io::parent(path)));
    EXPECT_TRUE(files.write_file(path, text));
  };
  Hindrance hindrance;
  EXPECT_FALSE(hindrance.look(files, 7, seconds(1)).idle) << "no such child";
  for (const char* thread : {"7", "8"}) {
    const std::string folder = std::string("/proc/7/task/") + thread;
    put(folder + "/schedstat", "60000000 400 5\n");
    put(folder + "/stat", "7 (a) S 1 7 7 0 -1 4194304 210 0 31 0 12 3 0 0 20 0 4 0\n");
  }
  EXPECT_FALSE(hindrance.look(files, 7, seconds(1)).idle) << "it is looked at for the first time";
  EXPECT_TRUE(hindrance.look(files, 7, seconds(1)).idle);
  put("/proc/7/task/8/children", "");
  EXPECT_TRUE(hindrance.look(files, 7, seconds(1)).idle);
  put("/proc/7/task/8/children", "9 ");
  EXPECT_FALSE(hindrance.look(files, 7, seconds(1)).idle) << "it waits for what it started";
  put("/proc/7/task/8/schedstat", "60000000 500000400 5\n");
  const ChildLook look = hindrance.look(files, 7, seconds(1));
  EXPECT_DOUBLE_EQ(look.free_share, 0.5);
  EXPECT_FALSE(look.idle);
}

TEST(Hindrance, KnowsWhatWasRead) {
  sim::World sim(1);
  io::Filesystem& files = sim.world().files;
  EXPECT_EQ(read_bytes(files, 7), 0u);
  EXPECT_TRUE(files.make_directories("/proc/7"));
  EXPECT_TRUE(files.write_file("/proc/7/io", "rchar: 100\nwchar: 7\nread_bytes: 20\n"));
  EXPECT_TRUE(files.write_file("/proc/7/stat", "7 (a) S 1 7 7 0 -1 4194304 210 0 3 0 12 3\n"));
  EXPECT_EQ(read_bytes(files, 7), 120u + 3 * 4096);
}

}  // namespace
}  // namespace om::engine
