#include "generation/pin_keeper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/log.h"
#include "cluster/metadata_for_test.h"
#include "generation/scripted_for_test.h"
#include "io/co_assert_for_test.h"
#include "scheduler/scripted_engines_for_test.h"

namespace om::generation {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A node whose metadata and models stay while the rest of it starts anew.
class Bench {
 public:
  sim::World sim{1};
  testing::ModelShelf shelf;
  scheduler::testing::Script script;
  uint64_t memory = 10'000;

  std::unique_ptr<metadata::Metadata> metadata;
  std::unique_ptr<scheduler::LocalScheduler> local;
  std::unique_ptr<cluster::PinTable> table;
  std::unique_ptr<PinKeeper> keeper;

  using Body = io::Task<void> (*)(Bench&);
  void run(Body body) {
    set_log_level(LogLevel::off);
    sim.run(open_and_run(body));
  }

  // A model whose weights, and so whose runner, are `weights`.
  void make(const std::string& name, std::string_view weights) {
    store::Model& model = shelf.add(name);
    model.weights = Digest::of(weights);
    model.manifest.layers = {
        {std::string(model::kLayerMediaPrefix) + "model", model.weights, 1000, {}}};
  }
  std::string full(const std::string& name) const { return model::Name::parse(name)->str(); }
  io::Call call() { return sim.clock().call_within(seconds(10)); }
  io::Task<void> pass(io::Duration duration) {
    const auto slept = co_await sim.clock().sleep_for(duration);
    EXPECT_TRUE(slept.has_value());
  }
  io::Task<void> pin(std::string name) {
    std::vector<cluster::Pin> pins{{"here", full(name)}};
    EXPECT_TRUE(co_await table->add(std::move(pins), call()));
  }
  io::Task<void> unpin(std::string name) {
    std::vector<cluster::Pin> pins{{"here", full(name)}};
    EXPECT_TRUE(co_await table->remove(std::move(pins), call()));
  }
  // "name" and, of those that stay, "name!".
  std::vector<std::string> in_memory() const {
    std::vector<std::string> names;
    for (const auto& loaded : local->loaded()) {
      names.push_back(loaded.name + (loaded.pinned ? "!" : ""));
    }
    std::ranges::sort(names);
    return names;
  }

  void start() {
    scheduler::LocalSchedulerOptions options;
    options.memory_total = memory;
    local = std::make_unique<scheduler::LocalScheduler>(
        sim.world(), options, scheduler::testing::scripted_engines(sim.clock(), script),
        std::make_unique<scheduler::testing::SimplePlans>(std::vector<int>{1}));
    table = std::make_unique<cluster::PinTable>(sim.world(), *metadata, "here", io::Path());
    keeper = std::make_unique<PinKeeper>(sim.world(), shelf, *local, *table, PinKeeper::Options{});
    table->start();
    keeper->start();
  }
  io::Task<void> stop() {
    co_await keeper->stop();
    co_await table->stop();
    co_await local->stop();
  }
  io::Task<void> restart() {
    co_await stop();
    keeper.reset();
    start();
  }

