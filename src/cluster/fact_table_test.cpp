#include "cluster/fact_table.h"

#include "cluster/members.h"
#include "cluster/metadata_for_test.h"

namespace om::cluster {
namespace {

using std::chrono::seconds;
using testing::Bench;

constexpr const char* kFile = "/tmp/facts.json";

std::string value_of(const FactTable& table, const std::string& key) {
  const Fact* fact = table.find(key);
  return fact ? fact->value : "-";
}

TEST(FactTable, FollowsItsPrefixAndNothingElse) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    co_await bench.put("/a/1", "before");
    co_await bench.put("/b/1", "other");
    FactTable table(bench.world(), *bench.metadata, "/a/", kFile);
    table.start();
    EXPECT_FALSE(table.synced());
    const auto synced = co_await table.wait_synced(bench.call());
    EXPECT_TRUE(synced.has_value());
    EXPECT_EQ(value_of(table, "1"), "before");
    co_await bench.put("/a/2", "after");
    co_await bench.put("/a/1", "changed");
    co_await bench.sleep(seconds(1));
    EXPECT_EQ(value_of(table, "2"), "after");
    EXPECT_EQ(value_of(table, "1"), "changed");
    co_await bench.remove("/a/1");
    co_await bench.sleep(seconds(1));
    EXPECT_EQ(table.facts().size(), 1u);
    co_await table.stop();
  });
}

TEST(FactTable, AnswersFromItsFileAfterARestartWithoutAMajority) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    co_await bench.put("/a/1", "kept \"safe\"");
    {
      FactTable table(bench.world(), *bench.metadata, "/a/", kFile);
      table.start();
      const auto synced = co_await table.wait_synced(bench.call());
      EXPECT_TRUE(synced.has_value());
      co_await bench.put("/a/2", "watched");
      co_await bench.sleep(seconds(1));
      co_await table.stop();
    }
    bench.metadata->away = true;
    FactTable table(bench.world(), *bench.metadata, "/a/", kFile);
    table.start();
    EXPECT_EQ(value_of(table, "1"), "kept \"safe\"");
    EXPECT_EQ(value_of(table, "2"), "watched");
    const auto synced = co_await table.wait_synced(bench.call());
    EXPECT_FALSE(synced.has_value());
    EXPECT_EQ(value_of(table, "1"), "kept \"safe\"");
    bench.metadata->away = false;
    const auto now = co_await table.wait_synced(bench.call());
    EXPECT_TRUE(now.has_value());
    co_await table.stop();
  });
}

// A disk that does nothing until it is let go.
class StuckWorkers final : public io::Workers {
 public:
  explicit StuckWorkers(io::Clock& clock) : freed_(clock) {}
  void free() {
    stuck_ = false;
    freed_.notify_all();
  }

 protected:
  io::Task<void> post(std::function<void()> job) override {
    while (stuck_) (void)co_await freed_.wait();
    job();
  }

 private:
  bool stuck_ = true;
  io::Event freed_;
};

io::Task<void> stop_and_tell(FactTable& table, bool& stopped) {
  co_await table.stop();
  stopped = true;
}

TEST(FactTable, IsNotHeldUpByItsDiskAndHasWrittenAllWhenItStops) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    StuckWorkers workers(bench.sim.clock());
    const io::World& world = bench.world();
    io::World stuck{world.executor, world.clock,     world.random, world.network,
                    world.files,    world.processes, workers};
    co_await bench.put("/a/1", "first");
    FactTable table(stuck, *bench.metadata, "/a/", kFile);
    table.start();
    const auto synced = co_await table.wait_synced(bench.call());
    EXPECT_TRUE(synced.has_value());
    co_await bench.put("/a/2", "second");
    co_await bench.sleep(seconds(1));
    EXPECT_EQ(value_of(table, "2"), "second");
    EXPECT_FALSE(world.files.exists(kFile));
    bool stopped = false;
    io::TaskGroup stopping(world.executor, world.clock);
    stopping.spawn(stop_and_tell(table, stopped));
    co_await bench.sleep(seconds(1));
    EXPECT_FALSE(stopped);
    workers.free();
    co_await stopping.wait();
    const auto written = world.files.read_file(kFile, 1000);
    CO_ASSERT(written.has_value());
    EXPECT_EQ(*written, R"({"1":"first","2":"second"})");
  });
}

