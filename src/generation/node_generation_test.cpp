#include "generation/node_generation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "generation/prompt_tokens.h"
#include "generation/scripted_for_test.h"

namespace om::generation {
namespace {

using testing::Bench;
using testing::chat_request;
using testing::generate_request;
using ::testing::HasSubstr;
using testing::Outcome;
using testing::to_text;

constexpr std::string_view kToolTemplate =
    "{{- range .Tools }}T:{{ . }}\n{{ end }}{{- range .Messages }}[{{ .Role }}]{{ .Content }}"
    "{{ if .ToolCalls }}{{ range .ToolCalls }}<call>{\"name\":\"{{ .Function.Name }}\","
    "\"arguments\":{{ .Function.Arguments }}}</call>{{ end }}{{ end }}{{ end }}[assistant]";
constexpr std::string_view kThinkTemplate =
    "{{- range .Messages }}[{{ .Role }}]{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}"
    "{{ .Content }}{{ end }}[assistant]";
constexpr std::string_view kMessagesTemplate =
    "{{- range .Messages }}[{{ .Role }}]{{ .Content }}{{ end }}";

model::Message message(std::string role, std::string content) {
  model::Message result;
  result.role = std::move(role);
  result.content = std::move(content);
  return result;
}

std::string prompt_of(const Bench& bench) {
  CHECK(!bench.script.requests.empty());
  return to_text(bench.script.requests.back().tokens);
}

struct Refusal {
  std::string_view name;
  std::function<Outcome(Bench&)> ask;
  Errc code;
  std::string_view text;
};

model::ChatRequest with_tool(std::string model) {
  auto request = chat_request(std::move(model), "Hi");
  request.tools.push_back(boost::json::parse(
      R"({"type":"function","function":{"name":"add","parameters":{"type":"object"}}})"));
  return request;
}

TEST(NodeGeneration, RefusesInOllamasWords) {
  const std::vector<Refusal> refusals = {
      {"no model, chat", [](Bench& b) { return b.chat(chat_request("", "Hi")); },
       Errc::invalid_argument, "model is required"},
      {"no model, generate", [](Bench& b) { return b.generate(generate_request("", "Hi")); },
       Errc::not_found, "model '' not found"},
      {"malformed", [](Bench& b) { return b.chat(chat_request("a b", "Hi")); },
       Errc::invalid_argument, "invalid model name"},
      {"unknown", [](Bench& b) { return b.chat(chat_request("x", "Hi")); }, Errc::not_found,
       "model 'x' not found"},
      {"cloud", [](Bench& b) { return b.chat(chat_request("x:cloud", "Hi")); }, Errc::forbidden,
       "ollama cloud is disabled: remote model is unavailable"},
      {"tools", [](Bench& b) { return b.chat(with_tool("m")); }, Errc::invalid_argument,
       "registry.ollama.ai/library/m:latest does not support tools"},
      {"insert",
       [](Bench& b) {
         auto request = generate_request("m", "Hi");
         request.suffix = "end";
         return b.generate(std::move(request));
       },
       Errc::invalid_argument, "registry.ollama.ai/library/m:latest does not support insert"},
      {"thinking",
       [](Bench& b) {
         auto request = chat_request("m", "Hi");
         request.common.think = {.is_set = true, .enabled = true, .level = {}};
         return b.chat(std::move(request));
       },
       Errc::invalid_argument, "\"m\" does not support thinking"},
      {"vision",
       [](Bench& b) {
         auto request = chat_request("m", "Hi");
         request.messages[0].images.push_back("bytes");
         return b.chat(std::move(request));
       },
       Errc::invalid_argument, "registry.ollama.ai/library/m:latest does not support vision"},
      {"embedding model", [](Bench& b) { return b.chat(chat_request("e", "Hi")); },
       Errc::invalid_argument, "\"e\" does not support chat"},
      {"embedding model, generate",
       [](Bench& b) { return b.generate(generate_request("e", "Hi")); }, Errc::invalid_argument,
       "\"e\" does not support generate"},
      {"raw",
       [](Bench& b) {
         auto request = generate_request("m", "Hi");
         request.raw = true;
         request.system = "S";
         return b.generate(std::move(request));
       },
       Errc::invalid_argument, "raw mode does not support template, system, or context"},
      {"option",
       [](Bench& b) {
         auto request = chat_request("m", "Hi");
         request.common.options["num_predict"] = "many";
         return b.chat(std::move(request));
       },
       Errc::invalid_argument, "option \"num_predict\" must be of type integer"},
  };
  for (const Refusal& refusal : refusals) {
    Bench bench;
    bench.shelf.add("m");
    bench.shelf.add("e").capabilities = {"embedding"};
    const Outcome outcome = refusal.ask(bench);
    ASSERT_TRUE(outcome.error) << refusal.name;
    EXPECT_EQ(outcome.error->code, refusal.code) << refusal.name;
    EXPECT_EQ(outcome.error->what, refusal.text) << refusal.name;
  }
}

TEST(NodeGeneration, TellsALoadFailureAsTheServersErrorAndAFullQueueAsItself) {
  Bench bench;
  bench.shelf.add("m");
  bench.script.acquire_error = Error{Errc::unavailable, "llama-server process has terminated: x"};
  EXPECT_EQ(bench.chat(chat_request("m", "Hi")).error->code, Errc::internal);
  bench.script.acquire_error = Error{Errc::overloaded, "server busy"};
  EXPECT_EQ(bench.chat(chat_request("m", "Hi")).error->code, Errc::overloaded);
}

TEST(NodeGeneration, TellsTheEndOfItsTriesAsTheServersErrorWhileItPreparesToo) {
  Bench bench;
  bench.shelf.add("m");
  bench.script.dies_counting = true;
  const Outcome outcome = bench.chat(chat_request("m", "Hi"));
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->code, Errc::internal);
  EXPECT_THAT(outcome.error->what, HasSubstr("model runner has unexpectedly stopped"));
  EXPECT_EQ(bench.script.targets.size(), 2);
  EXPECT_EQ(bench.script.failures, 2);
}

TEST(NodeGeneration, AsManyNodesMayDieWhileItPreparesAsUnderItsAnswer) {
  Bench bench;
  bench.shelf.add("m");
  bench.script.dies_counting = true;
  bench.script.deaths = std::vector<size_t>(100, 0);
  bench.script.deaths_are_of_nodes = true;
  EXPECT_TRUE(bench.chat(chat_request("m", "Hi")).error);
  EXPECT_EQ(bench.script.targets.size(), kNodesLostMax + 1u);
}

TEST(NodeGeneration, AsksTheRunnerInItsOwnWordsForOllamasSpecialValues) {
  Bench bench;
  bench.shelf.add("m");
  bench.script.answer = "Hello";
  model::ChatRequest request = chat_request("m", "Hi");
  request.common.options = {{"repeat_last_n", -1}, {"stop", {"", "end"}}};
  ASSERT_FALSE(bench.chat(std::move(request)).error);
  const model::Sampling& sampling = bench.script.requests.at(0).sampling;
  EXPECT_EQ(sampling.repeat_last_n, bench.script.context);
  EXPECT_EQ(std::count(sampling.stop.begin(), sampling.stop.end(), ""), 0);
  EXPECT_EQ(std::count(sampling.stop.begin(), sampling.stop.end(), "end"), 1);
}

// The runner keeps four bytes for each token that it looks back over, and adds one to `num_keep`.
TEST(NodeGeneration, BoundsWhatTheRunnerCountsByTheContext) {
  Bench bench;
  bench.shelf.add("m");
  bench.script.answer = "Hello";
  const int most = std::numeric_limits<int>::max();
  for (const auto& [wanted, kept] : {std::pair(most, bench.script.context), std::pair(-2, -1)}) {
    model::ChatRequest request = chat_request("m", "Hi");
    request.common.options = {{"repeat_last_n", wanted}, {"num_keep", wanted}};
    ASSERT_FALSE(bench.chat(std::move(request)).error);
    EXPECT_EQ(bench.script.requests.back().sampling.repeat_last_n, bench.script.context);
    EXPECT_EQ(bench.script.requests.back().sampling.num_keep, kept);
  }
}

TEST(NodeGeneration, LoadsAndUnloadsWhenNothingIsAsked) {
  Bench bench;
  bench.shelf.add("m");
  EXPECT_EQ(bench.generate(generate_request("m", "")).whole.reason, model::DoneReason::load);
  EXPECT_EQ(bench.script.targets.size(), 1);
  auto request = generate_request("m", "");
  request.common.keep_alive.duration = std::chrono::nanoseconds(0);
  EXPECT_EQ(bench.generate(std::move(request)).whole.reason, model::DoneReason::unload);
  EXPECT_EQ(bench.script.unloaded.size(), 1);
  EXPECT_EQ(bench.script.targets.size(), 1);  // Unloading needs no runner.
}

TEST(NodeGeneration, PutsTheModelsSystemAndMessagesBeforeTheRequests) {
  Bench bench;
  store::Model& model = bench.shelf.add("m");
  model.template_text = kMessagesTemplate;
  model.system = "Be kind";
  model.messages = {message("user", "1+1"), message("assistant", "2")};
  bench.script.answer = "x";
  ASSERT_FALSE(bench.chat(chat_request("m", "Hi")).error);
  EXPECT_EQ(prompt_of(bench), "[system]Be kind[user]1+1[assistant]2[user]Hi");
  bench.script.requests.clear();
  auto own = chat_request("m", "Hi");
  own.messages.insert(own.messages.begin(), message("system", "Be short"));
  ASSERT_FALSE(bench.chat(std::move(own)).error);
  EXPECT_EQ(prompt_of(bench), "[user]1+1[assistant]2[system]Be short[user]Hi");
}

TEST(NodeGeneration, LaysRequestOptionsOverTheModelsOverTheDefaults) {
  Bench bench;
  store::Model& model = bench.shelf.add("m");
  model.params = {{"temperature", 0.1}, {"top_k", 7}};
  bench.script.answer = "x";
  auto request = chat_request("m", "Hi");
  request.common.options = {{"temperature", 0.5}, {"num_ctx", 512}};
  ASSERT_FALSE(bench.chat(std::move(request)).error);
  const model::Sampling& sampling = bench.script.requests[0].sampling;
  EXPECT_EQ(sampling.temperature, 0.5);
  EXPECT_EQ(sampling.top_k, 7);
  EXPECT_EQ(sampling.top_p, 0.9);
  EXPECT_EQ(bench.script.targets[0].runner.num_ctx, 512);
}

TEST(NodeGeneration, DropsTheOldestMessagesButNeverSystemAndTheLast) {
  Bench bench;
  bench.shelf.add("m").template_text = kMessagesTemplate;
  bench.script.answer = "x";
  bench.script.context = 64;
  auto request = chat_request("m", "last");
  request.messages.insert(request.messages.begin(),
                          {message("user", std::string(40, 'a')), message("system", "S"),
                           message("user", std::string(10, 'b')), message("assistant", "new")});
  const Outcome outcome = bench.chat(std::move(request));
  ASSERT_FALSE(outcome.error);
  EXPECT_EQ(prompt_of(bench), "[system]S[user]bbbbbbbbbb[assistant]new[user]last");
  EXPECT_EQ(outcome.route.left_out, "messages=1");
}

TEST(NodeGeneration, CutsAPromptThatIsTooLongInItsMiddle) {
  Bench bench;
  store::Model& model = bench.shelf.add("m");
  model.template_text = "{{ .Prompt }}";
  model.gguf.add_bos = true;
  bench.script.adds_bos = true;
  bench.script.answer = "x";
  bench.script.context = 128;
  std::string prompt = "keep" + std::string(390, '.') + "tail of it";
  const Outcome outcome = bench.generate(generate_request("m", prompt));
  ASSERT_FALSE(outcome.error);
  EXPECT_EQ(outcome.route.left_out, "tokens=338");
  const auto& tokens = bench.script.requests[0].tokens;
  EXPECT_EQ(tokens.size(), 67);  // As seen with Ollama for this context.
  EXPECT_EQ(tokens[0], testing::kBos);
  EXPECT_TRUE(to_text(tokens).starts_with("keep.") && to_text(tokens).ends_with("tail of it"));
}

TEST(NodeGeneration, RefusesALongPromptWhenItMustNotCutIt) {
  Bench bench;
  bench.shelf.add("m").template_text = "{{ .Prompt }}";
  bench.script.context = 256;
  auto request = generate_request("m", std::string(402, 'a'));
  request.common.truncate = false;
  Outcome outcome = bench.generate(request);
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->what,
            R"({"error":{"code":400,"message":"request (402 tokens) exceeds the available context )"
            R"(size (256 tokens), try increasing it","type":"exceed_context_size_error",)"
            R"("n_prompt_tokens":402,"n_ctx":256}})");
  request.common.shift = false;
  outcome = bench.generate(request);
  ASSERT_TRUE(outcome.error);
  EXPECT_THAT(outcome.error->what,
              HasSubstr("the prompt is longer than the context length currently available to the "
                        "model; shorten the prompt, "));
}

