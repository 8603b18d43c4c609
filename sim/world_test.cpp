// The simulated world itself: it must be repeatable, and as forgetful as promised.
#include "sim/world.h"

#include <gtest/gtest.h>

#include "io/task_group.h"

namespace om::sim {
namespace {

using std::chrono::seconds;

io::Task<void> serve_echo(io::Listener& listener) {
  auto stream = co_await listener.accept();
  if (!stream) co_return;
  std::array<char, 4096> buffer;
  while (true) {
    const auto count = co_await (*stream)->read_some(buffer);
    if (!count || *count == 0) co_return;
    const auto written = co_await (*stream)->write(std::string_view(buffer.data(), *count));
    if (!written) co_return;
  }
}

io::Task<void> talk(World& world, std::string& back, io::TimePoint& end) {
  auto listener = world.network().listen(io::Endpoint::tcp("127.0.0.1", 0), nullptr);
  io::TaskGroup group(world.world().executor, world.clock());
  group.spawn(serve_echo(**listener));
  auto stream = co_await world.network().connect((*listener)->local(), nullptr, {});
  EXPECT_TRUE(stream.has_value());
  const auto written = co_await (*stream)->write(std::string(10'000, 'x'));
  EXPECT_TRUE(written.has_value());
  std::array<char, 4096> buffer;
  while (back.size() < 10'000) {
    const auto count = co_await (*stream)->read_some(buffer);
    EXPECT_TRUE(count.has_value());
    if (!count) break;
    back.append(buffer.data(), *count);
  }
  end = world.clock().now();
  stream->reset();
  co_await group.wait();
}

TEST(SimulatedWorld, RepeatsARunFromItsSeed) {
  std::set<io::TimePoint> ends;
  for (int i = 0; i < 3; i++) {
    World world(7);
    world.network().faults.slice_max = 69;
    std::string back;
    io::TimePoint end{};
    world.run(talk(world, back, end));
    EXPECT_EQ(back, std::string(10'000, 'x'));
    ends.insert(end);
  }
  EXPECT_EQ(ends.size(), 1u);
}

io::Task<void> sleep_long(World& world) {
  const auto slept = co_await world.clock().sleep_for(std::chrono::hours(5));
  EXPECT_TRUE(slept.has_value());
}

TEST(SimulatedWorld, JumpsOverIdleTime) {
  World world(1);
  const auto start = world.clock().now();
  world.run(sleep_long(world));
  EXPECT_EQ(world.clock().now() - start, std::chrono::hours(5));
}

TEST(SimulatedFilesystem, ForgetsWhatWasNotSyncedWhenItCrashes) {
  World world(1);
  SimFilesystem& files = world.files();
  ASSERT_TRUE(files.make_directories("/d").has_value());
  ASSERT_TRUE(files.write_file("/d/kept", "kept").has_value());
  {
    auto file = files.open("/d/lost", io::Filesystem::Open::create);
    ASSERT_TRUE((*file)->write_at(0, "lost").has_value());
    ASSERT_TRUE((*file)->sync().has_value());  // The bytes, but not the name.
  }
  {
    auto file = files.open("/d/kept", io::Filesystem::Open::read_write);
    ASSERT_TRUE((*file)->write_at(0, "torn").has_value());
  }
  files.crash();
  EXPECT_EQ(files.read_file("/d/kept", 100).value(), "kept");
  EXPECT_EQ(files.read_file("/d/lost", 100).error().code, Errc::not_found);
}

void write_unsynced(SimFilesystem& files, const io::Path& path, std::string_view data) {
  auto file = files.open(path, io::Filesystem::Open::create);
  ASSERT_TRUE((*file)->write_at(0, data).has_value());
}

TEST(SimulatedFilesystem, KeepsLosesAndTearsWhatWasNotSyncedByDraws) {
  std::set<std::string> found;
  const std::string before(1024, 'o');
  for (uint64_t seed = 1; seed <= 50; seed++) {
    World world(seed);
    SimFilesystem& files = world.files();
    ASSERT_TRUE(files.write_file("/tmp/f", before).has_value());
    ASSERT_TRUE(files.write_file("/tmp/moved", "m").has_value());
    write_unsynced(files, "/tmp/f", std::string(2048, 'n'));
    ASSERT_TRUE(files.rename("/tmp/moved", "/tmp/here").has_value());
    files.crash(world.random());
    ASSERT_NE(files.exists("/tmp/moved"), files.exists("/tmp/here")) << "a file is lost";
    found.insert(files.exists("/tmp/here") ? "moved" : "not moved");
    const std::string data = files.read_file("/tmp/f", 4096).value();
    if (data == before) found.insert("old");
    if (data == std::string(2048, 'n')) found.insert("new");
    if (data.contains('o') && data.contains('n')) found.insert("torn");
    if (data.contains('\0')) found.insert("zeros");
  }
  EXPECT_EQ(found, (std::set<std::string>{"moved", "new", "not moved", "old", "torn", "zeros"}));
}

TEST(SimulatedFilesystem, FillsUp) {
  World world(1);
  world.files().set_space(10);
  const auto written = world.files().write_file("/tmp/large", "more than ten bytes");
  ASSERT_FALSE(written.has_value());
  EXPECT_EQ(written.error().code, Errc::io_failed);
  const auto file = world.files().open("/tmp/f", io::Filesystem::Open::create);
  EXPECT_FALSE((*file)->write_at(0, "more than ten bytes").has_value());
  EXPECT_EQ(world.files().read_file("/tmp/f", 100).value(), "more than ");
}

// Every point at which the power can go out leaves the old file or the new one, never a mix.
TEST(Filesystem, ReplacesAFileAtOnceWhereverThePowerGoesOut) {
  for (uint64_t point = 1; point < 10; point++) {
    World world(1);
    SimFilesystem& files = world.files();
    ASSERT_TRUE(files.write_file("/tmp/f", "old").has_value());
    files.fail_from_call(point);
    const bool told_written = files.write_file("/tmp/f", "new").has_value();
    files.crash();
    const std::string found = files.read_file("/tmp/f", 100).value();
    EXPECT_TRUE(found == "old" || found == "new") << found;
    if (told_written) EXPECT_EQ(found, "new");
  }
}

io::Task<void> ticking(io::Clock& clock, std::shared_ptr<Program> program) {
  for (int i = 0; i < 3; i++) {
    program->print("tick " + program->argument("--name"));
    const auto slept =
        co_await clock.sleep_for(seconds(1), io::Call{io::kNever, program->killed()});
    if (!slept) co_return;
  }
  program->exit(4);
}

struct TickingMain {
  io::Clock& clock;
  io::Task<void> operator()(std::shared_ptr<Program> program) const {
    return ticking(clock, std::move(program));
  }
};

io::Task<void> run_child(World& world, int& lines, io::ExitStatus& status) {
  io::SpawnOptions options;
  options.argv = {"/bin/ticking", "--name", "x"};
  auto child = world.processes().spawn(std::move(options));
  while (true) {
    const auto line = co_await (*child)->read_line({});
    if (!line || !*line) break;
    EXPECT_EQ(**line, "tick x");
    lines++;
  }
  const auto ended = co_await (*child)->wait({});
  status = ended.value();
}

TEST(SimulatedProcesses, RunAsCoroutines) {
  World world(1);
  world.processes().install("/bin/ticking", TickingMain{world.clock()});
  int lines = 0;
  io::ExitStatus status;
  world.run(run_child(world, lines, status));
  EXPECT_EQ(lines, 3);
  EXPECT_EQ(status.code, 4);
}

}  // namespace
}  // namespace om::sim
