#include "engine/remote/wire.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <limits>

namespace om::engine {
namespace {

// Any bytes: also quotes, control characters and broken UTF-8.
std::string any_bytes() {
  const auto numbers = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 256));
  return {numbers.begin(), numbers.end()};
}

std::vector<std::string> any_texts() {
  std::vector<std::string> texts(*rc::gen::inRange<size_t>(0, 4));
  for (std::string& text : texts) text = any_bytes();
  return texts;
}

// Not more digits than a reader may round.
double any_fraction() { return *rc::gen::inRange(-1'000'000, 1'000'000) / 4096.0; }

model::Sampling any_sampling() {
  model::Sampling s;
  s.num_predict = *rc::gen::arbitrary<int>();
  s.num_keep = *rc::gen::arbitrary<int>();
  s.top_k = *rc::gen::arbitrary<int>();
  s.top_p = any_fraction();
  s.min_p = any_fraction();
  s.typical_p = any_fraction();
  s.temperature = any_fraction();
  s.repeat_last_n = *rc::gen::arbitrary<int>();
  s.repeat_penalty = any_fraction();
  s.presence_penalty = any_fraction();
  s.frequency_penalty = any_fraction();
  s.seed = *rc::gen::arbitrary<int64_t>();
  s.stop = any_texts();
  return s;
}

Constraint any_constraint() {
  Constraint constraint;
  constraint.json_schema = any_bytes();
  constraint.grammar = any_bytes();
  constraint.grammar_lazy = *rc::gen::arbitrary<bool>();
  constraint.grammar_triggers.resize(*rc::gen::inRange<size_t>(0, 3));
  for (Constraint::Trigger& trigger : constraint.grammar_triggers) {
    trigger = {*rc::gen::arbitrary<int>(), any_bytes()};
  }
  constraint.preserved_tokens = any_texts();
  constraint.generation_prompt = any_bytes();
  constraint.tool_grammar = *rc::gen::arbitrary<bool>();
  return constraint;
}

void expect_same(const model::Sampling& a, const model::Sampling& b) {
  RC_ASSERT(a.num_predict == b.num_predict);
  RC_ASSERT(a.num_keep == b.num_keep);
  RC_ASSERT(a.top_k == b.top_k);
  RC_ASSERT(a.top_p == b.top_p);
  RC_ASSERT(a.min_p == b.min_p);
  RC_ASSERT(a.typical_p == b.typical_p);
  RC_ASSERT(a.temperature == b.temperature);
  RC_ASSERT(a.repeat_last_n == b.repeat_last_n);
  RC_ASSERT(a.repeat_penalty == b.repeat_penalty);
  RC_ASSERT(a.presence_penalty == b.presence_penalty);
  RC_ASSERT(a.frequency_penalty == b.frequency_penalty);
  RC_ASSERT(a.seed == b.seed);
  RC_ASSERT(a.stop == b.stop);
}

void expect_same(const Constraint& a, const Constraint& b) {
  RC_ASSERT(a.json_schema == b.json_schema);
  RC_ASSERT(a.grammar == b.grammar);
  RC_ASSERT(a.grammar_lazy == b.grammar_lazy);
  RC_ASSERT(a.grammar_triggers.size() == b.grammar_triggers.size());
  for (size_t i = 0; i < a.grammar_triggers.size(); i++) {
    RC_ASSERT(a.grammar_triggers[i].type == b.grammar_triggers[i].type);
    RC_ASSERT(a.grammar_triggers[i].value == b.grammar_triggers[i].value);
  }
  RC_ASSERT(a.preserved_tokens == b.preserved_tokens);
  RC_ASSERT(a.generation_prompt == b.generation_prompt);
  RC_ASSERT(a.tool_grammar == b.tool_grammar);
}

RC_GTEST_PROP(PeerWire, ARequestArrivesAsItWasAsked, ()) {
  CompletionRequest request;
  request.prompt = any_bytes();
  request.tokens = *rc::gen::arbitrary<std::vector<Token>>();
  request.media = any_texts();
  request.sampling = any_sampling();
  request.constraint = any_constraint();
  request.logprobs = *rc::gen::inRange(-1, 21);
  request.shift = *rc::gen::arbitrary<bool>();
  request.id = any_bytes();
  const auto read = decode_completion(encode_completion(request));
  RC_ASSERT(read.has_value());
  RC_ASSERT(read->prompt == request.prompt);
  RC_ASSERT(read->tokens == request.tokens);
  RC_ASSERT(read->media == request.media);
  RC_ASSERT(read->logprobs == request.logprobs);
  RC_ASSERT(read->shift == request.shift);
  RC_ASSERT(read->id == request.id);
  expect_same(read->sampling, request.sampling);
  expect_same(read->constraint, request.constraint);
}

