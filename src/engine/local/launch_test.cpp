#include "engine/local/launch.h"

#include <gmock/gmock.h>

#include <boost/json.hpp>

#include "engine/local/completion_body.h"
#include "engine/local/stall_limit.h"

namespace om::engine {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

const LaunchSecrets kSecrets{"/run/x.sock", "the-key", "<m>"};

std::string command_line(const LaunchOptions& options) {
  auto spawn = launch_command(options, kSecrets);
  return spawn ? fmt::format("{} ", fmt::join(spawn->argv, " ")) : spawn.error().what;
}

TEST(Launch, GivesEverySlotItsWholeContext) {
  LaunchOptions options{.program = "p", .model_path = "m", .context_length = 4096, .slots = 4};
  EXPECT_THAT(command_line(options),
              HasSubstr("-c 16384 -np 4 --kv-unified --kv-unified-per-slot 4096 "));
  options.unified_kv = false;
  EXPECT_THAT(command_line(options), HasSubstr("-c 16384 -np 4 --no-kv-unified "));
}

TEST(Launch, ComputesTheSameInEveryBatchWhenAsked) {
  LaunchOptions options{.program = "p", .model_path = "m", .slots = 4, .unified_kv = false};
  options.flash_attention = "off";
  options.gpu_layers = 8;
  options.deterministic = true;
  EXPECT_THAT(command_line(options), HasSubstr("--no-kv-unified "));
  EXPECT_THAT(command_line(options), HasSubstr("--flash-attn off --no-repack -ngl 0 "));
  auto spawn = launch_command(options, kSecrets);
  ASSERT_TRUE(spawn);
  EXPECT_THAT(spawn->environment,
              Contains(std::pair<std::string, std::string>("GGML_CPU_TILED_MM", "0")));
}

TEST(Launch, AsksToBeToldWhatLiesOnCards) {
  LaunchOptions options{.program = "p", .model_path = "m"};
  EXPECT_THAT(command_line(options), HasSubstr("--log-verbosity 3 "));
  options.has_cards = true;
  options.card_margin_mib = 1536;
  EXPECT_THAT(command_line(options), HasSubstr("--log-verbosity 4 "));
  EXPECT_THAT(command_line(options), HasSubstr("--fit-target 1536"));
}

// What the runner would do without them is another thing: its prompt cache may take 8 GiB.
TEST(Launch, TellsTheRunnerWhatWasPlannedAndAskedFor) {
  LaunchOptions options{.program = "p", .model_path = "m", .slots = 2};
  std::string line = command_line(options);
  for (const char* words :
       {"--cache-ram 0 ", "--no-cache-idle-slots ", "--no-slots ", "--context-shift "}) {
    EXPECT_THAT(line, HasSubstr(words));
  }
  for (const char* word : {"--ctx-checkpoints", "--main-gpu", "--load-mode", "--fit "}) {
    EXPECT_THAT(line, Not(HasSubstr(word)));
  }
  options.prompt_cache_mib = 512;
  options.checkpoints = 3;
  options.main_gpu = 1;
  options.use_mmap = false;
  options.parts = {{"n2", 4}};
  options.part_ports = {5000};
  line = command_line(options);
  for (const char* words : {"--cache-ram 512 ", "--ctx-checkpoints 3 ",
                            "--split-mode none --main-gpu 1 ", "--load-mode none ", "--fit off "}) {
    EXPECT_THAT(line, HasSubstr(words));
  }
  options.use_mmap = true;
  EXPECT_THAT(command_line(options), HasSubstr("--load-mode mmap "));
}

TEST(Launch, KeepsTheKeyOutOfTheCommandLine) {
  const LaunchOptions options{.program = "p", .model_path = "m"};
  EXPECT_THAT(command_line(options), Not(HasSubstr("the-key")));
  auto spawn = launch_command(options, kSecrets);
  ASSERT_TRUE(spawn);
  EXPECT_THAT(spawn->environment,
              Contains(std::pair<std::string, std::string>("LLAMA_API_KEY", "the-key")));
}

TEST(Launch, NeverGoesToTheNetwork) {
  EXPECT_THAT(command_line({.program = "p", .model_path = "m"}), HasSubstr(" --offline "));
}

TEST(Launch, LoadsAdaptersProjectorsAndDrafts) {
  LaunchOptions options{.program = "p", .model_path = "m"};
  options.adapter_paths = {"a", "b"};
  options.projector_paths = {"v"};
  options.draft_path = "d";
  EXPECT_THAT(command_line(options), HasSubstr("--lora a,b --mmproj v --spec-draft-model d "));
}

TEST(Launch, MakesAnEmbeddingBatchAsLargeAsATextMayBe) {
  LaunchOptions options{.program = "p", .model_path = "m", .batch = 2048, .embedding = true};
  EXPECT_THAT(command_line(options), HasSubstr("-b 2048 -ub 2048 --embeddings "));
}

TEST(Launch, RefusesASocketPathThatNoSystemTakes) {
  LaunchSecrets secrets = kSecrets;
  secrets.socket_path = "/" + std::string(kSocketPathMax, 'x');
  auto spawn = launch_command({}, secrets);
  ASSERT_FALSE(spawn);
  EXPECT_EQ(spawn.error().code, Errc::invalid_argument);
}

boost::json::object body_of(const CompletionRequest& request, int context = 100) {
  auto body = completion_body(request, context);
  return body ? boost::json::parse(*body).as_object() : boost::json::object{};
}

TEST(CompletionBody, SendsTokensAndSamplingByTheRunnersNames) {
  CompletionRequest request;
  request.tokens = {1, 2, 3};
  request.sampling.num_predict = 9;
  request.sampling.seed = 42;
  request.sampling.stop = {"\n", "\"x\""};
  const auto body = body_of(request);
  EXPECT_EQ(boost::json::serialize(body.at("prompt")), "[1,2,3]");
  EXPECT_EQ(body.at("n_predict").to_number<int>(), 9);
  EXPECT_EQ(body.at("seed").to_number<int>(), 42);
  EXPECT_EQ(boost::json::serialize(body.at("stop")), R"(["\n","\"x\""])");
  EXPECT_DOUBLE_EQ(body.at("temperature").to_number<double>(), 0.8);
  EXPECT_FALSE(body.contains("n_probs"));
  EXPECT_TRUE(body.at("stream").as_bool());
}

