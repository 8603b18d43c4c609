// When a runner's silence counts as a wedge, in simulated time.
#include "engine/local/silence_watch.h"

#include <gtest/gtest.h>

#include "engine/local/hindrance.h"

namespace om::engine {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using Duration = io::Duration;

constexpr int64_t kBatch = 512;
constexpr auto kTick = milliseconds(500);

// One runner and its clock.
struct Runner {
  explicit Runner(std::shared_ptr<RunnerPace> known = nullptr)
      : pace(known ? known : std::make_shared<RunnerPace>(LaunchOptions())),
        watch(LaunchOptions(), pace) {}
  explicit Runner(const LaunchOptions& options)
      : pace(std::make_shared<RunnerPace>(options)), watch(options, pace) {}

  std::shared_ptr<RunnerPace> pace;
  SilenceWatch watch;
  io::TimePoint now{};

  SilenceWatch::Handle ask(PromptWork work) {
    const auto request = watch.add(work, now);
    watch.begin_wait(request, now);
    return request;
  }
  void bring(SilenceWatch::Handle request) {
    watch.heard(request, now);
    watch.begin_wait(request, now);
  }
  void pass(Duration time, ChildLook look = {}) {
    for (const io::TimePoint end = now + time; now < end;) {
      const Duration step = std::min<Duration>(kTick, end - now);
      now += step;
      watch.pass(now - step, step, look);
    }
  }

  // Evaluates batch by batch, each in `took`; the request has spoken afterwards.
  SilenceWatch::Handle evaluate(int64_t tokens, Duration took, int64_t cached = 0) {
    const auto request = ask({.tokens = cached + tokens});
    watch.note_progress(request, {0, tokens, cached, {}});
    Duration time{};
    for (int64_t done = 0; done < tokens;) {
      const int64_t part = std::min(kBatch, tokens - done);
      pass(took);
      time += took;
      done += part;
      bring(request);
      watch.note_progress(request, {done, tokens - done, cached + done, time});
    }
    watch.note_token(request);
    return request;
  }
  void learn(Duration a_batch, int64_t tokens = 16 * kBatch) {
    watch.remove(evaluate(tokens, a_batch));
  }