Piece any_piece() {
  Piece piece;
  piece.text = any_bytes();
  piece.tokens = *rc::gen::arbitrary<std::vector<Token>>();
  piece.output_tokens = *rc::gen::arbitrary<int64_t>();
  piece.logprobs.resize(*rc::gen::inRange<size_t>(0, 3));
  for (model::Logprob& logprob : piece.logprobs) {
    logprob.token = any_bytes();
    logprob.logprob = any_fraction();
    logprob.top.resize(*rc::gen::inRange<size_t>(0, 3));
    for (model::TopLogprob& top : logprob.top) top = {any_bytes(), any_fraction()};
  }
  piece.done = *rc::gen::arbitrary<bool>();
  if (!piece.done) return piece;
  piece.limit = *rc::gen::arbitrary<bool>();
  piece.stop_word = any_bytes();
  piece.prompt_tokens = *rc::gen::arbitrary<int64_t>();
  piece.cached_tokens = *rc::gen::arbitrary<int64_t>();
  piece.prompt_time = std::chrono::nanoseconds(*rc::gen::arbitrary<int64_t>());
  piece.output_time = std::chrono::nanoseconds(*rc::gen::arbitrary<int64_t>());
  return piece;
}

RC_GTEST_PROP(PeerWire, APieceArrivesInOneLineAndByteForByte, ()) {
  const Piece piece = any_piece();
  std::string line;
  append_piece(line, piece);
  RC_ASSERT(line.find('\n') == line.size() - 1);
  RC_ASSERT(line.size() > kPulseLine.size());
  const auto object = parse_line(line);
  RC_ASSERT(object.has_value());
  const Piece read = decode_piece(*object);
  RC_ASSERT(read.text == piece.text);
  RC_ASSERT(read.tokens == piece.tokens);
  RC_ASSERT(read.output_tokens == piece.output_tokens);
  RC_ASSERT(read.logprobs.size() == piece.logprobs.size());
  for (size_t i = 0; i < read.logprobs.size(); i++) {
    RC_ASSERT(read.logprobs[i].token == piece.logprobs[i].token);
    RC_ASSERT(read.logprobs[i].logprob == piece.logprobs[i].logprob);
    RC_ASSERT(read.logprobs[i].top.size() == piece.logprobs[i].top.size());
    for (size_t j = 0; j < read.logprobs[i].top.size(); j++) {
      RC_ASSERT(read.logprobs[i].top[j].token == piece.logprobs[i].top[j].token);
      RC_ASSERT(read.logprobs[i].top[j].logprob == piece.logprobs[i].top[j].logprob);
    }
  }
  RC_ASSERT(read.done == piece.done);
  RC_ASSERT(read.limit == piece.limit);
  RC_ASSERT(read.stop_word == piece.stop_word);
  RC_ASSERT(read.prompt_tokens == piece.prompt_tokens);
  RC_ASSERT(read.cached_tokens == piece.cached_tokens);
  RC_ASSERT(read.prompt_time == piece.prompt_time);
  RC_ASSERT(read.output_time == piece.output_time);
}

// Nodes of other versions read these names.
TEST(PeerWire, MembersKeepTheirNames) {
  CompletionRequest request;
  request.sampling.stop = {"x"};
  EXPECT_EQ(encode_completion(request),
            R"({"prompt":"","tokens":[],"media":[],"sampling":{"num_predict":-1,"num_keep":4,)"
            R"("top_k":40,"top_p":9E-1,"min_p":0E0,"typical_p":1E0,"temperature":8E-1,)"
            R"("repeat_last_n":64,"repeat_penalty":1E0,"presence_penalty":0E0,)"
            R"("frequency_penalty":0E0,"seed":-1,"stop":["x"]},"constraint":{"json_schema":"",)"
            R"("grammar":"","grammar_lazy":false,"grammar_triggers":[],"preserved_tokens":[],)"
            R"("generation_prompt":"","tool_grammar":false},"logprobs":-1,"shift":true,"id":""})");
  EXPECT_EQ(boost::json::serialize(encode_properties(Properties{})),
            R"({"context_length":0,"slots":0,"media_marker":"","vision":false,"audio":false,)"
            R"("embedding":false,"resident_bytes":0})");
}