TEST(NodeGeneration, LetsAnAnswerFillTheContextOnlyOnceWithoutShift) {
  Bench bench;
  bench.shelf.add("m").template_text = "{{ .Prompt }}";
  bench.script.answer = std::string(300, 'a');
  bench.script.context = 100;
  auto request = generate_request("m", std::string(60, 'p'));
  request.common.shift = false;
  const Outcome outcome = bench.generate(std::move(request));
  EXPECT_EQ(outcome.whole.content.size(), 40);
  EXPECT_EQ(outcome.whole.reason, model::DoneReason::length);
}

TEST(NodeGeneration, ServesASmallerContextOnALargerRunner) {
  Bench bench;
  bench.shelf.add("m").template_text = "{{ .Prompt }}";
  bench.script.answer = "x";
  bench.script.context = 4096;
  auto request = generate_request("m", std::string(402, 'a'));
  request.common.options["num_ctx"] = 128;
  ASSERT_FALSE(bench.generate(std::move(request)).error);
  EXPECT_LT(bench.script.requests[0].tokens.size(), 128);
  EXPECT_EQ(bench.script.requests[0].sampling.num_predict, 1280);
}

TEST(NodeGeneration, HasBosOnceWhetherTheTemplateOrTheTokenizerAddsIt) {
  for (const bool adds : {true, false}) {
    Bench bench;
    bench.shelf.add("m").template_text = "<s>{{ .Prompt }}";
    bench.script.adds_bos = adds;
    bench.script.answer = "x";
    ASSERT_FALSE(bench.generate(generate_request("m", "a")).error);
    EXPECT_EQ(bench.script.requests[0].tokens,
              (std::vector<engine::Token>{testing::kBos, 'a' + 1}));
  }
}

