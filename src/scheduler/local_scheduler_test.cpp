#include "scheduler/local_scheduler.h"

#include <gmock/gmock.h>

#include "scheduler/local_node_for_test.h"

namespace om::scheduler {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::Script;
using testing::ScriptedEngine;
using testing::target;

using testing::Client;
using testing::Node;

AcquireOptions keep(io::Duration duration) {
  AcquireOptions options;
  options.keep_alive.duration = duration;
  return options;
}

// --- loading and sharing ---

io::Task<void> loads_once(Node& node) {
  auto first = co_await node.acquire(target("a"));
  CO_ASSERT(first);
  EXPECT_EQ((*first)->load_time(), seconds(2));
  first->reset();
  auto second = co_await node.acquire(target("a"));
  CO_ASSERT(second);
  EXPECT_EQ((*second)->load_time(), seconds(0));
  EXPECT_THAT(node.script.loads, ElementsAre("a@4096"));
}
TEST(LocalScheduler, LoadsAModelOnceAndSharesIt) { Node().run(loads_once); }

io::Task<void> loads_two(Node& node) {
  const io::TimePoint start = node.sim.clock().now();
  Client& a = node.start(target("a"), {}, {});
  Client& b = node.start(target("b"), {}, {});
  while (!a.done || !b.done) co_await node.pass(seconds(1));
  EXPECT_LE(node.sim.clock().now() - start, seconds(3));
}
TEST(LocalScheduler, LoadsDifferentModelsAtTheSameTime) { Node().run(loads_two); }

io::Task<void> alternates(Node& node) {
  for (int i = 0; i < 20; i++) {
    auto lease = co_await node.acquire(target("a", i % 2 == 0 ? 2048 : 8192));
    CO_ASSERT(lease);
    EXPECT_GE((*lease)->engine().properties().context_length, i % 2 == 0 ? 2048 : 8192);
  }
  EXPECT_THAT(node.script.loads, ElementsAre("a@2048", "a@8192"));
}
TEST(LocalScheduler, DoesNotReloadForSizesThatAlternate) { Node().run(alternates); }

io::Task<void> creeps(Node& node) {
  for (int context = 1000; context < 8000; context += 100) {
    auto lease = co_await node.acquire(target("a", context));
    CO_ASSERT(lease);
  }
  EXPECT_LE(node.script.loads.size(), 7u);
}
TEST(LocalScheduler, ReloadsSeldomForSizesThatCreepUp) { Node().run(creeps); }

io::Task<void> clips(Node& node) {
  auto lease = co_await node.acquire(target("a", 1'000'000));
  CO_ASSERT(lease);
  EXPECT_EQ((*lease)->engine().properties().context_length, 32768);
}
TEST(LocalScheduler, ClipsTheContextToWhatTheModelWasTrainedFor) { Node().run(clips); }

io::Task<void> heeds_batch(Node& node) {
  for (const int batch : {128, 256, 128}) {
    Target wanted = target("a");
    wanted.runner.num_batch = batch;
    (co_await node.acquire(wanted))->reset();
    EXPECT_EQ(node.script.find("a")->options().batch, batch);
    EXPECT_TRUE(node.scheduler.unload(wanted.key()));
    co_await node.pass(seconds(1));
  }
  EXPECT_EQ(node.script.loads.size(), 3u);
}
TEST(LocalScheduler, LoadsWithTheBatchThatIsAskedForEachTime) { Node().run(heeds_batch); }

io::Task<void> refuses_large(Node& node) {
  auto lease = co_await node.acquire(target("a", 32000));
  CO_ASSERT(!lease);
  EXPECT_EQ(lease.error().code, Errc::unavailable);
  EXPECT_THAT(lease.error().what, HasSubstr("model 'a' with a context of 32000 tokens needs"));
  EXPECT_TRUE(node.script.loads.empty());
}
TEST(LocalScheduler, RefusesBeforeTheLoadWhatCannotFit) {
  LocalSchedulerOptions options;
  options.memory_total = 200;
  Node(options).run(refuses_large);
}

// --- keep alive ---

io::Task<void> expires(Node& node) {
  (co_await node.acquire(target("a")))->reset();
  co_await node.pass(seconds(299));
  EXPECT_EQ(node.scheduler.loaded().size(), 1u);
  (co_await node.acquire(target("a")))->reset();  // The clock starts anew.
  co_await node.pass(seconds(299));
  EXPECT_EQ(node.scheduler.loaded().size(), 1u);
  co_await node.pass(seconds(2));
  EXPECT_TRUE(node.scheduler.loaded().empty());
}
TEST(LocalScheduler, UnloadsWhenTheKeepAliveRunsOut) { Node().run(expires); }

io::Task<void> keeps_value(Node& node) {
  (co_await node.acquire(target("a"), keep(minutes(20))))->reset();
  (co_await node.acquire(target("a")))->reset();  // Says nothing: 20 minutes stay.
  co_await node.pass(minutes(19));
  EXPECT_EQ(node.scheduler.loaded().size(), 1u);
  (co_await node.acquire(target("a"), keep(seconds(10))))->reset();  // The latest wins.
  co_await node.pass(seconds(11));
  EXPECT_TRUE(node.scheduler.loaded().empty());
}
TEST(LocalScheduler, TakesTheLatestKeepAliveThatWasSaid) { Node().run(keeps_value); }

io::Task<void> keeps_zero(Node& node) {
  auto lease = co_await node.acquire(target("a"), keep(seconds(0)));
  CO_ASSERT(lease);
  co_await node.pass(seconds(5));
  EXPECT_EQ(node.scheduler.loaded().size(), 1u);  // Not while it works.
  lease->reset();
  co_await node.pass(seconds(1));
  EXPECT_TRUE(node.scheduler.loaded().empty());
}
TEST(LocalScheduler, UnloadsAtOnceWithKeepAliveZero) { Node().run(keeps_zero); }

io::Task<void> keeps_least(Node& node) {
  AcquireOptions early;
  early.keep_alive_min = minutes(2);
  (co_await node.acquire(target("a"), early))->reset();
  co_await node.pass(seconds(119));
  EXPECT_EQ(node.scheduler.loaded().size(), 1u);
  co_await node.pass(seconds(2));
  EXPECT_TRUE(node.scheduler.loaded().empty());
  early.keep_alive.duration = seconds(0);  // What is said counts.
  (co_await node.acquire(target("a"), early))->reset();
  co_await node.pass(seconds(1));
  EXPECT_TRUE(node.scheduler.loaded().empty());
}
TEST(LocalScheduler, KeepsWhatIsLoadedEarlyForALeastTime) {
  LocalSchedulerOptions options;
  options.keep_alive = seconds(0);
  Node(options).run(keeps_least);
}

io::Task<void> keeps_forever(Node& node) {
  (co_await node.acquire(target("a"), keep(seconds(-1))))->reset();
  co_await node.pass(std::chrono::hours(10));
  const auto loaded = node.scheduler.loaded();
  CO_ASSERT(loaded.size() == 1);
  EXPECT_FALSE(loaded[0].expires_at.has_value());
}
TEST(LocalScheduler, KeepsForeverWithANegativeKeepAlive) { Node().run(keeps_forever); }

io::Task<void> unloads(Node& node) {
  EXPECT_FALSE(node.scheduler.unload(Digest::of("a")));
  auto lease = co_await node.acquire(target("a"));
  CO_ASSERT(lease);
  EXPECT_TRUE(node.scheduler.unload(Digest::of("a")));
  co_await node.pass(seconds(5));
  EXPECT_EQ(node.scheduler.loaded().size(), 1u);
  lease->reset();
  co_await node.pass(seconds(1));
  EXPECT_TRUE(node.scheduler.loaded().empty());
}
TEST(LocalScheduler, UnloadsWhenTheRunningRequestHasEnded) { Node().run(unloads); }

io::Task<void> unloads_one_of_two(Node& node) {
  Target adapted = target("a");
  adapted.name = "adapted";
  adapted.adapter_paths = {"/models/blobs/sha256-12ab"};
  (co_await node.acquire(target("a")))->reset();
  (co_await node.acquire(adapted))->reset();
  CO_ASSERT(node.scheduler.loaded().size() == 2);
  EXPECT_TRUE(node.scheduler.pin(adapted.key(), true));
  EXPECT_TRUE(node.scheduler.unload(target("a").key()));
  co_await node.pass(seconds(1));
  CO_ASSERT(node.scheduler.loaded().size() == 1);
  EXPECT_EQ(node.scheduler.loaded()[0].name, "adapted");
  EXPECT_TRUE(node.scheduler.loaded()[0].pinned);
  EXPECT_EQ(node.scheduler.loaded()[0].key, adapted.key());
}
TEST(LocalScheduler, TellsModelsOfTheSameWeightsApart) {
  LocalSchedulerOptions options;
  options.memory_total = 300;  // Two models of 140.
  Node(options).run(unloads_one_of_two);
}

// --- several models, little memory ---

io::Task<void> evicts(Node& node) {
  for (int i = 0; i < 5; i++) (co_await node.acquire(target("often")))->reset();
  (co_await node.acquire(target("seldom")))->reset();
  (co_await node.acquire(target("new")))->reset();
  std::vector<std::string> names;
  for (const LoadedModel& model : node.scheduler.loaded()) names.push_back(model.name);
  EXPECT_THAT(names, ::testing::UnorderedElementsAre("often", "new"));
}
TEST(LocalScheduler, EvictsWhatIsLeastWorthKeeping) {
  LocalSchedulerOptions options;
  options.memory_total = 300;  // Two models of 140.
  Node(options).run(evicts);
}

io::Task<void> pins(Node& node) {
  (co_await node.acquire(target("a")))->reset();
  EXPECT_TRUE(node.scheduler.pin(Digest::of("a"), true));
  auto refused = co_await node.acquire(target("b"));
  CO_ASSERT(!refused);
  EXPECT_THAT(refused.error().what, HasSubstr("needs"));
  co_await node.pass(std::chrono::hours(1));
  EXPECT_EQ(node.scheduler.loaded().size(), 1u);
  EXPECT_TRUE(node.scheduler.pin(Digest::of("a"), false));
  (co_await node.acquire(target("b")))->reset();
  EXPECT_EQ(node.script.loads.size(), 2u);
}
TEST(LocalScheduler, NeverEvictsAPinnedModel) {
  LocalSchedulerOptions options;
  options.memory_total = 200;
  Node(options).run(pins);
}

io::Task<void> refuses_beside_pinned(Node& node) {
  (co_await node.acquire(target("a")))->reset();
  EXPECT_TRUE(node.scheduler.pin(Digest::of("a"), true));
  auto refused = co_await node.acquire(target("b"));
  CO_ASSERT(!refused);
  EXPECT_EQ(refused.error().code, Errc::unavailable);
  EXPECT_THAT(refused.error().what, HasSubstr("raise OLLAMA_MAX_LOADED_MODELS"));
  EXPECT_TRUE(node.scheduler.pin(Digest::of("a"), false));
  EXPECT_TRUE(co_await node.acquire(target("b")));
}
TEST(LocalScheduler, RefusesWhereThePinnedTakeEveryPlace) {
  LocalSchedulerOptions options;
  options.loaded_max = 1;
  Node(options).run(refuses_beside_pinned);
}

io::Task<void> waits_for_running(Node& node) {
  auto running = co_await node.acquire(target("a"));
  CO_ASSERT(running);
  Client& other = node.start(target("b"), {}, {});
  co_await node.pass(seconds(60));
  EXPECT_FALSE(other.done);
  EXPECT_NE(node.script.find("a"), nullptr);
  running->reset();
  co_await node.pass(seconds(5));
  EXPECT_TRUE(other.done);
  EXPECT_FALSE(other.error.has_value());
}
TEST(LocalScheduler, NeverEndsARunningRequestToMakeRoom) {
  LocalSchedulerOptions options;
  options.memory_total = 200;
  Node(options).run(waits_for_running);
}

// --- the queue ---

io::Task<void> bounds_queue(Node& node) {
  auto holder = co_await node.acquire(target("a"));
  CO_ASSERT(holder);
  for (int i = 0; i < 2; i++) node.start(target("a"));
  co_await node.pass(seconds(1));
  auto refused = co_await node.acquire(target("a"));
  CO_ASSERT(!refused);
  EXPECT_EQ(refused.error().code, Errc::overloaded);
  EXPECT_EQ(refused.error().what,
            "server busy, please try again.  maximum pending requests exceeded");
  holder->reset();
  co_await node.pass(seconds(1));
  EXPECT_TRUE(node.clients[0].done);
  EXPECT_FALSE(node.clients[1].done);  // First come, first served.
  node.clients[0].lease.reset();
  co_await node.pass(seconds(1));
  EXPECT_TRUE(node.clients[1].done);
}
TEST(LocalScheduler, RefusesWhatTheQueueDoesNotHold) {
  LocalSchedulerOptions options;
  options.queue_max = 2;
  Node(options).run(bounds_queue);
}

io::Task<void> prefers_interactive(Node& node) {
  auto holder = co_await node.acquire(target("a"));
  CO_ASSERT(holder);
  AcquireOptions batch;
  batch.priority = Priority::batch;
  Client& slow = node.start(target("a"), batch, {});
  co_await node.pass(seconds(1));
  Client& quick = node.start(target("a"), {}, {});
  co_await node.pass(seconds(1));
  holder->reset();
  co_await node.pass(seconds(1));
  EXPECT_TRUE(quick.done);
  EXPECT_FALSE(slow.done);
  // A batch request that waited long enough passes those who came later.
  co_await node.pass(seconds(40));
  Client& late = node.start(target("a"), {}, {});
  co_await node.pass(seconds(1));
  quick.lease.reset();
  co_await node.pass(seconds(1));
  EXPECT_TRUE(slow.done);
  EXPECT_FALSE(late.done);
  slow.lease.reset();
  co_await node.pass(seconds(1));
}
TEST(LocalScheduler, PrefersInteractiveRequestsButNotForEver) { Node().run(prefers_interactive); }

io::Task<void> forgets_leavers(Node& node) {
  auto holder = co_await node.acquire(target("a"));
  CO_ASSERT(holder);
  io::CancelSource source;
  Client& leaver = node.start(target("a"), {}, {io::kNever, source.token()});
  co_await node.pass(seconds(1));
  EXPECT_EQ(node.scheduler.waiting(), 1u);
  source.cancel();
  co_await node.pass(milliseconds(1));
  EXPECT_EQ(node.scheduler.waiting(), 0u);
  CO_ASSERT(leaver.error);
  EXPECT_EQ(leaver.error->code, Errc::cancelled);
  auto late = co_await node.acquire(target("a"), {}, seconds(3));
  CO_ASSERT(!late);
  EXPECT_EQ(late.error().code, Errc::deadline_exceeded);
}
TEST(LocalScheduler, ForgetsWhoLeavesTheQueue) { Node().run(forgets_leavers); }

io::Task<void> gives_up_load(Node& node) {
  node.script.load_time = minutes(5);
  auto lease = co_await node.acquire(target("a"), {}, seconds(10));
  CO_ASSERT(!lease);
  co_await node.pass(seconds(1));
  EXPECT_TRUE(node.scheduler.loaded().empty());
}
TEST(LocalScheduler, GivesUpALoadThatNobodyWaitsFor) { Node().run(gives_up_load); }

// --- crashes ---

io::Task<void> restarts(Node& node) {
  for (int deaths = 0; deaths < 3; deaths++) {
    auto lease = co_await node.acquire(target("a"));
    CO_ASSERT(lease);
    node.script.find("a")->die();
    (*lease)->report_failure({Errc::unavailable, "gone"});
    lease->reset();
  }
  const io::TimePoint start = node.sim.clock().now();
  auto lease = co_await node.acquire(target("a"));
  CO_ASSERT(lease);
  // 4 s after the third death, then the load.
  EXPECT_GE(node.sim.clock().now() - start, seconds(6));
  EXPECT_LE(node.sim.clock().now() - start, seconds(7));
}
TEST(LocalScheduler, RestartsACrashingRunnerMoreAndMoreSlowly) { Node().run(restarts); }

// Runners of "a" die under this request so many times.
io::Task<void> die_under(Node& node, AcquireOptions options, int times, engine::Blame blame) {
  for (int i = 0; i < times; i++) {
    auto lease = co_await node.acquire(target("a"), options);
    CO_ASSERT(lease);
    node.script.find("a")->die(blame);
    (*lease)->report_failure({Errc::unavailable, "gone"});
    lease->reset();
  }
}

io::Task<void> quarantines(Node& node) {
  AcquireOptions poison;
  poison.fingerprint = "poison";
  co_await die_under(node, poison, 2, engine::Blame::death);
  auto refused = co_await node.acquire(target("a"), poison);
  CO_ASSERT(!refused);
  EXPECT_EQ(refused.error().code, Errc::invalid_argument);
  EXPECT_THAT(refused.error().what, HasSubstr("ended the model's runner twice"));
  EXPECT_TRUE(co_await node.acquire(target("a")));
}
TEST(LocalScheduler, RefusesARequestThatKilledTwoRunners) { Node().run(quarantines); }

io::Task<void> goes_on_after(Node& node, engine::Blame blame) {
  AcquireOptions asked;
  asked.fingerprint = "asked";
  co_await die_under(node, asked, 3, blame);
  EXPECT_TRUE(co_await node.acquire(target("a"), asked));
}
TEST(LocalScheduler, BlamesNoRequestForWhatASignalEnded) {
  Node node;
  node.run([](Node& here) { return goes_on_after(here, engine::Blame::none); });
}
TEST(LocalScheduler, RefusesNoRequestUnderWhichRunnersOnlyHung) {
  Node node;
  node.run([](Node& here) { return goes_on_after(here, engine::Blame::suspicion); });
}

io::Task<void> counts_a_death_once(Node& node) {
  AcquireOptions popular;
  popular.fingerprint = "popular";
  auto first = co_await node.acquire(target("a"), popular);
  auto second = co_await node.acquire(target("a"), popular);
  CO_ASSERT(first && second);
  node.script.find("a")->die();
  for (auto* lease : {&first, &second}) {
    (**lease)->report_failure({Errc::unavailable, "gone"});
    (*lease)->reset();
  }
  EXPECT_TRUE(co_await node.acquire(target("a"), popular));
}
TEST(LocalScheduler, CountsOneDeathUnderManyEqualRequestsOnce) {
  Node({}, {2}).run(counts_a_death_once);
}

io::Task<void> spares_neighbour(Node& node) {
  AcquireOptions innocent, guilty;
  innocent.fingerprint = "innocent";
  guilty.fingerprint = "guilty";
  auto a = co_await node.acquire(target("a"), innocent);
  auto b = co_await node.acquire(target("a"), guilty);
  CO_ASSERT(a && b);
  node.script.find("a")->die();
  for (auto* lease : {&a, &b}) {
    (**lease)->report_failure({Errc::unavailable, "gone"});
    (*lease)->reset();
  }
  // Both are suspects now and run alone, so the second death says who it was.
  auto guilty_again = co_await node.acquire(target("a"), guilty);
  CO_ASSERT(guilty_again);
  Client& innocent_again = node.start(target("a"), innocent, {});
  co_await node.pass(seconds(5));
  EXPECT_FALSE(innocent_again.done);
  node.script.find("a")->die();
  (*guilty_again)->report_failure({Errc::unavailable, "gone"});
  guilty_again->reset();
  co_await node.pass(seconds(10));
  EXPECT_TRUE(innocent_again.done);
  EXPECT_FALSE(innocent_again.error.has_value());
  innocent_again.lease.reset();
  EXPECT_FALSE(co_await node.acquire(target("a"), guilty));
  EXPECT_TRUE(co_await node.acquire(target("a"), innocent));
}
TEST(LocalScheduler, DoesNotBlameTheNeighbourOfAKiller) { Node({}, {4}).run(spares_neighbour); }

io::Task<void> replaces_unhealthy(Node& node) {
  auto lease = co_await node.acquire(target("a"));
  CO_ASSERT(lease);
  (*lease)->report_failure({Errc::corrupt, "garbage"});
  lease->reset();
  EXPECT_TRUE(co_await node.acquire(target("a")));
  EXPECT_EQ(node.script.loads.size(), 2u);
}
TEST(LocalScheduler, ReplacesARunnerThatSendsNonsense) { Node().run(replaces_unhealthy); }

io::Task<void> outlives(Node& node) {
  auto lease = co_await node.acquire(target("a"));
  CO_ASSERT(lease);
  Client& waiting = node.start(target("a"), {}, {});
  co_await node.pass(seconds(1));
  co_await node.scheduler.stop();
  co_await node.pass(milliseconds(1));
  CO_ASSERT(waiting.error);
  EXPECT_EQ(waiting.error->code, Errc::unavailable);
  lease->reset();  // After the stop: nothing happens.
  EXPECT_FALSE(co_await node.acquire(target("a")));
}
TEST(LocalScheduler, LetsNobodyWaitWhenItStops) { Node().run(outlives); }

}  // namespace
}  // namespace om::scheduler