TEST(FactTable, NoticesWhatWasRemovedWhileItDidNotLook) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    co_await bench.put("/a/1", "stays");
    co_await bench.put("/a/2", "goes");
    {
      FactTable table(bench.world(), *bench.metadata, "/a/", kFile);
      table.start();
      const auto synced = co_await table.wait_synced(bench.call());
      EXPECT_TRUE(synced.has_value());
      co_await table.stop();
    }
    co_await bench.remove("/a/2");
    FactTable table(bench.world(), *bench.metadata, "/a/", kFile);
    std::vector<std::string> gone;
    table.on_change([&gone](const std::string& key, const std::string* value) {
      if (!value) gone.push_back(key);
    });
    table.start();
    EXPECT_EQ(value_of(table, "2"), "goes");  // Not known better yet.
    const auto synced = co_await table.wait_synced(bench.call());
    EXPECT_TRUE(synced.has_value());
    EXPECT_EQ(value_of(table, "2"), "-");
    EXPECT_EQ(value_of(table, "1"), "stays");
    EXPECT_EQ(gone, std::vector<std::string>{"2"});
    co_await table.stop();
  });
}

TEST(FactTable, CatchesUpWhenTheMetadataComeBack) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    co_await bench.put("/a/1", "old");
    FactTable table(bench.world(), *bench.metadata, "/a/", kFile);
    table.start();
    const auto synced = co_await table.wait_synced(bench.call());
    EXPECT_TRUE(synced.has_value());
    bench.metadata->away = true;
    co_await bench.sleep(seconds(30));
    bench.metadata->away = false;
    co_await bench.remove("/a/1");
    co_await bench.put("/a/2", "new");
    co_await bench.sleep(seconds(2));
    EXPECT_EQ(value_of(table, "1"), "-");
    EXPECT_EQ(value_of(table, "2"), "new");
    co_await table.stop();
  });
}

// A backup of the user's own etcd is restored while the node runs: revisions go back.
TEST(FactTable, FollowsFactsThatWereRestored) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    for (int i = 0; i < 20; i++) co_await bench.put("/a/1", fmt::format("{}", i));
    co_await bench.put("/a/2", "after the backup");
    FactTable table(bench.world(), *bench.metadata, "/a/", kFile);
    table.start();
    const auto synced = co_await table.wait_synced(bench.call());
    EXPECT_TRUE(synced.has_value());
    auto backup = co_await metadata::open_sqlite(bench.world(), ":memory:");
    CO_ASSERT(backup.has_value());
    const auto before = bench.metadata->replace(std::move(*backup));
    co_await bench.put("/a/1", "backup");
    metadata::Transaction last;
    last.operations.push_back(metadata::Operation::put("/a/3", "last"));
    EXPECT_TRUE((co_await before->commit(std::move(last), bench.call())).has_value());
    co_await bench.sleep(seconds(1));
    EXPECT_EQ(value_of(table, "1"), "backup");
    EXPECT_EQ(value_of(table, "2"), "-");
    co_await bench.put("/a/1", "changed");
    co_await bench.put("/a/2", "made again");
    co_await bench.sleep(seconds(1));
    EXPECT_EQ(value_of(table, "1"), "changed");
    EXPECT_EQ(value_of(table, "2"), "made again");
    co_await table.stop();
    co_await before->stop();
  });
}

// Meanwhile so much has changed that their revisions are higher than the old ones.
TEST(FactTable, FollowsRestoredFactsThatHavePassedTheOldOnes) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    co_await bench.put("/a/2", "removed after the backup");
    FactTable table(bench.world(), *bench.metadata, "/a/", kFile);
    table.start();
    const auto synced = co_await table.wait_synced(bench.call());
    EXPECT_TRUE(synced.has_value());
    for (int i = 0; i < 20; i++) co_await bench.put("/a/1", fmt::format("{}", i));
    co_await bench.remove("/a/2");
    co_await bench.sleep(seconds(1));
    EXPECT_EQ(value_of(table, "2"), "-");
    auto backup = co_await metadata::open_sqlite(bench.world(), ":memory:");
    CO_ASSERT(backup.has_value());
    const auto before = bench.metadata->replace(std::move(*backup));
    co_await bench.put("/a/1", "backup");
    co_await bench.put("/a/2", "backup");
    for (int i = 0; i < 40; i++) co_await bench.put("/b/1", "passes them");
    metadata::Transaction last;
    last.operations.push_back(metadata::Operation::put("/a/3", "last"));
    EXPECT_TRUE((co_await before->commit(std::move(last), bench.call())).has_value());
    co_await bench.sleep(seconds(1));
    EXPECT_EQ(value_of(table, "1"), "backup");
    EXPECT_EQ(value_of(table, "2"), "backup");
    co_await table.stop();
    co_await before->stop();
  });
}