TEST(NodeGeneration, LeavesRawPromptsAloneAndGivesNoContext) {
  Bench bench;
  bench.shelf.add("m").system = "S";
  bench.script.answer = "x";
  auto request = generate_request("m", "[INST] raw");
  request.raw = true;
  const Outcome outcome = bench.generate(std::move(request));
  EXPECT_EQ(prompt_of(bench), "[INST] raw");
  EXPECT_TRUE(outcome.whole.context.empty());
}

TEST(NodeGeneration, UsesTheRequestsTemplateSystemAndContext) {
  Bench bench;
  bench.shelf.add("m").system = "model's";
  bench.script.answer = "x";
  auto request = generate_request("m", "Hi");
  request.template_text = "<{{ .System }}>{{ .Prompt }}";
  request.system = "own";
  request.context = testing::to_tokens("before ");
  ASSERT_FALSE(bench.generate(std::move(request)).error);
  EXPECT_EQ(prompt_of(bench), "before <own>Hi");
  auto broken = generate_request("m", "Hi");
  broken.template_text = "{{ .Prompt ";
  EXPECT_EQ(bench.generate(std::move(broken)).error->code, Errc::invalid_argument);
}

TEST(NodeGeneration, RefusesAContextThatIsNotOfTheModel) {
  Bench bench;
  bench.shelf.add("m").gguf.vocabulary_size = 300;
  bench.script.answer = "x";
  for (const int token : {-1, 300, std::numeric_limits<int>::max()}) {
    auto request = generate_request("m", "Hi");
    request.context = {1, token};
    const Outcome outcome = bench.generate(std::move(request));
    ASSERT_TRUE(outcome.error) << token;
    EXPECT_EQ(outcome.error->code, Errc::invalid_argument) << token;
    EXPECT_THAT(outcome.error->what, HasSubstr(fmt::format("{} is no token of m", token)));
  }
  EXPECT_TRUE(bench.script.targets.empty()) << "no runner is troubled";
  auto request = generate_request("m", "Hi");
  request.context = {0, 299};
  EXPECT_FALSE(bench.generate(std::move(request)).error);
}

