#include "metadata/shared_watches.h"

#include "metadata/testing/contract.h"
#include "sim/metadata.h"

namespace om::metadata::testing {
namespace {

using std::chrono::milliseconds;

// With the engine it is on top of, whose watches are counted.
class SharedWithEngine final : public SharedWatches {
 public:
  class Counting final : public SharedWatches {
   public:
    Counting(io::World& world, std::unique_ptr<Metadata> engine)
        : SharedWatches(world, *engine), engine_(std::move(engine)) {}
    std::unique_ptr<Watch> watch(std::string prefix, Revision from) override {
      begun++;
      return engine_->watch(std::move(prefix), from);
    }
    io::Task<void> stop() override { co_await engine_->stop(); }
    int begun = 0;

   private:
    std::unique_ptr<Metadata> engine_;
  };

  SharedWithEngine(io::World& world, std::unique_ptr<Counting> engine, SharedWatchLimits limits)
      : SharedWatches(world, *engine, limits), engine_(std::move(engine)) {}
  io::Task<void> stop() override {
    co_await SharedWatches::stop();
    co_await engine_->stop();
  }
  int begun() const { return engine_->begun; }

 private:
  std::unique_ptr<Counting> engine_;
};

class SharedForTest final : public EngineForTest {
 public:
  explicit SharedForTest(SharedWatchLimits limits = {}, uint64_t seed = 1)
      : world_(seed), facts_(world_), limits_(limits) {}
  io::World& world() override { return world_.world(); }
  void run(io::Task<void> task) override { world_.run(std::move(task)); }
  io::Task<std::unique_ptr<Metadata>> open() override {
    auto engine = std::make_unique<SharedWithEngine::Counting>(world(), facts_.node("a"));
    auto shared = std::make_unique<SharedWithEngine>(world(), std::move(engine), limits_);
    shared_ = shared.get();
    co_return shared;
  }
  io::Task<void> forget_history(Metadata&) override {
    facts_.forget_history();
    co_return;
  }
  int begun() const { return shared_->begun(); }

