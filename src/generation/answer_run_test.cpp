#include "generation/answer_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "generation/scripted_for_test.h"

namespace om::generation {
namespace {

using testing::Bench;
using testing::chat_request;
using testing::generate_request;
using ::testing::HasSubstr;
using testing::Outcome;

TEST(AnswerRun, SaysEverythingInOrderAndThenThatItIsDone) {
  Bench bench;
  bench.shelf.add("m");
  bench.script.answer = "Hello, world.";
  bench.script.pieces = {1, 3, 2};
  const Outcome outcome = bench.chat(chat_request("m", "Hi"));
  ASSERT_FALSE(outcome.error);
  EXPECT_EQ(outcome.whole.content, "Hello, world.");
  EXPECT_EQ(outcome.whole.reason, model::DoneReason::stop);
  EXPECT_EQ(outcome.chunks.back().content, "");
  EXPECT_EQ(outcome.whole.usage.prompt_tokens, 4);  // "|Hi|"
  EXPECT_EQ(outcome.whole.usage.output_tokens, 13);
  EXPECT_EQ(outcome.whole.usage.load, std::chrono::seconds(2));
  EXPECT_EQ(outcome.route.node, "here");
  EXPECT_EQ(outcome.route.attempts, 1);
}

TEST(AnswerRun, EndsAtTheLimitWithLength) {
  Bench bench;
  bench.shelf.add("m");
  bench.script.answer = "Hello, world.";
  auto request = chat_request("m", "Hi");
  request.common.options["num_predict"] = 5;
  const Outcome outcome = bench.chat(std::move(request));
  EXPECT_EQ(outcome.whole.content, "Hello");
  EXPECT_EQ(outcome.whole.reason, model::DoneReason::length);
}

TEST(AnswerRun, SaysNothingWhenNoTokensAreWanted) {
  Bench bench;
  bench.shelf.add("m");
  bench.script.answer = "Hello";
  auto request = chat_request("m", "Hi");
  request.common.options["num_predict"] = 0;
  const Outcome outcome = bench.chat(std::move(request));
  EXPECT_EQ(outcome.whole.content, "");
  EXPECT_EQ(outcome.whole.reason, model::DoneReason::length);
  EXPECT_TRUE(bench.script.requests.empty());
}

TEST(AnswerRun, BoundsEndlessAnswersByTenContexts) {
  Bench bench;
  bench.shelf.add("m");
  bench.script.answer = "x";
  bench.script.context = 64;
  EXPECT_FALSE(bench.chat(chat_request("m", "Hi")).error);
  EXPECT_EQ(bench.script.requests.at(0).sampling.num_predict, 640);
}

TEST(AnswerRun, HasAStandbyReadWhatWasSaidSoFar) {
  Bench bench;
  bench.shelf.add("m");
  bench.script.answer = std::string(200, 'x');
  bench.script.has_standby = true;
  bench.take_per_piece(std::chrono::milliseconds(10));
  EXPECT_FALSE(bench.chat(chat_request("m", "Hi")).error);
  ASSERT_EQ(bench.script.read_ahead.size(), 4U);
  const auto& first = bench.script.requests.at(0).tokens;
  for (size_t i = 0; i < 4; i++) {
    const engine::CompletionRequest& request = bench.script.read_ahead[i];
    EXPECT_EQ(request.sampling.num_predict, 1);
    ASSERT_EQ(request.tokens.size(), first.size() + 1 + i * kReadAheadTokens);
    EXPECT_TRUE(std::equal(first.begin(), first.end(), request.tokens.begin()));
  }
}

// As the runner that died had it: llama-server takes what is negative for the whole prompt.
TEST(AnswerRun, KeepsAllOfThePromptWhereItsAnswerHasOutgrownTheContext) {
  Bench bench;
  bench.shelf.add("m").template_text = "{{ .Prompt }}";
  bench.script.answer = std::string(200, 'x');
  bench.script.context = 64;
  bench.script.deaths = {100};
  auto request = chat_request("m", "twenty letters of it");
  request.common.options = {{"num_keep", -1}};
  ASSERT_FALSE(bench.chat(std::move(request)).error);
  ASSERT_EQ(bench.script.requests.size(), 2U);
  const auto& prompt = bench.script.requests[0].tokens;
  const auto& continued = bench.script.requests[1].tokens;
  ASSERT_GT(continued.size(), prompt.size());
  EXPECT_LT(continued.size(), 64U);
  EXPECT_TRUE(std::equal(prompt.begin(), prompt.end(), continued.begin()));
}

TEST(AnswerRun, ReadsNothingAheadWhereNoStandbyIsWanted) {
  Bench bench;
  bench.shelf.add("m");
  bench.script.answer = std::string(200, 'x');
  bench.take_per_piece(std::chrono::milliseconds(10));
  EXPECT_FALSE(bench.chat(chat_request("m", "Hi")).error);
  EXPECT_EQ(bench.script.read_ahead.size(), 0U);
}

TEST(AnswerRun, FindsStopStringsOverTheSeamsOfPieces) {
  Bench bench;
  bench.shelf.add("m").params["stop"] = boost::json::array{"###"};
  bench.script.answer = "one##two###three";
  bench.script.stops_at_stop_words = false;
  for (const size_t size : {1u, 2u, 3u, 5u, 16u}) {
    bench.script.pieces = {size};
    auto request = chat_request("m", "Hi");
    const Outcome outcome = bench.chat(request);
    EXPECT_EQ(outcome.whole.content, "one##two");
    EXPECT_EQ(outcome.whole.stop_sequence, "") << "the model's own, not the caller's";
    EXPECT_EQ(outcome.whole.reason, model::DoneReason::stop);
    request.common.options["stop"] = boost::json::array{"###"};
    EXPECT_EQ(bench.chat(request).whole.stop_sequence, "###");
  }
}

TEST(AnswerRun, TellsTheStopStringThatTheRunnerFound) {
  Bench bench;
  bench.shelf.add("m");
  bench.script.answer = "one END two";
  auto request = chat_request("m", "Hi");
  request.common.options["stop"] = boost::json::array{"END"};
  const Outcome outcome = bench.chat(std::move(request));
  EXPECT_EQ(outcome.whole.content, "one ");
  EXPECT_EQ(outcome.whole.stop_sequence, "END");
}

// What it had cut off was lost, and the answer went on behind it.
TEST(AnswerRun, EndsAtTheStopStringOfARunnerThatDiesBeforeItSaysSo) {
  Bench bench;
  bench.shelf.add("m");
  bench.script.answer = "the fox saves itself from all that";
  bench.script.says_so_later = true;
  bench.script.pieces = {4, 4, 4, 6};  // The last one: text "s its", tokens of "s itself".
  bench.script.deaths = {4};
  auto request = chat_request("m", "Hi");
  request.common.options["stop"] = boost::json::array{"never", "elf"};
  const Outcome outcome = bench.chat(std::move(request));
  ASSERT_FALSE(outcome.error) << outcome.error->what;
  EXPECT_EQ(outcome.whole.content, "the fox saves its");
  EXPECT_EQ(outcome.whole.reason, model::DoneReason::stop);
  EXPECT_EQ(outcome.whole.stop_sequence, "elf");
  EXPECT_EQ(outcome.whole.usage.output_tokens, 20);
  EXPECT_EQ(outcome.route.resumed, 1);
  EXPECT_EQ(bench.script.requests.size(), 1U);  // The next one was asked for no tokens.
}

TEST(AnswerRun, LosesNoLogprobsWhileTextIsHeldBack) {
  Bench bench;
  bench.shelf.add("m");
  bench.script.answer = "a##b##c###d";
  bench.script.logprobs = true;
  bench.script.stops_at_stop_words = false;
  auto request = chat_request("m", "Hi");
  request.common.options["stop"] = boost::json::array{"###"};
  request.common.logprobs.enabled = true;
  const Outcome outcome = bench.chat(std::move(request));
  std::string text;
  for (const model::Logprob& logprob : outcome.whole.logprobs) text += logprob.token;
  EXPECT_EQ(text, "a##b##c");
  EXPECT_EQ(outcome.whole.content, "a##b##c");
  EXPECT_EQ(bench.script.requests.at(0).logprobs, 0);
}

TEST(AnswerRun, TriesAgainInvisiblyWhenTheRunnerDiesBeforeItsFirstToken) {
  Bench bench;
  bench.shelf.add("m");
  bench.script.answer = "Hello";
  bench.script.deaths = {0};
  const Outcome outcome = bench.chat(chat_request("m", "Hi"));
  ASSERT_FALSE(outcome.error);
  EXPECT_EQ(outcome.whole.content, "Hello");
  EXPECT_EQ(outcome.route.attempts, 2);
  EXPECT_EQ(outcome.route.resumed, 0);
  EXPECT_EQ(bench.script.failures, 1);
}

TEST(AnswerRun, GivesUpWhenTheSecondRunnerDiesBeforeItsFirstTokenToo) {
  Bench bench;
  bench.shelf.add("m");
  bench.script.answer = "Hello";
  bench.script.deaths = {0, 0, 0};
  const Outcome outcome = bench.chat(chat_request("m", "Hi"));
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->code, Errc::internal);
  EXPECT_THAT(outcome.error->what, HasSubstr("model runner has unexpectedly stopped"));
  EXPECT_EQ(bench.script.targets.size(), 2);
}

TEST(AnswerRun, GivesUpWithTheFirstRunnerWhenResumingIsSwitchedOff) {
  Bench bench(false);
  bench.shelf.add("m");
  bench.script.answer = "Hello, world.";
  bench.script.deaths = {3};
  const Outcome outcome = bench.chat(chat_request("m", "Hi"));
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.whole.content, "Hel");
}

