// How a child that hangs is noticed and ended, with tools/fake_llama.py.
#include "engine/local/runner_process.h"

#include <gmock/gmock.h>

#include "engine/local/local_engine.h"
#include "engine/local/stand_in_for_test.h"

namespace om::engine {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

// Patient with all but a runner that does nothing at all, and with its end.
LaunchOptions idle_options(testing::Behaviour behaviour) {
  LaunchOptions options = testing::fake_options(std::move(behaviour));
  options.stall_floor = seconds(1);
  options.stall_first = options.prefill_stall_floor = options.prefill_stall_first = seconds(60);
  options.idle_stall = milliseconds(300);
  options.stop_grace = seconds(30);
  return options;
}

// What an answer ends with.
io::Task<std::string> ask(LocalEngine& engine, io::Call call) {
  CompletionRequest request;
  request.prompt = "x";
  auto completion = co_await engine.complete(std::move(request), call);
  if (!completion) co_return completion.error().what;
  while (true) {
    auto piece = co_await (*completion)->next();
    if (!piece) co_return piece.error().what;
    if (piece->done) co_return std::string();
  }
}

io::Task<void> ends_idle(io::World& world, LaunchOptions options, Blame blame) {
  LocalEngine engine(world, std::move(options));
  auto loaded = co_await engine.load(world.clock.call_within(seconds(60)));
  CO_ASSERT(loaded, loaded.error().what);
  const io::TimePoint asked = world.clock.now();
  const std::string end = co_await ask(engine, world.clock.call_within(seconds(50)));
  EXPECT_THAT(end, HasSubstr("(limit 0.3 s), and did nothing else"));
  EXPECT_EQ(engine.blame(), blame);
  co_await engine.stop();
  EXPECT_LT(world.clock.now() - asked, seconds(20)) << "it heeds no SIGTERM, and need not";
  EXPECT_EQ(engine.blame(), blame);
}

TEST(RunnerProcess, EndsARunnerThatDoesNothing) {
  testing::run([](io::World& world) {
    return ends_idle(world, idle_options({{"PREFILL_S", "1000"}, {"IGNORE_TERM", "1"}}),
                     Blame::none);
  });
  testing::run([](io::World& world) {
    return ends_idle(world, idle_options({{"WEDGE_AFTER", "2"}, {"IGNORE_TERM", "1"}}),
                     Blame::suspicion);
  });
}

io::Task<void> is_answered(io::World& world, LaunchOptions options) {
  LocalEngine engine(world, std::move(options));
  auto loaded = co_await engine.load(world.clock.call_within(seconds(60)));
  CO_ASSERT(loaded, loaded.error().what);
  EXPECT_EQ(co_await ask(engine, world.clock.call_within(seconds(50))), "");
  co_await engine.stop();
}

TEST(RunnerProcess, IsPatientWhereItSeemsToDoNothing) {
  LaunchOptions options = idle_options({{"PREFILL_S", "1"}});
  options.has_cards = true;
  testing::run([&](io::World& world) { return is_answered(world, options); });
}

}  // namespace
}  // namespace om::engine