TEST(CompletionBody, EndsWhereTheContextDoesIfItMustNotShift) {
  CompletionRequest request;
  request.tokens.assign(60, 7);
  request.shift = false;
  EXPECT_EQ(body_of(request).at("n_predict").to_number<int>(), 40);
  request.sampling.num_predict = 10;
  EXPECT_EQ(body_of(request).at("n_predict").to_number<int>(), 10);
  request.shift = true;
  request.sampling.num_predict = 1000;
  EXPECT_EQ(body_of(request).at("n_predict").to_number<int>(), 1000);
}

TEST(CompletionBody, SendsMediaBesideTheText) {
  CompletionRequest request;
  request.prompt = "see <m>";
  request.media = {std::string("\x00\xff\x10", 3)};
  const auto body = body_of(request);
  EXPECT_EQ(body.at("prompt").at("prompt_string").as_string(), "see <m>");
  EXPECT_EQ(body.at("prompt").at("multimodal_data").at(0).as_string(), "AP8Q");
}

TEST(CompletionBody, SendsConstraints) {
  CompletionRequest request;
  request.prompt = "x";
  request.constraint.grammar = "root ::= \"a\"";
  request.constraint.tool_grammar = true;
  request.constraint.grammar_lazy = true;
  request.constraint.grammar_triggers = {{1, "<tool>"}};
  request.constraint.preserved_tokens = {"<tool>"};
  request.constraint.generation_prompt = "so far";
  const auto body = body_of(request);
  EXPECT_EQ(body.at("grammar").as_string(), "root ::= \"a\"");
  EXPECT_EQ(body.at("grammar_type").as_string(), "tool_calls");
  EXPECT_TRUE(body.at("grammar_lazy").as_bool());
  EXPECT_EQ(body.at("grammar_triggers").at(0).at("value").as_string(), "<tool>");
  EXPECT_EQ(body.at("preserved_tokens").at(0).as_string(), "<tool>");
  EXPECT_EQ(body.at("generation_prompt").as_string(), "so far");
}

TEST(CompletionBody, LetsNoSchemaSmuggleOtherFields) {
  CompletionRequest request;
  request.prompt = "x";
  request.constraint.json_schema = R"({"type":"object"},"n_predict":5)";
  auto body = completion_body(request, 100);
  ASSERT_FALSE(body);
  EXPECT_EQ(body.error().code, Errc::invalid_argument);
}

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(StallLimit, IsEightTimesTheUsualGap) {
  StallLimit limit(seconds(10), seconds(120));
  EXPECT_EQ(limit.limit(), seconds(120));
  for (int i = 0; i < 50; i++) limit.add(milliseconds(20));
  EXPECT_EQ(limit.limit(), seconds(10));
  for (int i = 0; i < 5000; i++) limit.add(seconds(4));
  EXPECT_GE(limit.limit(), seconds(32));
  EXPECT_LE(limit.limit(), seconds(64));
}

TEST(StallLimit, ForgetsOldTimes) {
  StallLimit limit(seconds(1), seconds(1));
  for (int i = 0; i < 3000; i++) limit.add(seconds(100));
  for (int i = 0; i < 30000; i++) limit.add(milliseconds(1));
  EXPECT_EQ(limit.limit(), seconds(1));
}

}  // namespace
}  // namespace om::engine
