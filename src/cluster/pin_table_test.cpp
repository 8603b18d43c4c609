#include "cluster/pin_table.h"

#include "cluster/members.h"
#include "cluster/metadata_for_test.h"

namespace om::cluster {
namespace {

using std::chrono::seconds;
using testing::Bench;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kFile = "/tmp/pins.json";
const std::string kFox = "registry.ollama.ai/library/fox:latest";
const std::string kHen = "host:5000/farm/hen:1b";

bool is_n2(const std::string& name) { return name == "n2"; }

TEST(Pin, IsReadFromItsKey) {
  EXPECT_EQ(read_pin("n1/" + kFox), (Pin{"n1", kFox}));
  EXPECT_EQ(read_pin("a/b/" + kHen), (Pin{"a/b", kHen})) << "a node by itself may be called so";
  for (const char* key : {"", "/", "n1", "n1/fox", "n1/library/fox:latest", "/a/b/c:d", "///",
                          "n1/registry.ollama.ai/library/fox", "n1/a/b/ :x"}) {
    EXPECT_FALSE(read_pin(key)) << key;
  }
}

TEST(PinTable, KeepsPinsOverARestartAlsoWithoutAMajority) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    {
      PinTable table(bench.world(), *bench.metadata, "n1", kFile, is_n2);
      table.start();
      std::vector<Pin> pins{{"n1", kFox}, {"n2", kFox}, {"n1", kHen}};
      EXPECT_TRUE(co_await table.add(std::move(pins), bench.call()));
      EXPECT_THAT(table.own(), ElementsAre(kHen, kFox));
      co_await bench.sleep(seconds(1));
      co_await table.stop();
    }
    bench.metadata->away = true;
    PinTable table(bench.world(), *bench.metadata, "n1", kFile, is_n2);
    table.start();
    EXPECT_THAT(table.own(), ElementsAre(kHen, kFox));
    const auto refused = co_await table.remove_model(kFox, bench.call());
    EXPECT_FALSE(refused) << "nothing changes without a majority";
    EXPECT_EQ(table.list().size(), 3u);
    co_await table.stop();
  });
}

TEST(PinTable, RefusesNodesThatThereAreNot) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    PinTable table(bench.world(), *bench.metadata, "n1", {}, is_n2);
    table.start();
    std::vector<Pin> pins{{"n1", kFox}, {"n3", kFox}};
    const auto refused = co_await table.add(std::move(pins), bench.call());
    CO_ASSERT(!refused);
    EXPECT_EQ(refused.error().code, Errc::not_found);
    EXPECT_THAT(refused.error().what, HasSubstr("'n3'"));
    EXPECT_TRUE(table.list().empty());
    co_await table.stop();
  });
}

TEST(PinTable, IsBounded) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    PinTable table(bench.world(), *bench.metadata, "n1", {});
    table.start();
    std::vector<Pin> pins;
    for (size_t i = 0; i < kPinsMax; i++) {
      pins.push_back({"n1", fmt::format("registry.ollama.ai/library/m{}:latest", i)});
    }
    EXPECT_TRUE(co_await table.add(std::move(pins), bench.call())) << "in several transactions";
    EXPECT_EQ(table.own().size(), kPinsMax);
    std::vector<Pin> more{{"n1", kFox}};
    const auto refused = co_await table.add(std::move(more), bench.call());
    CO_ASSERT(!refused);
    EXPECT_EQ(refused.error().code, Errc::overloaded);
    co_await table.stop();
  });
}

TEST(PinTable, ForgetsADeletedModelOnAllNodes) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    PinTable table(bench.world(), *bench.metadata, "n1", {}, is_n2);
    table.start();
    int changes = 0;
    table.on_change([&changes] { changes++; });
    std::vector<Pin> pins{{"n1", kFox}, {"n2", kFox}, {"n1", kHen}};
    EXPECT_TRUE(co_await table.add(std::move(pins), bench.call()));
    EXPECT_EQ(changes, 3);
    EXPECT_TRUE(co_await table.remove_model(kFox, bench.call()));
    EXPECT_THAT(table.list(), ElementsAre(Pin{"n1", kHen}));
    EXPECT_EQ(changes, 5);
    co_await table.stop();
  });
}

TEST(PinTable, GoesWithANodeIntoAClusterUnderItsNewName) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    metadata::Snapshot own;
    own.entries.push_back({.key = "/pins/old name/" + kFox, .value = "{}"});
    own.entries.push_back({.key = "/backends/b", .value = "{}"});
    PinTable table(bench.world(), *bench.metadata, "n1", {}, is_n2);
    table.start();
    std::vector<Pin> there{{"n2", kFox}};
    EXPECT_TRUE(co_await table.add(std::move(there), bench.call()));
    EXPECT_TRUE(co_await table.adopt(own, {}, bench.call()));
    EXPECT_THAT(table.list(), ElementsAre(Pin{"n1", kFox}, Pin{"n2", kFox}));
    co_await table.stop();
  });
}

TEST(PinTable, GoesWithAModelThatHasAnotherNameInTheCluster) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    metadata::Snapshot own;
    own.entries.push_back({.key = "/pins/n1/" + kFox, .value = "{}"});
    PinTable table(bench.world(), *bench.metadata, "n1", {});
    table.start();
    const PinTable::Renamed renamed{{kFox, kFox + "-n1"}};
    EXPECT_TRUE(co_await table.adopt(own, renamed, bench.call()));
    EXPECT_THAT(table.list(), ElementsAre(Pin{"n1", kFox + "-n1"}));
    co_await table.stop();
  });
}

TEST(PinTable, OfANodeThatIsCalledOtherwiseNowIsItsOwn) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    co_await bench.put("/pins/before/" + kFox, "{}");
    PinTable table(bench.world(), *bench.metadata, "now", {});
    table.start();
    EXPECT_TRUE(co_await table.take_over(bench.call()));
    EXPECT_THAT(table.list(), ElementsAre(Pin{"now", kFox}));
    co_await table.stop();
  });
}

TEST(Members, TakesTheirPinsAlong) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    const Member gone{.name = "n2", .peer = io::Endpoint::tcp("10.0.0.2", 11435)};
    co_await bench.put("/nodes/n2", write_member(gone));
    co_await bench.put("/pins/n2/" + kFox, "{}");
    co_await bench.put("/pins/n22/" + kFox, "{}");
    Members members(bench.world(), *bench.metadata, kFile);
    members.start();
    EXPECT_TRUE(co_await members.facts().wait_synced(bench.call()));
    EXPECT_TRUE(co_await members.remove("n2", bench.call()));
    const auto left = co_await bench.metadata->list("/", bench.call());
    CO_ASSERT(left && left->entries.size() == 1);
    EXPECT_EQ(left->entries[0].key, "/pins/n22/" + kFox);
    co_await members.stop();
  });
}

}  // namespace
}  // namespace om::cluster