TEST(NodeGeneration, TakesToolCallsOutOfTheAnswer) {
  Bench bench;
  bench.shelf.add("m").template_text = kToolTemplate;
  bench.script.answer = R"(<call>{"name":"add","arguments":{"b":2,"a":1}}</call>)";
  bench.script.pieces = {1, 4, 2};
  const Outcome outcome = bench.chat(with_tool("m"));
  ASSERT_FALSE(outcome.error) << outcome.error->what;
  ASSERT_EQ(outcome.whole.tool_calls.size(), 1);
  EXPECT_EQ(outcome.whole.tool_calls[0].name, "add");
  EXPECT_EQ(boost::json::parse(outcome.whole.tool_calls[0].arguments),
            boost::json::parse(R"({"a":1,"b":2})"));
  EXPECT_TRUE(outcome.whole.tool_calls[0].id.starts_with("call_"));
  EXPECT_THAT(prompt_of(bench), HasSubstr("\"add\""));
}

TEST(NodeGeneration, EndsWithTheFirstOfCallsThatMustNotBeMadeAtOnce) {
  const std::string call = R"(<call>{"name":"add","arguments":{"a":1,"b":2}}</call>)";
  for (const bool parallel : {true, false}) {
    Bench bench;
    bench.shelf.add("m").template_text = kToolTemplate;
    bench.script.answer = call + call + call;
    bench.script.pieces = {1, 4, 2};
    model::ChatRequest request = with_tool("m");
    request.parallel_tool_calls = parallel;
    const Outcome outcome = bench.chat(std::move(request));
    ASSERT_FALSE(outcome.error) << outcome.error->what;
    EXPECT_EQ(outcome.whole.tool_calls.size(), parallel ? 3u : 1u);
    EXPECT_EQ(outcome.whole.reason, model::DoneReason::stop);
    EXPECT_EQ(outcome.whole.usage.output_tokens < static_cast<int64_t>(2 * call.size()), !parallel);
  }
}