TEST(AnswerRun, MovesBetweenTwoTokensWhenItsNodeIsDrained) {
  Bench bench;
  bench.shelf.add("m");
  bench.script.answer = "Hello, world.";
  bench.take_per_piece(std::chrono::milliseconds(150));
  bench.script.leaving = 1;
  auto request = chat_request("m", "Hi");
  request.common.standing.patience = std::chrono::seconds(2);
  const Outcome outcome = bench.chat(std::move(request));
  ASSERT_FALSE(outcome.error);
  EXPECT_EQ(outcome.whole.content, "Hello, world.");
  EXPECT_EQ(outcome.whole.usage.output_tokens, 13);
  EXPECT_EQ(outcome.route.resumed, 0);
  EXPECT_EQ(bench.script.failures, 0);
  ASSERT_EQ(bench.script.requests.size(), 2);
  EXPECT_GT(bench.script.requests[1].tokens.size(), bench.script.requests[0].tokens.size());
  EXPECT_TRUE(bench.script.acquired[1].resumes);
  EXPECT_FALSE(bench.script.acquired[1].patience);
}

TEST(AnswerRun, StaysWhereItIsWhenNoOtherNodeTakesIt) {
  Bench bench;
  bench.shelf.add("m");
  bench.script.answer = "Hello, world.";
  bench.take_per_piece(std::chrono::milliseconds(150));
  bench.script.leaving = 1;
  bench.script.leases_max = 1;
  const Outcome outcome = bench.chat(chat_request("m", "Hi"));
  ASSERT_FALSE(outcome.error);
  EXPECT_EQ(outcome.whole.content, "Hello, world.");
  EXPECT_EQ(bench.script.requests.size(), 1);
}