 private:
  sim::World world_;
  sim::SharedMetadata facts_;
  SharedWatchLimits limits_;
  SharedWithEngine* shared_ = nullptr;
};

void run_shared(Body body, SharedWatchLimits limits = {}, uint64_t seed = 1) {
  SharedForTest engine(limits, seed);
  engine.run(open_and_run(engine, body));
}

int begun(const Bench& bench) { return dynamic_cast<SharedForTest&>(bench.engine).begun(); }

io::Task<void> many_watch(Bench& bench) {
  const Revision from = (co_await put(bench, "k/0", "old")).revision + 1;
  std::vector<std::unique_ptr<Watch>> watches;
  for (int i = 0; i < 20; i++) watches.push_back(bench.metadata.watch("k/", from));
  co_await put(bench, "k/1", "a");
  co_await put(bench, "other", "a");
  const Revision last = (co_await put(bench, "k/2", "b")).revision;
  for (const auto& watch : watches) {
    EXPECT_THAT(co_await changes_of(bench, *watch, 2), ElementsAre("k/1=a", "k/2=b"));
  }
  // Who comes later and has seen the first of them is told the second one.
  const auto later = bench.metadata.watch("k/", last);
  EXPECT_THAT(co_await changes_of(bench, *later, 1), ElementsAre("k/2=b"));
  EXPECT_EQ(begun(bench), 1);
  const auto other = bench.metadata.watch("other", from);
  EXPECT_THAT(co_await changes_of(bench, *other, 1), ElementsAre("other=a"));
  EXPECT_EQ(begun(bench), 2);
}
TEST(SharedWatches, AskTheEngineOnceForEachPrefix) { run_shared(many_watch); }

io::Task<void> an_older_one(Bench& bench) {
  const Revision first = (co_await put(bench, "k/1", "a")).revision;
  const Revision second = (co_await put(bench, "k/2", "b")).revision;
  const auto watch = bench.metadata.watch("k/", second + 1);
  co_await put(bench, "k/3", "c");
  EXPECT_THAT(co_await changes_of(bench, *watch, 1), ElementsAre("k/3=c"));
  co_await put(bench, "k/4", "d");
  const auto older = bench.metadata.watch("k/", first);
  EXPECT_THAT(co_await changes_of(bench, *older, 4),
              ElementsAre("k/1=a", "k/2=b", "k/3=c", "k/4=d"));
  EXPECT_THAT(co_await changes_of(bench, *watch, 1), ElementsAre("k/4=d"));
  EXPECT_EQ(begun(bench), 2);
  co_await put(bench, "k/5", "e");
  EXPECT_THAT(co_await changes_of(bench, *watch, 1), ElementsAre("k/5=e"));
  EXPECT_THAT(co_await changes_of(bench, *older, 1), ElementsAre("k/5=e"));
}
TEST(SharedWatches, BeginAgainForOneThatKnowsLessAndTellOthersNothingTwice) {
  run_shared(an_older_one);
}

io::Task<void> too_old_a_one(Bench& bench) {
  const Revision first = (co_await put(bench, "k/1", "a")).revision;
  co_await put(bench, "k/2", "b");
  co_await bench.engine.forget_history(bench.metadata);
  const Revision now = (co_await put(bench, "k/3", "c")).revision;
  const auto watch = bench.metadata.watch("k/", now);
  EXPECT_THAT(co_await changes_of(bench, *watch, 1), ElementsAre("k/3=c"));
  const auto older = bench.metadata.watch("k/", first);
  EXPECT_EQ(code_of(co_await older->next(bench.call())), Errc::corrupt);
  co_await put(bench, "k/4", "d");
  EXPECT_THAT(co_await changes_of(bench, *watch, 1), ElementsAre("k/4=d"));
  EXPECT_EQ(code_of(co_await older->next(bench.call())), Errc::corrupt);
}
TEST(SharedWatches, GoOnWhenAnotherOneWantsWhatIsForgotten) { run_shared(too_old_a_one); }

io::Task<void> a_slow_one(Bench& bench) {
  const Revision from = (co_await put(bench, "k", "0")).revision + 1;
  const auto slow = bench.metadata.watch("k", from);
  const auto quick = bench.metadata.watch("k", from);
  for (int i = 1; i <= 10; i++) {
    co_await put(bench, "k", std::to_string(i));
    EXPECT_THAT(co_await changes_of(bench, *quick, 1), ElementsAre(fmt::format("k={}", i)));
  }
  EXPECT_EQ(code_of(co_await slow->next(bench.call())), Errc::corrupt);
  const auto snapshot = ok(co_await bench.metadata.list("k", bench.call()));
  const auto again = bench.metadata.watch("k", snapshot.revision + 1);
  co_await put(bench, "k", "end");
  EXPECT_THAT(co_await changes_of(bench, *again, 1), ElementsAre("k=end"));
  EXPECT_EQ(begun(bench), 1);
}
TEST(SharedWatches, KeepSoManyChangesForASlowOne) {
  run_shared(a_slow_one, {.events_max = 4});
  run_shared(a_slow_one, {.bytes_max = 10});
}

io::Task<void> nobody_left(Bench& bench) {
  const Revision from = (co_await put(bench, "k", "0")).revision + 1;
  for (int i = 1; i <= 3; i++) {
    const auto watch = bench.metadata.watch("k", from);
    const auto waited = co_await watch->next(bench.clock().call_within(milliseconds(100)));
    EXPECT_EQ(code_of(waited), Errc::deadline_exceeded);
    EXPECT_EQ(begun(bench), i);
  }
}
TEST(SharedWatches, EndAtTheEngineWithTheLastOfAPrefix) { run_shared(nobody_left); }

// Each watch reads at its own pace from a revision of its own, begins again where it was told that
// it missed something, and must know in the end what there is.
io::Task<void> follow(Bench& bench, std::map<std::string, std::string>& known, int turns) {
  io::Random& random = bench.world().random;
  for (bool all = false; !all;) {
    const auto snapshot = ok(co_await bench.metadata.list("k/", bench.call()));
    known.clear();
    for (const Entry& entry : snapshot.entries) known[entry.key] = entry.value;
    auto watch = bench.metadata.watch("k/", snapshot.revision + 1);
    Revision next = snapshot.revision + 1;
    while (!(all = known.contains("k/end"))) {
      auto events = co_await watch->next(bench.call());
      if (!events) {
        EXPECT_EQ(events.error().code, Errc::corrupt);
        break;
      }
      for (const Event& event : *events) {
        EXPECT_GE(event.entry.modified, next);
        if (event.removed) known.erase(event.entry.key);
        if (!event.removed) known[event.entry.key] = event.entry.value;
      }
      next = events->back().entry.modified + 1;
      if (turns-- <= 0) continue;
      ok(co_await bench.clock().sleep_for(milliseconds(random.below(40))));
      if (random.below(4) == 0) watch = bench.metadata.watch("k/", next);  // A broken connection.
    }
  }
}

io::Task<void> follow_all(Bench& bench) {
  std::vector<std::map<std::string, std::string>> known(12);
  io::TaskGroup group(bench.world().executor, bench.clock());
  for (auto& one : known) group.spawn(follow(bench, one, 100));
  io::Random& random = bench.world().random;
  std::map<std::string, std::string> truth;
  for (int i = 0; i < 400; i++) {
    const std::string key = fmt::format("k/{}", random.below(10));
    if (random.below(3) == 0) {
      co_await remove(bench, key);
      truth.erase(key);
    } else {
      co_await put(bench, key, truth[key] = std::to_string(i));
    }
    if (random.below(50) == 0) co_await bench.engine.forget_history(bench.metadata);
  }
  co_await put(bench, "k/end", truth["k/end"] = "");
  co_await group.wait();
  for (const auto& one : known) EXPECT_EQ(one, truth);
}
TEST(SharedWatches, TellEveryoneTheSame) {
  for (uint64_t seed = 1; seed <= 20; seed++) {
    SCOPED_TRACE(seed);
    run_shared(follow_all, {.events_max = seed % 2 == 0 ? 8u : 1000u}, seed);
  }
}

}  // namespace

std::unique_ptr<EngineForTest> shared_for_test() { return std::make_unique<SharedForTest>(); }

}  // namespace om::metadata::testing