 private:
  io::Task<void> open_and_run(Body body) {
    auto opened = co_await metadata::open_sqlite(sim.world(), ":memory:");
    CO_ASSERT(opened.has_value());
    metadata = std::move(*opened);
    make("fox", "fox");
    make("hen", "hen");
    start();
    co_await body(*this);
    co_await stop();
    co_await metadata->stop();
  }
};

io::Task<void> comes_back(Bench& bench) {
  co_await bench.pin("fox");
  co_await bench.pass(seconds(10));
  EXPECT_THAT(bench.in_memory(), ElementsAre("fox:latest!")) << "without a request";
  co_await bench.pass(std::chrono::hours(1));
  EXPECT_THAT(bench.in_memory(), ElementsAre("fox:latest!")) << "its keep-alive does not run out";
  co_await bench.restart();
  co_await bench.pass(seconds(10));
  EXPECT_THAT(bench.in_memory(), ElementsAre("fox:latest!"));
  EXPECT_EQ(bench.script.loads.size(), 2u);
  co_await bench.unpin("fox");
  co_await bench.pass(minutes(10));
  EXPECT_THAT(bench.in_memory(), ElementsAre());
  co_await bench.restart();
  co_await bench.pass(minutes(10));
  EXPECT_EQ(bench.script.loads.size(), 2u);
}
TEST(PinKeeper, LoadsWhatIsPinnedAlsoAfterARestart) { Bench().run(comes_back); }

io::Task<void> survives_deaths(Bench& bench) {
  co_await bench.pin("fox");
  co_await bench.pass(seconds(10));
  auto* engine = bench.script.find("fox:latest");
  CO_ASSERT(engine);
  engine->die();
  co_await bench.pass(seconds(15));
  EXPECT_THAT(bench.in_memory(), ElementsAre("fox:latest!"));
  EXPECT_EQ(bench.script.loads.size(), 2u);
}
TEST(PinKeeper, LoadsAgainWhatDied) { Bench().run(survives_deaths); }

io::Task<void> unloaded(Bench& bench) {
  co_await bench.pin("fox");
  co_await bench.pass(seconds(10));
  const auto model = bench.shelf.load(*model::Name::parse("fox"));
  EXPECT_TRUE(bench.local->unload((*model)->manifest.runner_key()));
  co_await bench.pass(minutes(1));
  EXPECT_THAT(bench.in_memory(), ElementsAre());
  EXPECT_TRUE(bench.table->list().empty());
  co_await bench.restart();
  co_await bench.pass(minutes(1));
  EXPECT_THAT(bench.in_memory(), ElementsAre());
}
TEST(PinKeeper, EndsThePinOfWhatIsUnloadedOnRequest) { Bench().run(unloaded); }

io::Task<void> tries_again(Bench& bench) {
  bench.script.load_errors["fox:latest"] = {Errc::internal, "no such tensor"};
  co_await bench.pin("fox");
  co_await bench.pass(minutes(30));
  const Error* error = bench.keeper->error(bench.full("fox"));
  CO_ASSERT(error);
  EXPECT_THAT(error->what, HasSubstr("no such tensor"));
  const size_t tries = bench.script.loads.size();
  EXPECT_GE(tries, 8u);
  EXPECT_LE(tries, 14u) << "ever less often, up to once in five minutes";
  bench.script.load_errors.clear();
  co_await bench.pass(minutes(6));
  EXPECT_THAT(bench.in_memory(), ElementsAre("fox:latest!"));
  EXPECT_EQ(bench.keeper->error(bench.full("fox")), nullptr);
}
TEST(PinKeeper, TriesAgainEverLessOftenAndTellsWhy) { Bench().run(tries_again); }

io::Task<void> takes_long(Bench& bench) {
  bench.script.load_time = minutes(25);
  co_await bench.pin("fox");
  co_await bench.pass(minutes(26));
  EXPECT_THAT(bench.in_memory(), ElementsAre("fox:latest!"));
  EXPECT_EQ(bench.script.loads.size(), 1u) << "no load was given up";
}
TEST(PinKeeper, WaitsForALoadHoweverLongItTakes) { Bench().run(takes_long); }

// The hen is in use, and leaves no room for the fox that is pinned then.
io::Task<Result<std::unique_ptr<scheduler::Lease>>> pin_without_room(Bench& bench) {
  bench.memory = 200;
  co_await bench.restart();
  auto busy = co_await bench.local->acquire(scheduler::testing::target("hen"),
                                            scheduler::AcquireOptions{}, {});
  co_await bench.pin("fox");
  co_return busy;
}

io::Task<void> finds_no_room(Bench& bench) {
  auto busy = co_await pin_without_room(bench);
  CO_ASSERT(busy);
  co_await bench.pass(minutes(11));
  const Error* error = bench.keeper->error(bench.full("fox"));
  CO_ASSERT(error);
  EXPECT_THAT(error->what, HasSubstr("no room"));
  busy->reset();
  co_await bench.pass(minutes(1));
  EXPECT_THAT(bench.in_memory(), ElementsAre("fox:latest!"));
}
TEST(PinKeeper, TellsThatThereIsNoRoom) { Bench().run(finds_no_room); }

io::Task<void> is_unpinned_meanwhile(Bench& bench) {
  auto busy = co_await pin_without_room(bench);
  CO_ASSERT(busy);
  co_await bench.pass(minutes(5));
  co_await bench.unpin("fox");
  co_await bench.pass(seconds(1));
  co_await bench.pin("fox");
  co_await bench.pass(minutes(9));
  EXPECT_EQ(bench.keeper->error(bench.full("fox")), nullptr) << "it waits for ten minutes anew";
  co_await bench.unpin("fox");
  co_await bench.pass(seconds(1));
  busy->reset();
  co_await bench.pass(minutes(1));
  EXPECT_THAT(bench.in_memory(), ElementsAre("hen")) << "nobody wants the fox";
}
TEST(PinKeeper, StopsALoadThatIsWantedNoMore) { Bench().run(is_unpinned_meanwhile); }

io::Task<void> follows_the_name(Bench& bench) {
  co_await bench.pin("fox");
  co_await bench.pin("hen");
  co_await bench.pin("gone");
  co_await bench.pass(seconds(10));
  EXPECT_THAT(bench.in_memory(), ElementsAre("fox:latest!", "hen:latest!"));
  const Error* error = bench.keeper->error(bench.full("gone"));
  CO_ASSERT(error);
  EXPECT_THAT(error->what, HasSubstr("not found"));
  bench.make("fox", "a newer fox");
  co_await bench.pass(seconds(20));
  EXPECT_THAT(bench.in_memory(), ElementsAre("fox:latest", "fox:latest!", "hen:latest!"));
  co_await bench.pass(minutes(10));
  EXPECT_THAT(bench.in_memory(), ElementsAre("fox:latest!", "hen:latest!"));
}
TEST(PinKeeper, FollowsANameToItsNewModel) { Bench().run(follows_the_name); }

io::Task<void> shares(Bench& bench) {
  bench.make("alias", "fox");
  co_await bench.pin("fox");
  co_await bench.pin("alias");
  co_await bench.pass(seconds(20));
  EXPECT_EQ(bench.in_memory().size(), 1u);
  co_await bench.unpin("fox");
  co_await bench.pass(minutes(10));
  EXPECT_EQ(bench.in_memory().size(), 1u) << "the other name keeps it";
  co_await bench.unpin("alias");
  co_await bench.pass(minutes(10));
  EXPECT_EQ(bench.in_memory().size(), 0u);
}
TEST(PinKeeper, KeepsARunnerAsLongAsOneOfItsNamesIsPinned) { Bench().run(shares); }

}  // namespace
}  // namespace om::generation