model::ChatRequest kept_request(std::string fingerprint = "f") {
  model::ChatRequest request = chat_request("m", "Hi");
  request.common.record = "record";
  request.common.record_fingerprint = std::move(fingerprint);
  return request;
}

TEST(AnswerRun, IsPickedUpWhereItsClientLeft) {
  Bench bench;
  bench.shelf.add("m");
  bench.script.answer = "Hello, world.";
  bench.script.logprobs = true;
  bench.leave_after(kept_request(), 5);
  const Outcome outcome = bench.chat(kept_request());
  ASSERT_FALSE(outcome.error) << outcome.error->what;
  EXPECT_EQ(outcome.whole.content, "Hello, world.");
  EXPECT_EQ(outcome.whole.usage.output_tokens, 13);
  EXPECT_EQ(outcome.chunks.size(), 14);
  EXPECT_EQ(outcome.route.resumed, 1);
  ASSERT_EQ(bench.script.requests.size(), 2);
  EXPECT_EQ(bench.script.requests[1].tokens.size(), bench.script.requests[0].tokens.size() + 5);
}

TEST(AnswerRun, IsTakenFromItsFirstOwnerByWhoPicksItUp) {
  Bench bench;
  bench.shelf.add("m");
  bench.script.answer = "Hello, world.";
  bench.script.slots = 2;
  const auto [first, second] = bench.take_over(kept_request(), 4);
  ASSERT_TRUE(first.error);
  EXPECT_EQ(first.error->code, Errc::cancelled);
  ASSERT_FALSE(second.error) << second.error->what;
  EXPECT_EQ(second.whole.content, "Hello, world.");
}

