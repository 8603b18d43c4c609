// What SQLite adds to the contract: the file outlives the process, whatever ends it.
#include "metadata/sqlite/sqlite_metadata.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "io/real.h"
#include "io/task_group.h"
#include "metadata/testing/contract.h"

namespace om::metadata::testing {
namespace {

io::Task<void> write_history(Bench& bench, int i) {
  co_await put(bench, "history", std::to_string(i));
}

// A file in a fresh folder of the real file system.
class SqliteForTest final : public EngineForTest {
 public:
  SqliteForTest()
      : folder_(std::filesystem::temp_directory_path() /
                fmt::format("metadata-test-{}", world_.world().random.letters(12))) {
    std::filesystem::create_directories(folder_);
    file_ = folder_ / "metadata.db";
  }
  // A file that is there, of another object's folder.
  explicit SqliteForTest(std::string file) : file_(std::move(file)) {}
  ~SqliteForTest() override {
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }

  io::World& world() override { return world_.world(); }
  void run(io::Task<void> task) override { world_.run_until_done(std::move(task)); }
  std::string file() const { return file_; }

  io::Task<std::unique_ptr<Metadata>> open() override {
    co_return ok(co_await open_sqlite(world(), file(), {.event_revisions_max = 300}));
  }
  io::Task<void> forget_history(Metadata& metadata) override {
    Bench bench{*this, metadata};
    io::TaskGroup group(world().executor, world().clock);
    for (int i = 0; i < 350; i++) group.spawn(write_history(bench, i));
    co_await group.wait();
  }