TEST(FactTable, OwnCommitsAreSeenAtOnceAndOlderNewsChangesNothing) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    FactTable table(bench.world(), *bench.metadata, "/a/", kFile);
    int changes = 0;
    table.on_change([&changes](const std::string&, const std::string*) { changes++; });
    const std::string first = "first", second = "second";
    table.apply("1", &second, 20);
    table.apply("1", &first, 10);  // The watch is behind.
    table.apply("1", &second, 20);
    EXPECT_EQ(value_of(table, "1"), "second");
    EXPECT_EQ(changes, 1);
    table.apply("1", nullptr, 30);
    table.apply("1", &second, 20);
    EXPECT_EQ(value_of(table, "1"), "-");
    EXPECT_EQ(changes, 2);
    co_return;
  });
}

TEST(FactTable, ADamagedFileIsNoLoss) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    EXPECT_TRUE(bench.world().files.write_file(kFile, "{\"1\":\"hal").has_value());
    co_await bench.put("/a/1", "whole");
    FactTable table(bench.world(), *bench.metadata, "/a/", kFile);
    table.start();
    EXPECT_TRUE(table.facts().empty());
    const auto synced = co_await table.wait_synced(bench.call());
    EXPECT_TRUE(synced.has_value());
    EXPECT_EQ(value_of(table, "1"), "whole");
    co_await table.stop();
  });
}

Member member(std::string name) {
  Member member;
  member.name = std::move(name);
  member.peer = io::Endpoint::tcp("10.0.0.1", 11435);
  return member;
}

TEST(Members, ChangesARecordThatSomebodyElseChangesToo) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    co_await bench.put("/nodes/blue", write_member(member("blue")));
    Members here(bench.world(), *bench.metadata, "/tmp/here.json");
    Members there(bench.world(), *bench.metadata, "/tmp/there.json");
    here.start();
    there.start();
    const auto synced = co_await here.facts().wait_synced(bench.call());
    EXPECT_TRUE(synced.has_value());
    const auto drained =
        co_await here.update("blue", [](Member& m) { m.draining = true; }, bench.call());
    EXPECT_TRUE(drained.has_value());
    EXPECT_TRUE(here.find("blue")->draining);
    const auto promoted =
        co_await there.update("blue", [](Member& m) { m.voter = true; }, bench.call());
    EXPECT_TRUE(promoted.has_value());
    co_await bench.sleep(seconds(1));
    EXPECT_TRUE(here.find("blue")->draining && here.find("blue")->voter);
    co_await here.stop();
    co_await there.stop();
  });
}

TEST(Members, ANodeThatIsNoMemberIsNotFound) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    Members members(bench.world(), *bench.metadata, "/tmp/members.json");
    const auto updated = co_await members.update("red", [](Member&) {}, bench.call());
    CO_ASSERT(!updated.has_value());
    EXPECT_EQ(updated.error().code, Errc::not_found);
    const auto removed = co_await members.remove("red", bench.call());
    CO_ASSERT(!removed.has_value());
    EXPECT_EQ(removed.error().code, Errc::not_found);
  });
}

TEST(Members, ARemovedOneIsGoneAtOnceAndNothingChangesWithoutAMajority) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    co_await bench.put("/nodes/blue", write_member(member("blue")));
    Members members(bench.world(), *bench.metadata, "/tmp/members.json");
    members.start();
    const auto synced = co_await members.facts().wait_synced(bench.call());
    EXPECT_TRUE(synced.has_value());
    bench.metadata->away = true;
    const auto refused = co_await members.remove("blue", bench.call());
    CO_ASSERT(!refused.has_value());
    EXPECT_EQ(refused.error().code, Errc::not_leader);
    EXPECT_NE(members.find("blue"), nullptr);
    bench.metadata->away = false;
    const auto removed = co_await members.remove("blue", bench.call());
    EXPECT_TRUE(removed.has_value());
    EXPECT_TRUE(members.list().empty());
    co_await members.stop();
  });
}

}  // namespace
}  // namespace om::cluster