TEST(AnswerRun, IsToldAgainWithoutARunnerWhenItWasWhole) {
  Bench bench;
  bench.shelf.add("m");
  bench.script.answer = "Hello, world.";
  bench.script.deaths = {4};
  const Outcome first = bench.chat(kept_request());
  ASSERT_FALSE(first.error);
  const Outcome again = bench.chat(kept_request());
  ASSERT_FALSE(again.error);
  EXPECT_EQ(again.whole.content, first.whole.content);
  EXPECT_EQ(again.chunks.size(), first.chunks.size());
  EXPECT_EQ(again.whole.usage.output_tokens, first.whole.usage.output_tokens);
  EXPECT_EQ(bench.script.requests.size(), 2);
}

TEST(AnswerRun, BeginsAnewWhereItsModelWasReplacedMeanwhile) {
  Bench bench;
  bench.shelf.add("m");
  bench.script.answer = "Hello, world.";
  bench.leave_after(kept_request(), 5);
  bench.shelf.add("m").digest = Digest::of("another of this name");
  const Outcome outcome = bench.chat(kept_request());
  ASSERT_FALSE(outcome.error) << outcome.error->what;
  EXPECT_EQ(outcome.whole.content, "Hello, world.");
  EXPECT_EQ(outcome.route.resumed, 0);
  ASSERT_EQ(bench.script.requests.size(), 2);
  EXPECT_EQ(bench.script.requests[1].tokens, bench.script.requests[0].tokens);
  // One that is whole is not a word of it out of date: its client may lack the end only.
  bench.shelf.add("m").digest = Digest::of("a third one");
  EXPECT_EQ(bench.chat(kept_request()).whole.content, "Hello, world.");
  EXPECT_EQ(bench.script.requests.size(), 2);
}

TEST(AnswerRun, GoesOnFromWhatAnOlderNodeKeptWhichNamesNoModel) {
  const Digest model = Digest::of("m");
  const std::string old = "{\"runner\":true}\n{\"t\":\"Hello\"}\n";
  const std::string other = "{\"runner\":true,\"model\":\"" + Digest::of("n").str() + "\"}\n";
  EXPECT_TRUE(KeptPieces::fits("", model));
  EXPECT_TRUE(KeptPieces::fits(old, model));
  EXPECT_FALSE(KeptPieces::fits(other + "{\"t\":\"Hello\"}\n", model));
  EXPECT_FALSE(KeptPieces::fits(other + old, model)) << "it went on with the other one's words";
}