 private:
  io::RealWorld world_;
  std::filesystem::path folder_;
  std::string file_;
};

io::Task<void> restart(SqliteForTest& engine) {
  Transaction transaction;
  transaction.request_id = "once";
  transaction.operations = {Operation::put("k", "v")};
  Commit done;
  LeaseId lease = 0;
  {
    const auto metadata = co_await engine.open();
    Bench bench{engine, *metadata};
    done = ok(co_await metadata->commit(transaction, bench.call()));
    lease = ok(co_await metadata->grant(std::chrono::seconds(60), bench.call()));
    co_await put(bench, "leased", "v", lease);
    co_await metadata->stop();
  }
  const auto metadata = co_await engine.open();
  Bench bench{engine, *metadata};
  EXPECT_THAT(co_await texts_of(bench, ""), ElementsAre("k=v", "leased=v"));
  EXPECT_EQ(ok(co_await metadata->commit(transaction, bench.call())).revision, done.revision);
  ok(co_await metadata->keep_alive(lease, bench.call()));
  const auto watch = metadata->watch("k", done.revision);
  EXPECT_THAT(co_await changes_of(bench, *watch, 1), ElementsAre("k=v"));
  EXPECT_GT((co_await put(bench, "k", "w")).revision, done.revision + 1);
  co_await metadata->stop();
}

TEST(SqliteMetadata, KeepsFactsRequestIdsLeasesAndChangesOverARestart) {
  SqliteForTest engine;
  engine.run(restart(engine));
  EXPECT_EQ(std::filesystem::status(engine.file()).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

io::Task<void> lease_restarts(SqliteForTest& engine) {
  for (int i = 0; i < 3; i++) {
    const auto metadata = co_await engine.open();
    Bench bench{engine, *metadata};
    if (i == 0) {
      const LeaseId lease = ok(co_await metadata->grant(std::chrono::seconds(1), bench.call()));
      co_await put(bench, "leased", "v", lease);
    }
    EXPECT_EQ(co_await value_of(bench, "leased"), "v");
    if (i == 2) {
      const auto watch = metadata->watch("leased", 0);
      EXPECT_THAT(co_await changes_of(bench, *watch, 1), ElementsAre("leased gone"));
    }
    co_await metadata->stop();
    // Longer than the lease, while nobody counts.
    if (i < 2) ok(co_await engine.world().clock.sleep_for(std::chrono::milliseconds(1100)));
  }
}

TEST(SqliteMetadata, BeginsTheTimeOfALeaseAgainAfterARestart) {
  SqliteForTest engine;
  engine.run(lease_restarts(engine));
}

io::Task<void> open_refused(SqliteForTest& engine, Errc code) {
  auto opened = co_await open_sqlite(engine.world(), engine.file());
  EXPECT_EQ(code_of(opened), code);
  if (opened) co_await (*opened)->stop();
}

io::Task<void> open_twice(SqliteForTest& engine) {
  const auto metadata = co_await engine.open();
  co_await open_refused(engine, Errc::unavailable);
  co_await metadata->stop();
}

TEST(SqliteMetadata, IsRefusedToASecondProcessAndIfTheFileIsForeign) {
  SqliteForTest engine;
  engine.run(open_twice(engine));
  std::ofstream(engine.file(), std::ios::trunc) << std::string(8192, 'x');
  engine.run(open_refused(engine, Errc::corrupt));
}

// While it lives nothing grows a file, as on a full disk.
class FullDisk {
 public:
  FullDisk() {
    before_handler_ = std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit none = before_;
    none.rlim_cur = 0;
    setrlimit(RLIMIT_FSIZE, &none);
  }
  ~FullDisk() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, before_handler_);
  }

 private:
  rlimit before_{};
  void (*before_handler_)(int) = nullptr;
};

io::Task<void> opens_when_full(SqliteForTest& engine) {
  Transaction transaction;
  transaction.request_id = "once";
  transaction.operations = {Operation::put("k", "v")};
  {
    const auto metadata = co_await engine.open();
    Bench bench{engine, *metadata};
    ok(co_await metadata->commit(transaction, bench.call()));
    co_await metadata->stop();
  }
  Result<std::unique_ptr<Metadata>> opened;
  {
    const FullDisk full;
    opened = co_await open_sqlite(engine.world(), engine.file());
  }
  const auto metadata = ok(std::move(opened));
  Bench bench{engine, *metadata};
  EXPECT_EQ(co_await value_of(bench, "k"), "v");
  co_await put(bench, "k", "w");  // There is room again.
  EXPECT_EQ(co_await value_of(bench, "k"), "w");
  co_await metadata->stop();
}

TEST(SqliteMetadata, OpensOnAFullDiskWithAllThatIsThere) {
  SqliteForTest engine;
  engine.run(opens_when_full(engine));
}

io::Task<void> write_version(SqliteForTest& engine) {
  const auto metadata = co_await engine.open();
  co_await metadata->stop();
  // user_version lies at offset 60 of the file, big-endian
  // (https://www.sqlite.org/fileformat.html).
  std::fstream file(engine.file(), std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(63);
  file.put(99);
}

TEST(SqliteMetadata, LeavesTheFileOfANewerVersionAlone) {
  SqliteForTest engine;
  engine.run(write_version(engine));
  engine.run(open_refused(engine, Errc::unsupported));
}

// Tells the number of each write once it was acknowledged.
io::Task<void> write_for_ever(SqliteForTest& engine, int acknowledged) {
  const auto metadata = co_await engine.open();
  Bench bench{engine, *metadata};
  for (int i = 1;; i++) {
    co_await put(bench, "count", std::to_string(i));
    if (::write(acknowledged, &i, sizeof(i)) < 0) ::_exit(1);
  }
}

io::Task<void> count_is(SqliteForTest& engine, int acknowledged) {
  const auto metadata = co_await engine.open();
  Bench bench{engine, *metadata};
  const int count = std::stoi(co_await value_of(bench, "count"));
  EXPECT_GE(count, acknowledged);
  EXPECT_LE(count, acknowledged + 1);  // The one under way may be there, acknowledged or not.
  co_await metadata->stop();
}

TEST(SqliteMetadata, LosesNoAcknowledgedWriteWhenTheProcessIsKilled) {
  const SqliteForTest folder;
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t writer = fork();
  if (writer == 0) {
    SqliteForTest engine(folder.file());
    engine.run(write_for_ever(engine, ends[1]));
  }
  close(ends[1]);
  int acknowledged = 0, number = 0;
  while (acknowledged < 20 && read(ends[0], &number, sizeof(number)) > 0) acknowledged = number;
  kill(writer, SIGKILL);
  waitpid(writer, nullptr, 0);
  while (read(ends[0], &number, sizeof(number)) > 0) acknowledged = number;
  close(ends[0]);
  EXPECT_GE(acknowledged, 20);
  SqliteForTest engine(folder.file());
  engine.run(count_is(engine, acknowledged));
}

io::Task<void> write_at_once(Bench& bench, int key) {
  co_await put(bench, std::to_string(key), "v");
}

io::Task<void> all_at_once(SqliteForTest& engine) {
  const auto metadata = co_await engine.open();
  Bench bench{engine, *metadata};
  io::TaskGroup group(engine.world().executor, engine.world().clock);
  for (int i = 0; i < 300; i++) group.spawn(write_at_once(bench, i));
  co_await group.wait();
  EXPECT_EQ((co_await texts_of(bench, "")).size(), 300u);
  co_await metadata->stop();
}

TEST(SqliteMetadata, WritesWhatWaitsTogether) {
  SqliteForTest engine;
  engine.run(all_at_once(engine));
}

}  // namespace

std::unique_ptr<EngineForTest> sqlite_for_test() { return std::make_unique<SqliteForTest>(); }

}  // namespace om::metadata::testing