  // How long this silence may last; 0: more than an hour.
  Duration patience(ChildLook look = {}) {
    for (Duration silence{}; silence < minutes(60); silence += kTick) {
      if (watch.stalled()) return silence;
      pass(kTick, look);
    }
    return {};
  }
  Duration patience_with(PromptWork work) {
    const RunnerPace known = *pace;
    const auto request = ask(work);
    const Duration result = patience();
    watch.heard(request, now);
    watch.remove(request);
    *pace = known;  // It was no runner's doing.
    return result;
  }
};

// Silence is looked at in steps.
#define EXPECT_LIMIT(patience, at_least, at_most) \
  do {                                            \
    const Duration limit = patience;              \
    EXPECT_GE(limit, Duration(at_least));         \
    EXPECT_LE(limit, Duration(at_most) + kTick);  \
  } while (false)

TEST(SilenceWatch, IsPatientWithAPromptWhileNothingIsKnown) {
  Runner runner;
  EXPECT_LIMIT(runner.patience_with({.tokens = 4000}), minutes(5), minutes(5));
}

TEST(SilenceWatch, GivesABatchEightTimesWhatItTakes) {
  Runner runner;
  runner.learn(seconds(3));
  EXPECT_LIMIT(runner.patience_with({.tokens = 4000}), seconds(24), seconds(29));
}

TEST(SilenceWatch, GivesAtLeastTheFloor) {
  Runner runner;
  runner.learn(milliseconds(100));
  EXPECT_LIMIT(runner.patience_with({.tokens = 4000}), seconds(10), seconds(10));
}

TEST(SilenceWatch, GivesAShortPromptLess) {
  Runner runner;
  runner.learn(seconds(6));
  EXPECT_LIMIT(runner.patience_with({.tokens = 4000}), seconds(48), seconds(58));
  EXPECT_LIMIT(runner.patience_with({.tokens = 150}), seconds(14), seconds(17));
}

TEST(SilenceWatch, CountsWhatOthersHaveLeftInTheSameBatch) {
  Runner runner;
  runner.learn(seconds(6));
  const auto other = runner.ask({.tokens = 300});
  EXPECT_LIMIT(runner.patience_with({.tokens = 150}), seconds(42), seconds(51));
  runner.watch.remove(other);
}

TEST(SilenceWatch, CountsSilenceFromTheLastBatchOn) {
  Runner runner;
  runner.learn(seconds(3));
  // A prompt that takes far longer than its limit, one batch after the other.
  runner.watch.remove(runner.evaluate(100 * kBatch, seconds(9)));
  EXPECT_FALSE(runner.watch.stalled());
  const auto request = runner.ask({.tokens = 4000});
  runner.watch.note_progress(request, {0, 1000, 3000, {}});
  runner.pass(seconds(6));
  runner.bring(request);
  runner.watch.note_progress(request, {kBatch, 1000 - kBatch, 3000 + kBatch, seconds(6)});
  EXPECT_LIMIT(runner.patience(), seconds(60), seconds(90));
}

TEST(SilenceWatch, TakesWhatIsCachedForDoneOnceItIsTold) {
  Runner runner;
  runner.learn(seconds(6));
  const auto request = runner.ask({.tokens = 4000});
  runner.watch.note_progress(request, {0, 40, 3960, {}});
  EXPECT_LIMIT(runner.patience(), seconds(10), seconds(10));
}

TEST(SilenceWatch, IsMorePatientDeeperThanItHasSeen) {
  Runner runner;
  runner.learn(seconds(3), 2 * kBatch);
  for (int i = 0; i < 8; i++) runner.learn(seconds(3), 2 * kBatch);
  EXPECT_LIMIT(runner.patience_with({.tokens = 900}), seconds(24), seconds(29));
  EXPECT_LIMIT(runner.patience_with({.tokens = 1900}), seconds(48), seconds(58));
  // Never more than where nothing is known.
  EXPECT_LIMIT(runner.patience_with({.tokens = 120'000}), minutes(1), minutes(5));
  runner.learn(seconds(4), 240 * kBatch);
  EXPECT_LIMIT(runner.patience_with({.tokens = 120'000}), seconds(32), seconds(39));
}

TEST(SilenceWatch, LearnsNothingOfImages) {
  Runner runner;
  for (int i = 0; i < 12; i++) {
    const auto request = runner.ask({.tokens = 600, .media = true});
    runner.watch.note_progress(request, {0, 600, 0, {}});
    runner.pass(seconds(1));
    runner.bring(request);
    runner.watch.note_progress(request, {600, 0, 600, seconds(1)});
    runner.watch.remove(request);
  }
  EXPECT_LIMIT(runner.patience_with({.tokens = 600}), minutes(5), minutes(5));
  runner.learn(milliseconds(100));
  EXPECT_LIMIT(runner.patience_with({.tokens = 600, .media = true}), minutes(1), minutes(5));
}

// One of 500 tokens that had to share its batch took long for the few that had room.
TEST(SilenceWatch, LearnsOnlyFromBatchesThatOnePromptHadToItself) {
  Runner runner;
  runner.learn(seconds(3));
  const auto first = runner.ask({.tokens = 8000});
  runner.watch.note_progress(first, {0, 8000, 0, {}});
  const auto second = runner.ask({.tokens = 8000});
  runner.watch.note_progress(second, {0, 8000, 0, {}});
  Duration time{};
  for (int64_t i = 1; i <= 12; i++) {
    runner.pass(seconds(3));
    time += seconds(3);
    runner.bring(first);
    runner.watch.note_progress(first, {i * 472, 8000 - i * 472, i * 472, time});
    runner.bring(second);
    runner.watch.note_progress(second, {i * 40, 8000 - i * 40, i * 40, time});
  }
  EXPECT_LIMIT(runner.patience(), seconds(24), seconds(32));
}

TEST(SilenceWatch, KnowsAnotherRunnersPace) {
  Runner first;
  first.learn(milliseconds(100));
  Runner second(first.pace);
  // Its first batch may take longer than those that follow.
  EXPECT_LIMIT(second.patience_with({.tokens = 4000}), seconds(30), seconds(30));
  second.learn(milliseconds(100), kBatch);
  EXPECT_LIMIT(second.patience_with({.tokens = 4000}), seconds(10), seconds(10));
}

TEST(SilenceWatch, IsPatientWhileTheRunnerIsHindered) {
  Runner runner;
  runner.learn(milliseconds(100));
  const auto request = runner.ask({.tokens = 4000});
  EXPECT_LIMIT(runner.patience({.free_share = 0.1}), seconds(100), seconds(101));
  runner.bring(request);
  EXPECT_FALSE(runner.watch.stalled());
  EXPECT_LIMIT(runner.patience({.free_share = 0}), minutes(5), minutes(5));  // Not for ever.
}

// Three seconds of work in 72.
TEST(SilenceWatch, LearnsABatchWithoutTheTimeThatTheRunnerWasHindered) {
  Runner runner;
  runner.learn(seconds(3));
  const auto request = runner.ask({.tokens = kBatch});
  runner.pass(seconds(72), {.free_share = 3.0 / 72});
  runner.bring(request);
  runner.watch.note_progress(request, {kBatch, 0, kBatch, seconds(72)});
  runner.watch.remove(request);
  EXPECT_LIMIT(runner.patience_with({.tokens = 4000}), seconds(24), seconds(90));
}

TEST(SilenceWatch, LearnsAGapWithoutTheTimeThatTheRunnerWasHindered) {
  Runner runner;
  const auto request = runner.evaluate(100, seconds(1));
  for (int i = 0; i < 30; i++) {
    runner.pass(seconds(8), {.free_share = 0.125});
    runner.bring(request);
    runner.watch.note_token(request);
  }
  EXPECT_LIMIT(runner.patience(), seconds(10), seconds(10));
}

// One prompt waits for ten batches of another one, three seconds of work in 72 each.
TEST(SilenceWatch, TakesNobodyForStarvedWhoseRunnerIsHindered) {
  constexpr ChildLook kHindered{.free_share = 1.0 / 24};
  Runner runner;
  const auto first = runner.ask({.tokens = 40 * kBatch});
  const auto advance = [&](int64_t batch) {
    runner.pass(seconds(72), kHindered);
    EXPECT_FALSE(runner.watch.stalled()) << batch;
    runner.bring(first);
    runner.watch.note_progress(
        first, {batch * kBatch, (40 - batch) * kBatch, batch * kBatch, batch * seconds(72)});
  };
  for (int64_t batch = 1; batch <= 30; batch++) advance(batch);
  runner.ask({.tokens = 4000});
  for (int64_t batch = 31; batch <= 40; batch++) advance(batch);
}

TEST(SilenceWatch, TakesForStarvedWhomOthersKeepWaitingForTooLong) {
  for (const double free_share : {1.0, 0.0}) {
    Runner runner;
    runner.learn(seconds(3));
    const auto first = runner.ask({.tokens = 4000});
    runner.ask({.tokens = 4000});
    Duration waited{};
    for (; waited < minutes(60) && !runner.watch.stalled(); waited += seconds(5)) {
      runner.pass(seconds(5), {.free_share = free_share});
      runner.bring(first);
    }
    EXPECT_LE(waited, free_share > 0 ? minutes(4) + seconds(5) : minutes(20) + seconds(5));
    EXPECT_GE(waited, free_share > 0 ? minutes(4) : minutes(20));
  }
}

TEST(SilenceWatch, DoubtsABatchThatTookFarLongerThanAllOthers) {
  Runner runner;
  runner.learn(seconds(1));
  runner.learn(seconds(100), kBatch);
  EXPECT_LIMIT(runner.patience_with({.tokens = kBatch}), seconds(64), seconds(95));
}

constexpr ChildLook kIdle{.free_share = 1, .idle = true};

TEST(SilenceWatch, IsShortWithARunnerThatDoesNothing) {
  for (const PromptWork& work :
       {PromptWork{.tokens = 4000}, PromptWork{.media = true}, PromptWork{.aside = true}}) {
    Runner runner;
    const auto request = runner.ask(work);
    EXPECT_LIMIT(runner.patience(kIdle), seconds(10), seconds(10));
    EXPECT_TRUE(runner.watch.stalled()->idle);
    runner.bring(request);
    EXPECT_FALSE(runner.watch.stalled());
  }
}

TEST(SilenceWatch, CountsOnlyTimeInWhichItDidNothingAtAll) {
  Runner runner;
  const auto request = runner.ask({.tokens = 4000});
  for (int i = 0; i < 8; i++) {
    runner.pass(seconds(9), kIdle);
    EXPECT_FALSE(runner.watch.stalled());
    runner.pass(kTick);
  }
  runner.watch.remove(request);
  runner.pass(minutes(1), kIdle);
  EXPECT_FALSE(runner.watch.stalled()) << "nobody waits";
}

// One that was stopped for a while, say.
TEST(SilenceWatch, CountsIdlenessFromWhatItBroughtLast) {
  Runner runner;
  const auto request = runner.ask({.tokens = 4000});
  runner.pass(seconds(5), kIdle);
  runner.bring(request);
  EXPECT_LIMIT(runner.patience(kIdle), seconds(10), seconds(10));
}

TEST(SilenceWatch, IsWorthALookWhereOneWaitsAllTheTime) {
  Runner runner;
  const auto request = runner.ask({.tokens = 4000});
  EXPECT_TRUE(runner.watch.is_awaited(runner.now));
  EXPECT_FALSE(runner.watch.is_awaited(runner.now - milliseconds(1)));
  const io::TimePoint before = runner.now;
  runner.pass(milliseconds(300));
  EXPECT_TRUE(runner.watch.is_awaited(before));
  runner.bring(request);
  EXPECT_FALSE(runner.watch.is_awaited(before));
  runner.watch.end_wait(request);
  EXPECT_FALSE(runner.watch.is_awaited(runner.now));
}

TEST(SilenceWatch, TakesNobodyForIdleThatMayWaitForACardOrAnotherMachine) {
  LaunchOptions options;
  options.has_cards = true;
  Runner with_card(options);
  with_card.ask({.tokens = 4000});
  EXPECT_LIMIT(with_card.patience(kIdle), minutes(5), minutes(5));
  options.has_cards = false;
  options.parts.push_back({.node = "n2", .blocks = 7});
  Runner with_parts(options);
  with_parts.ask({.tokens = 4000});
  EXPECT_LIMIT(with_parts.patience(kIdle), minutes(5), minutes(5));
}

// A machine that became ten times as slow: each wrong guess gives the next runner twice the time.
TEST(SilenceWatch, IsMorePatientAfterItEndedARunner) {
  Runner first;
  for (int i = 0; i < 10; i++) first.learn(seconds(3));
  for (int i = 1; i <= RunnerPace::kDoublingsMax + 1; i++) {
    Runner next(first.pace);
    next.ask({.tokens = 4000});
    (void)next.patience();
    next.watch.note_wedge(*next.watch.stalled());
  }
  const Duration longest = seconds(30) * (1 << RunnerPace::kDoublingsMax);
  Runner slow(first.pace);
  EXPECT_LIMIT(slow.patience_with({.tokens = 4000}), longest, longest);
  slow.watch.remove(slow.evaluate(2 * kBatch, seconds(31)));
  EXPECT_GT(slow.patience_with({.tokens = 4000}), seconds(180)) << "it is still slow";
  slow.learn(seconds(3), kBatch);
  EXPECT_LIMIT(slow.patience_with({.tokens = 4000}), seconds(24), seconds(30));
}

TEST(SilenceWatch, LearnsNoPatienceFromARunnerThatDidNothing) {
  Runner runner;
  runner.ask({.tokens = 4000});
  runner.watch.note_wedge({seconds(11), seconds(10), true});
  EXPECT_LIMIT(runner.patience(), minutes(5), minutes(5));
}

TEST(SilenceWatch, GivesALargeBatchMoreTimeWhileNothingIsKnown) {
  LaunchOptions options;
  options.batch = 2048;
  Runner runner(options);
  EXPECT_LIMIT(runner.patience_with({.tokens = 4000}), minutes(20), minutes(20));
  EXPECT_LIMIT(runner.patience_with({.tokens = 100}), minutes(5), minutes(5));
}

void say(Runner& runner, SilenceWatch::Handle request, int tokens, Duration gap) {
  for (int i = 0; i < tokens; i++) {
    runner.pass(gap);
    runner.bring(request);
    runner.watch.note_token(request);
  }
}

TEST(SilenceWatch, LearnsTheGapsOfTokens) {
  Runner runner;
  auto request = runner.evaluate(100, seconds(1));
  say(runner, request, 1, milliseconds(50));
  EXPECT_LIMIT(runner.patience(), minutes(2), minutes(2));
  runner.bring(request);
  say(runner, request, 100, milliseconds(50));
  EXPECT_LIMIT(runner.patience(), seconds(10), seconds(10));
  Runner next(runner.pace);
  request = next.evaluate(100, seconds(1));
  EXPECT_LIMIT(next.patience(), seconds(10), seconds(10));
}

TEST(SilenceWatch, DoesNotTakeAPromptsTimeForThatOfTokens) {
  Runner runner;
  const auto talking = runner.evaluate(100, seconds(1));
  say(runner, talking, 100, milliseconds(50));
  for (int i = 0; i < 100; i++) {
    const auto prompt = runner.ask({.tokens = 100});
    runner.pass(seconds(5));
    runner.bring(prompt);
    runner.watch.note_token(prompt);
    runner.bring(talking);
    runner.watch.remove(prompt);
  }
  EXPECT_LIMIT(runner.patience(), seconds(10), seconds(10));
}

TEST(SilenceWatch, GivesThirtySecondsToWhatIsDoneAside) {
  Runner runner;
  EXPECT_LIMIT(runner.patience_with({.aside = true}), seconds(30), seconds(30));
  // However soon each of them gives up.
  for (int i = 0; i < 7; i++) {
    EXPECT_FALSE(runner.watch.stalled());
    const auto request = runner.ask({.aside = true});
    runner.pass(seconds(5));
    runner.watch.remove(request);
  }
  ASSERT_TRUE(runner.watch.stalled());
  runner.watch.note_wedge(*runner.watch.stalled());
  Runner next(runner.pace);
  EXPECT_LIMIT(next.patience_with({.aside = true}), seconds(60), seconds(60));
}

TEST(SilenceWatch, GivesALongTextTheTimeThatItsBytesTake) {
  Runner runner;
  const PromptWork log_file{.aside = true, .bytes = 20'000'000};
  EXPECT_LIMIT(runner.patience_with(log_file), seconds(130), seconds(130));
  // The runner goes on with it though nobody waits for it any more.
  const auto request = runner.ask(log_file);
  runner.pass(seconds(20));
  runner.watch.end_wait(request);
  runner.watch.remove(request);
  EXPECT_LIMIT(runner.patience_with({.aside = true}), seconds(110), seconds(110));
}

TEST(SilenceWatch, TakesNothingDoneAsideForABatch) {
  Runner runner;
  runner.learn(milliseconds(100));
  const auto prompt = runner.ask({.tokens = 4000});
  for (int i = 0; i < 6; i++) {
    const auto aside = runner.ask({.aside = true});
    runner.pass(seconds(2));
    runner.watch.heard(aside, runner.now);
    runner.watch.remove(aside);
  }
  EXPECT_TRUE(runner.watch.stalled());
  runner.bring(prompt);
  EXPECT_FALSE(runner.watch.stalled());
}

TEST(SilenceWatch, GivesTextsToEmbedTheirTime) {
  Runner runner;
  for (int i = 0; i < 8; i++) {
    const auto text = runner.ask({.tokens = 200});
    runner.pass(seconds(3));
    runner.watch.heard(text, runner.now);
    runner.watch.note_evaluated(text, seconds(3));
    runner.watch.remove(text);
  }
  EXPECT_LIMIT(runner.patience_with({.tokens = 200}), seconds(24), seconds(29));
  EXPECT_LIMIT(runner.patience_with({.tokens = 20}), seconds(10), seconds(10));
}

TEST(RunnerPaces, AreOfAModelAndWhereItLies) {
  RunnerPaces paces;
  LaunchOptions options;
  options.model_path = "a";
  options.weight_bytes = 800;
  const auto pace = paces.of(options, {});
  EXPECT_EQ(paces.of(options, {}), pace);
  EXPECT_NE(paces.of(options, {800, true}), pace);
  EXPECT_NE(paces.of(options, {400, false}), paces.of(options, {800, true}));
  LaunchOptions other = options;
  other.model_path = "b";
  EXPECT_NE(paces.of(other, {}), pace);
  other = options;
  other.parts.push_back({.node = "n2", .blocks = 7});
  EXPECT_NE(paces.of(other, {}), pace);
  for (size_t i = 0; i < RunnerPaces::kEntriesMax; i++) {
    other.model_path = std::to_string(i);
    (void)paces.of(other, {});
  }
  EXPECT_NE(paces.of(options, {}), pace) << "it was used least recently";
}

}  // namespace
}  // namespace om::engine