TEST(NodeGeneration, TellsThinkingFromContentAlsoAcrossADeadRunner) {
  for (const bool dies : {false, true}) {
    Bench bench;
    store::Model& model = bench.shelf.add("m");
    model.template_text = kThinkTemplate;
    model.capabilities = {"completion", "thinking"};
    bench.script.answer = "<think>hmm, so</think>\n\nYes.";
    if (dies) bench.script.deaths = {9};
    const Outcome outcome = bench.chat(chat_request("m", "Hi"));
    ASSERT_FALSE(outcome.error);
    EXPECT_EQ(outcome.whole.thinking, "hmm, so");
    EXPECT_EQ(outcome.whole.content, "Yes.");
    EXPECT_EQ(outcome.route.resumed, dies ? 1 : 0);
    const model::Usage& usage = outcome.whole.usage;
    const int64_t of_content = static_cast<int64_t>(std::string_view("</think>\n\nYes.").size());
    EXPECT_EQ(usage.output_tokens - usage.reasoning_tokens, of_content);
  }
}

TEST(NodeGeneration, AddsMediaWhereTheModelTakesThem) {
  Bench bench;
  bench.shelf.add("m").template_text = kMessagesTemplate;
  bench.script.media_marker = "<<image>>#";
  bench.script.answer = "A cat.";
  bench.script.deaths = {3};
  auto request = chat_request("m", "What?");
  request.messages[0].images.push_back("bytes");
  const Outcome outcome = bench.chat(std::move(request));
  EXPECT_EQ(outcome.whole.content, "A cat.");
  EXPECT_EQ(bench.script.requests[0].prompt, "[user]<<image>>#0What?");
  EXPECT_EQ(bench.script.requests[0].media, std::vector<std::string>{"bytes"});
  EXPECT_EQ(bench.script.requests[1].prompt, "[user]<<image>>#1What?A c");
}

