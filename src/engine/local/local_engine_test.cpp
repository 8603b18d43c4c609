#include "engine/local/local_engine.h"

#include <gmock/gmock.h>

#include "engine/local/stand_in_for_test.h"
#include "io/task_group.h"

namespace om::engine {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Behaviour;
using testing::fake_options;
using ::testing::HasSubstr;
using ::testing::Not;

using Body = io::Task<void> (*)(io::World&, LocalEngine&);

io::Task<void> with_engine(io::World& world, LaunchOptions options, Body body) {
  LocalEngine engine(world, std::move(options));
  auto loaded = co_await engine.load(world.clock.call_within(seconds(60)));
  CO_ASSERT(loaded, loaded.error().what);
  co_await body(world, engine);
  co_await engine.stop();
}

void run_with(LaunchOptions options, Body body) {
  testing::run([&](io::World& world) { return with_engine(world, options, body); });
}

CompletionRequest prompt(std::string text, int num_predict = -1) {
  CompletionRequest request;
  request.prompt = std::move(text);
  request.sampling.num_predict = num_predict;
  return request;
}

struct Outcome {
  std::string text;
  size_t pieces = 0;
  std::vector<model::Logprob> logprobs;
  std::vector<Token> tokens;
  Piece last;
  std::optional<Error> error;
};

io::Task<Outcome> read_all(Engine& engine, CompletionRequest request, io::Call call) {
  Outcome outcome;
  auto completion = co_await engine.complete(std::move(request), call);
  if (!completion) {
    outcome.error = completion.error();
    co_return outcome;
  }
  while (!outcome.last.done) {
    auto piece = co_await (*completion)->next();
    if (!piece) {
      outcome.error = piece.error();
      co_return outcome;
    }
    outcome.pieces++;
    outcome.text += piece->text;
    std::ranges::copy(piece->tokens, std::back_inserter(outcome.tokens));
    std::ranges::copy(piece->logprobs, std::back_inserter(outcome.logprobs));
    outcome.last = std::move(*piece);
  }
  co_return outcome;
}

io::Call soon(io::World& world) { return world.clock.call_within(seconds(60)); }

io::Task<void> streams_pieces(io::World& world, LocalEngine& engine) {
  EXPECT_EQ(engine.properties().context_length, 4096);
  EXPECT_EQ(engine.properties().slots, 1);
  auto outcome = co_await read_all(engine, prompt("hello", 3), soon(world));
  CO_ASSERT(!outcome.error, outcome.error->what);
  EXPECT_EQ(outcome.text, " The quick brown");
  EXPECT_EQ(outcome.pieces, 4u);
  EXPECT_TRUE(outcome.last.limit);
  EXPECT_EQ(outcome.last.prompt_tokens, 5);
  EXPECT_EQ(outcome.last.output_tokens, 3);
  EXPECT_EQ(outcome.tokens, (std::vector<Token>{2000000, 2000001, 2000002}));
}
TEST(LocalEngine, StreamsACompletion) { run_with(fake_options(), streams_pieces); }

io::Task<void> brings_logprobs(io::World& world, LocalEngine& engine) {
  CompletionRequest request = prompt("hello", 4);
  request.logprobs = 0;
  auto outcome = co_await read_all(engine, std::move(request), soon(world));
  CO_ASSERT(!outcome.error, outcome.error->what);
  CO_ASSERT(outcome.logprobs.size() == 4u);
  EXPECT_EQ(outcome.logprobs[0].token, " The");
  EXPECT_TRUE(outcome.logprobs[0].top.empty());
}
TEST(LocalEngine, BringsTheChosenTokensLogprobWithoutAlternatives) {
  run_with(fake_options(), brings_logprobs);
}

io::Task<void> keeps_words_of_refusal(io::World& world, LocalEngine& engine) {
  auto outcome = co_await read_all(engine, prompt(std::string(5000, 'x')), soon(world));
  CO_ASSERT(outcome.error.has_value());
  EXPECT_EQ(outcome.error->code, Errc::invalid_argument);
  EXPECT_THAT(outcome.error->what, HasSubstr(R"("type": "exceed_context_size_error")"));
  auto vector = co_await engine.embed({1, 2}, true, soon(world));
  CO_ASSERT(!vector);
  EXPECT_EQ(vector.error().code, Errc::unsupported);
}
TEST(LocalEngine, KeepsTheRunnersOwnWordsOfARefusal) {
  run_with(fake_options(), keeps_words_of_refusal);
}

io::Task<void> ends_at_context(io::World& world, LocalEngine& engine) {
  CompletionRequest request = prompt(std::string(50, 'x'), 1000);
  request.shift = false;  // The length of a text prompt is known only once the runner tells it.
  auto outcome = co_await read_all(engine, std::move(request), soon(world));
  CO_ASSERT(!outcome.error, outcome.error->what);
  EXPECT_TRUE(outcome.last.limit);
  EXPECT_EQ(outcome.last.output_tokens, 14);
}
TEST(LocalEngine, EndsAnswerAtTheContextWhenItMustNotShift) {
  LaunchOptions options = fake_options();
  options.context_length = 64;
  run_with(options, ends_at_context);
}

io::Task<void> tokenizes(io::World& world, LocalEngine& engine) {
  auto tokens = co_await engine.tokenize("a\"é", true, soon(world));
  CO_ASSERT(tokens, tokens.error().what);
  EXPECT_EQ(*tokens, (std::vector<Token>{1, 'a', '"', 0xe9}));
  auto text = co_await engine.detokenize(*tokens, soon(world));
  CO_ASSERT(text, text.error().what);
  EXPECT_EQ(*text, "a\"é");
}
TEST(LocalEngine, TokenizesAndBack) { run_with(fake_options(), tokenizes); }

io::Task<void> goes_on_under_a_grammar(io::World& world, LocalEngine& engine) {
  CompletionRequest request;
  request.prompt = "x";
  request.constraint.grammar = "root ::= [a-z]+";
  auto begun = co_await engine.complete(request, world.clock.call_within(seconds(20)));
  CO_ASSERT(begun, begun.error().what);
  request.constraint.generation_prompt = "said";
  auto gone_on = co_await engine.complete(request, world.clock.call_within(seconds(20)));
  const bool begins_anew = engine.process().options().environment.back().second == "1";
  EXPECT_EQ(gone_on.has_value(), !begins_anew);
  if (!gone_on) {
    EXPECT_EQ(gone_on.error().code, Errc::unsupported);
    EXPECT_THAT(gone_on.error().what, HasSubstr("does not advance a grammar"));
  }
}
TEST(LocalEngine, GoesOnUnderAGrammarWhereTheRunnerAdvancesIt) {
  run_with(fake_options({{"ANEW", "0"}}), goes_on_under_a_grammar);
}
TEST(LocalEngine, RefusesToGoOnWhereTheRunnerWouldBeginTheGrammarAnew) {
  run_with(fake_options({{"ANEW", "1"}}), goes_on_under_a_grammar);
}

TEST(GrammarProbe, TakesOnlyTheRestForAnAdvancedGrammar) {
  GrammarProbe probe;
  EXPECT_TRUE(probe.is_due());
  EXPECT_TRUE(probe.check());
  for (const auto& [content, advances] :
       {std::pair("x", true), {"xyz", true}, {"", false}, {"a", false}, {" x", false}}) {
    probe.take(content);
    EXPECT_FALSE(probe.is_due());
    EXPECT_EQ(probe.check().has_value(), advances) << content;
  }
}

io::Task<void> embeds(io::World& world, LocalEngine& engine) {
  EXPECT_EQ(engine.properties().context_length, 1024);  // Not the batch's: it may take several.
  auto raw = co_await engine.embed({5, 6}, false, soon(world));
  CO_ASSERT(raw, raw.error().what);
  EXPECT_EQ(raw->vector, (std::vector<float>{12, 2, 2, -1}));
  EXPECT_EQ(raw->tokens, 2);
  auto unit = co_await engine.embed({5, 6}, true, soon(world));
  CO_ASSERT(unit, unit.error().what);
  float sum = 0;
  for (float x : unit->vector) sum += x * x;
  EXPECT_NEAR(sum, 1, 1e-5);
}
TEST(LocalEngine, EmbedsNormalizedOrNot) {
  LaunchOptions options = fake_options();
  options.embedding = true;
  options.context_length = 1024;
  run_with(options, embeds);
}

// --- what goes wrong ---

io::Task<void> tells_death(io::World& world, LocalEngine& engine) {
  auto outcome = co_await read_all(engine, prompt("x"), soon(world));
  CO_ASSERT(outcome.error.has_value());
  EXPECT_EQ(outcome.error->code, Errc::unavailable);
  EXPECT_EQ(outcome.text, " The quick brown");
  EXPECT_THAT(outcome.error->what, HasSubstr("model runner has unexpectedly stopped, this may be "
                                             "due to resource limitations or an internal error"));
  EXPECT_THAT(outcome.error->what, HasSubstr("signal 9"));
  EXPECT_THAT(outcome.error->what, HasSubstr("fake llama dies"));
  EXPECT_FALSE(engine.process().alive());
  EXPECT_EQ(engine.blame(), Blame::none);
  auto again = co_await engine.complete(prompt("x"), soon(world));
  CO_ASSERT(!again);
  EXPECT_EQ(again.error().code, Errc::unavailable);
}
TEST(LocalEngine, TellsWhyAStreamBrokeWhenTheRunnerDies) {
  run_with(fake_options({{"CRASH_AFTER", "3"}}), tells_death);
}

TEST(LocalEngine, TellsADeathBeforeTheFirstToken) {
  run_with(fake_options({{"CRASH_ON", "poison"}}),
           [](io::World& world, LocalEngine& engine) -> io::Task<void> {
             auto outcome = co_await read_all(engine, prompt("poison"), soon(world));
             CO_ASSERT(outcome.error.has_value());
             EXPECT_EQ(outcome.error->code, Errc::unavailable);
             EXPECT_EQ(outcome.pieces, 0u);
           });
}

io::Task<void> wedges(io::World& world, LocalEngine& engine) {
  const io::TimePoint start = world.clock.now();
  auto outcome = co_await read_all(engine, prompt("x"), soon(world));
  CO_ASSERT(outcome.error.has_value());
  EXPECT_EQ(outcome.error->code, Errc::unavailable);
  EXPECT_THAT(outcome.error->what, HasSubstr("brought no token for"));
  EXPECT_EQ(engine.blame(), Blame::suspicion);
  EXPECT_GE(world.clock.now() - start, milliseconds(300));
  // It ignores SIGTERM and has to be killed.
  auto slept = co_await world.clock.sleep_for(milliseconds(50));
  EXPECT_TRUE(slept);
  co_await engine.stop();
  EXPECT_FALSE(engine.process().alive());
}
// How long it may bring no token, and how long while a prompt is read.
LaunchOptions patient_options(Behaviour behaviour, io::Duration tokens, io::Duration prompts) {
  LaunchOptions options = fake_options(std::move(behaviour));
  options.stall_floor = options.stall_first = tokens;
  options.prefill_stall_floor = options.prefill_stall_first = prompts;
  return options;
}

void expect_wedged(Behaviour behaviour) {
  LaunchOptions options =
      patient_options(std::move(behaviour), milliseconds(300), milliseconds(300));
  options.stop_grace = milliseconds(200);
  run_with(options, wedges);
}
TEST(LocalEngine, EndsARunnerThatAnswersButBringsNoToken) {
  expect_wedged({{"WEDGE_AFTER", "2"}, {"IGNORE_TERM", "1"}});
}

TEST(LocalEngine, TakesSignsOfLifeForNoToken) {
  expect_wedged({{"WEDGE_AFTER", "2"}, {"IGNORE_TERM", "1"}, {"PING_S", "0.05"}});
}

// Each gives up long before it may take the runner for wedged.
io::Task<void> give_up_soon(io::World& world, LocalEngine& engine) {
  for (int i = 0; i < 40 && engine.process().alive(); i++) {
    const auto outcome =
        co_await read_all(engine, prompt("x"), world.clock.call_within(milliseconds(100)));
    EXPECT_TRUE(outcome.error.has_value());
  }
  EXPECT_FALSE(engine.process().alive());
}
TEST(LocalEngine, EndsAWedgedRunnerThoughEverybodyGivesUpSoon) {
  run_with(patient_options({{"PREFILL_S", "1000"}}, milliseconds(400), milliseconds(400)),
           give_up_soon);
}

io::Task<void> wait_behind_a_prompt(io::World& world, LocalEngine& engine) {
  RunnerProcess& process = engine.process();
  RunnerProcess::Watch tokens(process.shared_from_this());
  tokens.note_token();
  tokens.begin_wait();
  std::optional<RunnerProcess::Watch> prompt(process.shared_from_this());
  prompt->begin_wait();
  (void)co_await world.clock.sleep_for(milliseconds(800));
  prompt.reset();  // Its client leaves; the runner may be in the midst of it.
  (void)co_await world.clock.sleep_for(milliseconds(400));
  EXPECT_TRUE(process.alive());
  tokens.heard();
  (void)co_await world.clock.sleep_for(milliseconds(800));
  EXPECT_FALSE(process.alive()) << "no prompt is to blame any more";
}
TEST(LocalEngine, IsPatientWithAPromptThatNobodyWaitsForAnyMore) {
  run_with(patient_options({}, milliseconds(200), seconds(30)), wait_behind_a_prompt);
}

io::Task<void> is_patient(io::World& world, LocalEngine& engine) {
  auto outcome = co_await read_all(engine, prompt("x", 3), soon(world));
  EXPECT_FALSE(outcome.error.has_value());
}
TEST(LocalEngine, IsMorePatientWhileAPromptIsRead) {
  run_with(patient_options({{"PREFILL_S", "0.6"}}, milliseconds(200), seconds(30)), is_patient);
}

io::Task<void> hangs(io::World& world, LaunchOptions options, std::shared_ptr<RunnerPaces> paces,
                     int prompts, std::string limit) {
  LocalEngine engine(world, std::move(options), std::make_shared<GrammarProbe>(), paces);
  auto loaded = co_await engine.load(soon(world));
  CO_ASSERT(loaded, loaded.error().what);
  for (int i = 0; i < prompts; i++) {
    const auto outcome = co_await read_all(engine, prompt(std::string(500, 'x'), 30), soon(world));
    CO_ASSERT(!outcome.error, outcome.error->what);
  }
  const auto outcome = co_await read_all(engine, prompt("hang" + std::string(500, 'x')), {});
  CO_ASSERT(outcome.error.has_value());
  EXPECT_THAT(outcome.error->what, HasSubstr(limit));
  co_await engine.stop();
}

io::Task<void> hangs_idle(io::World& world, LocalEngine& engine) {
  ::kill(engine.process().pid(), SIGSTOP);
  const auto tokens = co_await engine.tokenize("x", false, soon(world));
  CO_ASSERT(!tokens);
  EXPECT_EQ(tokens.error().code, Errc::unavailable);
  EXPECT_THAT(tokens.error().what, HasSubstr("(limit 0.3 s)"));
}
TEST(LocalEngine, EndsARunnerThatHungWhileNobodyAsked) {
  LaunchOptions options = patient_options({}, milliseconds(300), seconds(30));
  options.stop_grace = milliseconds(200);
  run_with(options, hangs_idle);
}

io::Task<void> hangs_twice(io::World& world) {
  LaunchOptions options =
      patient_options({{"PROMPT_RATE", "5000"}, {"HANG_ON", "hang"}}, seconds(30), seconds(40));
  options.stall_floor = milliseconds(300);
  options.batch = 128;
  options.stop_grace = milliseconds(200);
  auto paces = std::make_shared<RunnerPaces>();
  co_await hangs(world, options, paces, 4, "(limit 0.3 s)");
  // The next one knows; its first prompt may take longer, and twice that after a wedge.
  co_await hangs(world, options, paces, 0, "(limit 1.8 s)");
}
TEST(LocalEngine, EndsARunnerThatHangsInAPromptBeforeLong) { testing::run(hangs_twice); }

io::Task<void> refuses_garbage(io::World& world, LocalEngine& engine) {
  auto outcome = co_await read_all(engine, prompt("x"), soon(world));
  CO_ASSERT(outcome.error.has_value());
  EXPECT_EQ(outcome.error->code, Errc::corrupt);
  EXPECT_THAT(outcome.error->what, HasSubstr("the runner sent"));
  EXPECT_TRUE(engine.process().alive());
}
TEST(LocalEngine, EndsAStreamOfGarbage) {
  run_with(fake_options({{"GARBAGE_AFTER", "2"}}), refuses_garbage);
}
TEST(LocalEngine, EndsAStreamOfBrokenUtf8) {
  run_with(fake_options({{"UTF8_AFTER", "2"}}), refuses_garbage);
}
TEST(LocalEngine, EndsAnEndlessLine) {
  run_with(fake_options({{"ENDLESS_AFTER", "2"}}), refuses_garbage);
}

io::Task<void> needs_final(io::World& world, LocalEngine& engine) {
  auto outcome = co_await read_all(engine, prompt("x"), soon(world));
  CO_ASSERT(outcome.error.has_value());
  EXPECT_EQ(outcome.error->code, Errc::unavailable);
  EXPECT_THAT(outcome.error->what, HasSubstr("before the answer was complete"));
}
TEST(LocalEngine, TakesNoStreamForCompleteWithoutItsFinalEvent) {
  run_with(fake_options({{"END_AFTER", "2"}}), needs_final);
}

io::Task<void> passes_error(io::World& world, LocalEngine& engine) {
  auto outcome = co_await read_all(engine, prompt("x"), soon(world));
  CO_ASSERT(outcome.error.has_value());
  EXPECT_EQ(outcome.error->code, Errc::internal);
  EXPECT_EQ(outcome.error->what, "Compute error.");
}
TEST(LocalEngine, PassesOnAnErrorInTheStream) {
  run_with(fake_options({{"ERROR_AFTER", "1"}}), passes_error);
}

io::Task<void> obeys_cancel(io::World& world, LocalEngine& engine) {
  io::CancelSource source;
  auto completion = co_await engine.complete(prompt("x"), io::Call{io::kNever, source.token()});
  CO_ASSERT(completion, completion.error().what);
  auto piece = co_await (*completion)->next();
  CO_ASSERT(piece, piece.error().what);
  source.cancel();
  auto after = co_await (*completion)->next();
  while (after && !after->done) after = co_await (*completion)->next();
  CO_ASSERT(!after);
  EXPECT_EQ(after.error().code, Errc::cancelled);
  completion->reset();
  // The only slot is free again.
  auto outcome = co_await read_all(engine, prompt("y", 1), soon(world));
  EXPECT_FALSE(outcome.error.has_value());
}
TEST(LocalEngine, FreesTheSlotOfAClientThatLeft) {
  run_with(fake_options({{"TOKEN_S", "0.05"}, {"TOKENS", "1000"}}), obeys_cancel);
}

io::Task<void> stops_streams(io::World& world, LocalEngine& engine) {
  auto completion = co_await engine.complete(prompt("x"), soon(world));
  CO_ASSERT(completion, completion.error().what);
  co_await engine.stop();
  Result<Piece> piece = co_await (*completion)->next();
  while (piece && !piece->done) piece = co_await (*completion)->next();
  CO_ASSERT(!piece);
  EXPECT_EQ(piece.error().code, Errc::unavailable);
}
TEST(LocalEngine, BreaksItsStreamsWhenStopped) {
  run_with(fake_options({{"TOKEN_S", "0.05"}, {"TOKENS", "1000"}}), stops_streams);
}

// --- loading ---

io::Task<void> fails_to_load(io::World& world, LaunchOptions options, std::string expected) {
  LocalEngine engine(world, std::move(options));
  auto loaded = co_await engine.load(soon(world));
  CO_ASSERT(!loaded);
  EXPECT_THAT(loaded.error().what, HasSubstr(expected));
  EXPECT_FALSE(engine.process().alive());
}
void expect_load_failure(const LaunchOptions& options, const std::string& expected) {
  testing::run([&](io::World& world) { return fails_to_load(world, options, expected); });
}

TEST(LocalEngine, TellsTheLastWordsOfARunnerThatDoesNotStart) {
  expect_load_failure(fake_options({{"LOAD_EXIT", "1"}}),
                      "llama-server process has terminated: exit status 1: error: failed to load "
                      "model '/nonexistent/fake.gguf'");
}
TEST(LocalEngine, SaysThatTheProgramIsMissing) {
  LaunchOptions options = fake_options();
  options.program = "/nonexistent/llama-server";
  expect_load_failure(options, "/nonexistent/llama-server");
}
TEST(LocalEngine, GivesUpALoadWithoutProgress) {
  LaunchOptions options = fake_options({{"LOAD_S", "60"}, {"LOAD_SILENT", "1"}});
  options.load_stall_max = milliseconds(1000);
  expect_load_failure(options, "timed out loading fake: no progress for 1 s");
}
TEST(LocalEngine, WaitsForASlowLoadThatShowsProgress) {
  LaunchOptions options = fake_options({{"LOAD_S", "1.5"}});
  options.load_stall_max = milliseconds(1000);
  run_with(options, streams_pieces);
  options = fake_options({{"LOAD_S", "1.5"}, {"LOAD_SILENT", "1"}, {"LOAD_READS", "1"}});
  options.load_stall_max = milliseconds(1000);
  run_with(options, streams_pieces);
}

io::Task<void> cancels_load(io::World& world) {
  io::CancelSource source;
  LocalEngine engine(world, fake_options({{"LOAD_S", "60"}}));
  const auto timer =
      world.clock.start_timer(world.clock.now() + milliseconds(300), [&] { source.cancel(); });
  auto loaded = co_await engine.load(io::Call{io::kNever, source.token()});
  world.clock.cancel_timer(timer);
  CO_ASSERT(!loaded);
  EXPECT_EQ(loaded.error().code, Errc::cancelled);
}
TEST(LocalEngine, EndsALoadThatNobodyWantsAnyMore) { testing::run(cancels_load); }

io::Task<void> survives_a_kill_while_loading(io::World& world) {
  LocalEngine engine(world, fake_options({{"LOAD_S", "1.5"}}));
  int first = 0;
  const auto timer = world.clock.start_timer(world.clock.now() + milliseconds(500), [&] {
    first = engine.process().pid();
    ::kill(first, SIGKILL);
  });
  auto loaded = co_await engine.load(io::Call{});
  world.clock.cancel_timer(timer);
  CO_ASSERT(loaded, loaded.error().what);
  EXPECT_GT(first, 0);
  EXPECT_NE(engine.process().pid(), first);
  EXPECT_TRUE(engine.alive());
  co_await engine.stop();
}
TEST(LocalEngine, StartsAgainAfterAKillWhileItLoaded) {
  testing::run(survives_a_kill_while_loading);
}

io::Task<void> load_into(LocalEngine& engine, std::optional<Result<void>>& loaded) {
  loaded = co_await engine.load(io::Call{});
}

io::Task<void> stops_while_loading(io::World& world) {
  LocalEngine engine(world, fake_options({{"LOAD_S", "30"}}));
  std::optional<Result<void>> loaded;
  io::TaskGroup group(world.executor, world.clock);
  group.spawn(load_into(engine, loaded));
  auto slept = co_await world.clock.sleep_for(milliseconds(300));
  EXPECT_TRUE(slept);
  const RunnerProcess* first = &engine.process();
  co_await engine.stop();
  co_await group.wait();
  CO_ASSERT(loaded && !*loaded, "a load that was stopped went well");
  EXPECT_EQ(&engine.process(), first) << "nothing is started anew";
  EXPECT_FALSE(engine.alive());
}
TEST(LocalEngine, DoesNotStartAgainWhenStoppedWhileItLoads) { testing::run(stops_while_loading); }

}  // namespace
}  // namespace om::engine