TEST(AnswerRun, IsNotToldToAnotherRequestUnderItsKey) {
  Bench bench;
  bench.shelf.add("m");
  bench.script.answer = "Hello";
  EXPECT_FALSE(bench.chat(kept_request()).error);
  const Outcome other = bench.chat(kept_request("g"));
  ASSERT_TRUE(other.error);
  EXPECT_EQ(other.error->code, Errc::invalid_argument);
}

TEST(AnswerRun, GivesUpWithAnErrorAfterThreeRunnersDiedInTheMiddle) {
  Bench bench;
  bench.shelf.add("m");
  bench.script.answer = "Hello, world.";
  bench.script.deaths = {2, 2, 2};
  const Outcome outcome = bench.chat(chat_request("m", "Hi"));
  ASSERT_TRUE(outcome.error);
  EXPECT_THAT(outcome.error->what, HasSubstr("signal 9 (Killed)"));
  EXPECT_EQ(outcome.whole.content, "Hello,");  // Two of each runner, and no more.
  EXPECT_EQ(outcome.route.attempts, 3);
  EXPECT_EQ(outcome.route.resumed, 2);
}

TEST(AnswerRun, IsCompleteWhenTheRunnerDiesBetweenTheLastTokenAndItsEnd) {
  Bench bench;
  bench.shelf.add("m");
  bench.script.answer = "Hello, there";
  bench.script.deaths = {5};
  auto request = chat_request("m", "Hi");
  request.common.options["num_predict"] = 5;
  request.common.options["stop"] = boost::json::array{"lo, world"};  // "lo" is kept back.
  const Outcome outcome = bench.chat(std::move(request));
  ASSERT_FALSE(outcome.error);
  EXPECT_EQ(outcome.whole.content, "Hello");
  EXPECT_EQ(outcome.whole.reason, model::DoneReason::length);
  EXPECT_EQ(outcome.whole.usage.output_tokens, 5);
  EXPECT_GT(outcome.whole.usage.prompt_tokens, 0);
  EXPECT_EQ(bench.script.targets.size(), 1) << "no runner is needed for nothing";
}

TEST(AnswerRun, ANodeThatIsLostIsNotCountedAsARunnersDeath) {
  for (const size_t pieces : {0u, 1u}) {
    Bench bench;
    bench.shelf.add("m");
    bench.script.answer = "Hello, world. And more.";
    bench.script.deaths = std::vector<size_t>(kAttemptsMax + 5, pieces);
    bench.script.deaths_are_of_nodes = true;
    auto request = chat_request("m", "Hi");
    request.common.standing.patience = std::chrono::seconds(2);
    const Outcome outcome = bench.chat(std::move(request));
    ASSERT_FALSE(outcome.error) << outcome.error->what;
    EXPECT_EQ(outcome.whole.content, bench.script.answer);
    EXPECT_EQ(outcome.route.attempts, kAttemptsMax + 6);
    EXPECT_EQ(bench.script.acquired.back().resumes, pieces > 0);
    // Who has begun to answer had its turn.
    EXPECT_EQ(bench.script.acquired.back().patience.has_value(), pieces == 0);
  }
}

TEST(AnswerRun, GivesUpWhenNodeAfterNodeIsLost) {
  Bench bench;
  bench.shelf.add("m");
  bench.script.answer = "Hello, world.";
  bench.script.deaths = std::vector<size_t>(100, 0);
  bench.script.deaths_are_of_nodes = true;
  const Outcome outcome = bench.chat(chat_request("m", "Hi"));
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->code, Errc::internal);
  EXPECT_EQ(bench.script.targets.size(), kNodesLostMax + 1u);
}

TEST(AnswerRun, PassesOnTheRunnersRefusalWithoutTryingAgain) {
  Bench bench;
  bench.shelf.add("m");
  bench.script.refusal = Error{Errc::invalid_argument, "failed to parse grammar"};
  const Outcome outcome = bench.chat(chat_request("m", "Hi"));
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->code, Errc::invalid_argument);
  EXPECT_EQ(bench.script.failures, 0);
}