TEST(NodeGeneration, ShowsThePromptWithoutAskingTheModel) {
  Bench bench;
  bench.shelf.add("m");
  auto request = chat_request("m", "Hi");
  request.common.debug_render_only = true;
  EXPECT_EQ(bench.chat(std::move(request)).whole.rendered_prompt, "|Hi|");
  EXPECT_TRUE(bench.script.requests.empty());
}

TEST(NodeGeneration, TellsAModelWithoutEyesThatAToolBroughtAnImage) {
  Bench bench;
  bench.shelf.add("m").template_text = kMessagesTemplate;
  auto request = chat_request("m", "Hi");
  request.common.debug_render_only = true;
  request.messages.push_back({.role = "tool", .content = "read"});
  request.messages.back().images.push_back("bytes");
  const Outcome outcome = bench.chat(request);
  ASSERT_FALSE(outcome.error) << outcome.error->what;
  EXPECT_THAT(outcome.whole.rendered_prompt,
              HasSubstr("read\n[an image that this model cannot see]"));
  EXPECT_TRUE(bench.count(request));
  bench.shelf.add("v").capabilities.emplace_back("vision");
  request.common.model = "v";
  EXPECT_TRUE(bench.chat(request).error) << "what says that it sees is not spared";
}

TEST(NodeGeneration, CountsTheTokensOfAPromptOfAnyLength) {
  Bench bench;
  bench.shelf.add("m");
  bench.script.context = 16;
  const auto count = bench.count(chat_request("m", std::string(100, 'a')));
  ASSERT_TRUE(count);
  EXPECT_EQ(*count, 102);
}

TEST(NodeGeneration, TellsRequestsApartByTheirContent) {
  Bench bench;
  bench.shelf.add("m");
  bench.script.answer = "x";
  for (const char* text : {"a", "b", "a"}) {
    ASSERT_FALSE(bench.chat(chat_request("m", text)).error);
  }
  const auto& acquired = bench.script.acquired;
  EXPECT_FALSE(acquired[0].fingerprint.empty());
  EXPECT_NE(acquired[0].fingerprint, acquired[1].fingerprint);
  EXPECT_EQ(acquired[0].fingerprint, acquired[2].fingerprint);
}

}  // namespace
}  // namespace om::generation