RC_GTEST_PROP(PeerWire, PropertiesArriveWhole, ()) {
  Properties properties;
  properties.context_length = *rc::gen::arbitrary<int>();
  properties.slots = *rc::gen::arbitrary<int>();
  properties.media_marker = any_bytes();
  properties.vision = *rc::gen::arbitrary<bool>();
  properties.audio = *rc::gen::arbitrary<bool>();
  properties.embedding = *rc::gen::arbitrary<bool>();
  properties.resident_bytes = *rc::gen::arbitrary<uint64_t>();
  const auto line = parse_line(boost::json::serialize(encode_properties(properties)));
  RC_ASSERT(line.has_value());
  const Properties read = decode_properties(*line);
  RC_ASSERT(read.context_length == properties.context_length);
  RC_ASSERT(read.slots == properties.slots);
  RC_ASSERT(read.media_marker == properties.media_marker);
  RC_ASSERT(read.vision == properties.vision);
  RC_ASSERT(read.audio == properties.audio);
  RC_ASSERT(read.embedding == properties.embedding);
  RC_ASSERT(read.resident_bytes == properties.resident_bytes);
}

TEST(PeerWire, EveryKindOfErrorArrivesAsItself) {
  for (int code = 0; code <= static_cast<int>(Errc::internal); code++) {
    const Error error{static_cast<Errc>(code), "what \"happened\"\n\xff"};
    const auto line = parse_line(error_line(error));
    ASSERT_TRUE(line.has_value());
    const auto read = error_in(*line);
    ASSERT_TRUE(read.has_value());
    EXPECT_EQ(read->code, error.code);
    EXPECT_EQ(read->what, error.what);
  }
}

TEST(PeerWire, AnErrorOfANewerNodeIsInternal) {
  const auto line = parse_line(R"({"error":{"code":"on_holiday","what":"back soon"}})");
  ASSERT_TRUE(line.has_value());
  EXPECT_EQ(error_in(*line)->code, Errc::internal);
  EXPECT_EQ(error_in(*line)->what, "back soon");
}

TEST(PeerWire, APieceIsNoErrorAndAPulseNeither) {
  std::string line;
  append_piece(line, Piece{});
  EXPECT_FALSE(error_in(*parse_line(line)));
  EXPECT_FALSE(error_in(*parse_line(kPulseLine)));
}

TEST(PeerWire, RefusesWhatIsNoObject) {
  for (const char* text : {"", "[]", "1", "null", "{", "{}x", "\xff", "{\"a\":}"}) {
    const auto line = parse_line(text);
    ASSERT_FALSE(line.has_value()) << text;
    EXPECT_EQ(line.error().code, Errc::corrupt);
  }
}

TEST(PeerWire, AnImpossibleTokenDoesNotBreakTheLine) {
  Piece piece;
  const double infinity = std::numeric_limits<double>::infinity();
  piece.logprobs.push_back({"a", -infinity, {{"b", infinity}, {"c", std::nan("")}}});
  std::string text;
  append_piece(text, piece);
  const auto line = parse_line(text);
  ASSERT_TRUE(line.has_value()) << text;
  const Piece read = decode_piece(*line);
  ASSERT_EQ(read.logprobs.size(), 1u);
  EXPECT_LT(read.logprobs[0].logprob, -1e300);
  ASSERT_EQ(read.logprobs[0].top.size(), 2u);
  EXPECT_GT(read.logprobs[0].top[0].logprob, 1e300);
}

TEST(PeerWire, MistypedMembersLeaveTheDefaults) {
  const auto request = decode_completion(
      R"({"prompt":7,"tokens":["a",1.5,3],"sampling":{"top_k":"many","seed":1e300},"shift":0})");
  ASSERT_TRUE(request.has_value());
  EXPECT_EQ(request->prompt, "");
  EXPECT_EQ(request->tokens, std::vector<Token>{3});
  EXPECT_EQ(request->sampling.top_k, model::Sampling{}.top_k);
  EXPECT_EQ(request->sampling.seed, -1);
  EXPECT_TRUE(request->shift);
}

TEST(PeerWire, RefusesMediaThatAreNoBase64) {
  EXPECT_FALSE(decode_completion(R"({"media":["*"]})").has_value());
}

}  // namespace
}  // namespace om::engine
