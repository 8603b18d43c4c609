// The real llama-server with a real small model. CI always has both.
#include <gmock/gmock.h>

#include "engine/local/local_engine.h"
#include "engine/local/stand_in_for_test.h"

namespace om::engine {
namespace {

using std::chrono::seconds;

LaunchOptions real_options() {
  LaunchOptions options;
  options.program = testing::real_llama_server();
  options.model_path = testing::real_model();
  options.runtime_directory = testing::temporary_directory() + "/run";
  options.name = "smollm2";
  options.context_length = 1024;
  options.slots = 2;
  options.threads = 2;
  return options;
}

io::Task<void> answers(io::World& world, LocalEngine& engine) {
  const io::Call call = world.clock.call_within(seconds(120));
  EXPECT_EQ(engine.properties().context_length, 1024);
  EXPECT_EQ(engine.properties().slots, 2);
  EXPECT_FALSE(engine.properties().vision);
  std::string text =
      "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n"
      "<|im_start|>assistant\n";
  auto tokens = co_await engine.tokenize(text, true, call);
  CO_ASSERT(tokens, tokens.error().what);
  CompletionRequest request;
  request.tokens = *tokens;
  request.sampling.num_predict = 40;
  request.sampling.temperature = 0;
  request.sampling.seed = 4000000000;
  request.logprobs = 2;
  auto completion = co_await engine.complete(std::move(request), call);
  CO_ASSERT(completion, completion.error().what);
  std::string answer;
  size_t logprobs = 0;
  Piece last;
  while (!last.done) {
    auto piece = co_await (*completion)->next();
    CO_ASSERT(piece, piece.error().what);
    answer += piece->text;
    logprobs += piece->logprobs.size();
    last = std::move(*piece);
  }
  EXPECT_THAT(answer, ::testing::HasSubstr("Paris"));
  EXPECT_EQ(last.prompt_tokens, static_cast<int64_t>(tokens->size()));
  EXPECT_EQ(static_cast<int64_t>(logprobs), last.output_tokens);
  EXPECT_GT(last.output_time.count(), 0);
}

io::Task<void> holds_back_stop_strings(io::World& world, LocalEngine& engine) {
  const io::Call call = world.clock.call_within(seconds(120));
  CompletionRequest request;
  request.prompt = "1 2 3 4 5 6 7";
  request.constraint.grammar = R"(root ::= "alpha beta gamma")";
  request.sampling.num_predict = 2;
  // Every text so far is the beginning of this stop string, so the runner never sends it.
  request.sampling.stop = {"alpha beta gamma delta"};
  request.logprobs = 1;
  auto completion = co_await engine.complete(std::move(request), call);
  CO_ASSERT(completion, completion.error().what);
  std::string answer;
  size_t logprobs = 0;
  Piece last;
  while (!last.done) {
    auto piece = co_await (*completion)->next();
    CO_ASSERT(piece, piece.error().what);
    answer += piece->text;
    logprobs += piece->logprobs.size();
    last = std::move(*piece);
  }
  EXPECT_TRUE(last.limit);
  EXPECT_EQ(logprobs, 2u);
  EXPECT_FALSE(answer.empty());
  EXPECT_TRUE(std::string("alpha beta gamma").starts_with(answer)) << answer;
}

io::Task<void> refuses_bad_grammar(io::World& world, LocalEngine& engine) {
  CompletionRequest request;
  request.prompt = "x";
  request.constraint.grammar = "no grammar";
  auto completion =
      co_await engine.complete(std::move(request), world.clock.call_within(seconds(60)));
  CO_ASSERT(!completion);
  EXPECT_EQ(completion.error().code, Errc::invalid_argument);
  EXPECT_THAT(completion.error().what, ::testing::HasSubstr("failed to parse grammar"));
}

io::Task<void> real_life(io::World& world) {
  auto probe = std::make_shared<GrammarProbe>();
  LocalEngine engine(world, real_options(), probe);
  auto loaded = co_await engine.load(world.clock.call_within(seconds(120)));
  CO_ASSERT(loaded, loaded.error().what);
  EXPECT_FALSE(probe->is_due());
  EXPECT_TRUE(probe->check());  // The build that is pinned advances grammars.
  co_await answers(world, engine);
  co_await holds_back_stop_strings(world, engine);
  co_await refuses_bad_grammar(world, engine);
  EXPECT_GT(engine.process().memory().resident, 50u << 20);
  co_await engine.stop();
}

io::Task<void> tells_bad_model(io::World& world) {
  LaunchOptions options = real_options();
  options.model_path = "CMakeLists.txt";
  LocalEngine engine(world, std::move(options));
  auto loaded = co_await engine.load(world.clock.call_within(seconds(120)));
  CO_ASSERT(!loaded);
  EXPECT_EQ(loaded.error().code, Errc::unavailable);
  EXPECT_THAT(loaded.error().what,
              ::testing::HasSubstr("llama-server process has terminated: exit status 1: "));
  EXPECT_THAT(loaded.error().what, ::testing::HasSubstr("invalid magic"));
}

bool present() {
  if (!testing::real_llama_server().empty() && !testing::real_model().empty()) return true;
  ADD_FAILURE() << "llama-server or SmolLM2 is missing: ./run build and ./run models fetch them "
                   "(OLLAMAMAX_LLAMA_DIR, ~/.cache/ollamamax/models)";
  return false;
}

TEST(RealLlamaServer, AnswersThroughTheEngine) {
  if (present()) testing::run(real_life);
}
TEST(RealLlamaServer, SaysWhyAFileIsNoModel) {
  if (present()) testing::run(tells_bad_model);
}

}  // namespace
}  // namespace om::engine