TEST(AnswerRun, StopsTheRunnerAndGivesTheSlotBackWhenTheClientLeaves) {
  Bench bench;
  bench.shelf.add("m");
  bench.script.answer = "Hello, world.";
  bench.leave_after(chat_request("m", "Hi"), 3);
  EXPECT_EQ(bench.script.completions, 0);
  EXPECT_EQ(bench.script.leases, 0);
}

TEST(AnswerRun, ContinuesWithTheConstraintAdvancedAndTheRestOfTheTokens) {
  Bench bench;
  bench.shelf.add("m");
  bench.script.answer = R"({"name":"fox"})";
  bench.script.deaths = {4};
  auto request = chat_request("m", "Hi");
  request.common.format.kind = model::Format::Kind::json;
  request.common.options["num_predict"] = 50;
  request.common.options["seed"] = 7;
  const Outcome outcome = bench.chat(std::move(request));
  ASSERT_FALSE(outcome.error);
  EXPECT_EQ(outcome.whole.content, R"({"name":"fox"})");
  ASSERT_EQ(bench.script.requests.size(), 2);
  const engine::CompletionRequest& second = bench.script.requests[1];
  EXPECT_EQ(second.sampling.num_predict, 46);
  EXPECT_NE(second.sampling.seed, 7);
  EXPECT_THAT(second.constraint.generation_prompt, HasSubstr(R"({"na)"));
  EXPECT_TRUE(second.constraint.tool_grammar);
}

TEST(AnswerRun, TellsTheTokensOfPromptAndAnswerForTheNextGenerate) {
  Bench bench;
  bench.shelf.add("m").template_text = "{{ .Prompt }}";
  bench.script.answer = "bc";
  const Outcome outcome = bench.generate(generate_request("m", "a"));
  EXPECT_EQ(outcome.whole.context, testing::to_tokens("abc"));
}

// Wherever runners die, and however the text was cut into pieces, the client sees each token once.
RC_GTEST_PROP(AnswerRun, RepeatsAndLosesNothingWhereverRunnersDie, ()) {
  Bench bench;
  bench.shelf.add("m");
  bench.script.answer = *rc::gen::nonEmpty(
      rc::gen::container<std::string>(rc::gen::elementOf(std::string("ab#é<{ \n"))));
  for (char& byte : bench.script.answer) byte = static_cast<char>(byte & 0x7F);
  bench.script.pieces =
      *rc::gen::nonEmpty(rc::gen::container<std::vector<size_t>>(rc::gen::inRange<size_t>(1, 6)));
  bench.script.loses_ids = *rc::gen::arbitrary<bool>();
  bench.script.logprobs = true;
  bench.script.stops_at_stop_words = *rc::gen::arbitrary<bool>();
  const size_t deaths = *rc::gen::inRange<size_t>(0, 3);
  for (size_t i = 0; i < deaths; i++) {
    // At least one piece, so that the bound on runners that say nothing is not met.
    bench.script.deaths.push_back(*rc::gen::inRange<size_t>(1, 8));
  }
  auto request = chat_request("m", "Hi");
  request.common.logprobs.enabled = true;
  request.common.options["stop"] = boost::json::array{"#b#a"};
  const std::string& answer = bench.script.answer;
  const std::string expected = answer.substr(0, answer.find("#b#a"));
  const Outcome outcome = bench.chat(std::move(request));
  RC_ASSERT(!outcome.error);
  RC_ASSERT(outcome.whole.content == expected);
  RC_ASSERT(outcome.whole.usage.output_tokens >= static_cast<int64_t>(expected.size()));
  std::string tokens;
  for (const model::Logprob& logprob : outcome.whole.logprobs) tokens += logprob.token;
  RC_ASSERT(tokens.starts_with(expected));
  RC_ASSERT(outcome.route.attempts <= kAttemptsMax);
}

}  // namespace
}  // namespace om::generation
