#include "generation/scripted_for_test.h"

namespace om::generation {
namespace {

using testing::Bench;

model::EmbedRequest embed_request(std::vector<std::string> input) {
  model::EmbedRequest request;
  request.model = "e";
  request.input = std::move(input);
  return request;
}

TEST(Embed, NormalizesInTheOrderOfTheTexts) {
  Bench bench;
  bench.shelf.add("e").capabilities = {"embedding"};
  bench.script.slots = 4;
  auto request = embed_request({"", "a", "bb", "ccc", "dddd", "eeeee"});
  request.dimensions = 2;
  const auto embedding = bench.embed(std::move(request));
  ASSERT_TRUE(embedding);
  ASSERT_EQ(embedding->vectors.size(), 6);
  EXPECT_TRUE(embedding->vectors[0].empty());
  EXPECT_FLOAT_EQ(embedding->vectors[1][0], 0.6f);
  EXPECT_FLOAT_EQ(embedding->vectors[1][1], 0.8f);
  EXPECT_EQ(embedding->prompt_tokens, 15);
  auto raw = embed_request({"ccc"});
  raw.normalize = false;
  EXPECT_EQ(bench.embed(std::move(raw))->vectors[0], (std::vector<float>{3, 4, 3}));
}

TEST(Embed, CutsLongTextsBehindTheTokensTheTokenizerAdds) {
  Bench bench;
  bench.shelf.add("e").capabilities = {"embedding"};
  bench.script.adds_bos = true;
  bench.script.context = 4;
  auto request = embed_request({"abcdef"});
  const auto embedding = bench.embed(request);
  ASSERT_TRUE(embedding);
  EXPECT_EQ(embedding->texts_cut, 1);
  EXPECT_EQ(bench.script.embedded[0],
            (std::vector<engine::Token>{testing::kBos, 'a' + 1, 'b' + 1, 'c' + 1}));
  request.truncate = false;
  EXPECT_EQ(bench.embed(request).error().what, "the input length exceeds the context length");
}

TEST(Embed, NamesTheTextThatHasNoVector) {
  Bench bench;
  bench.shelf.add("e").capabilities = {"embedding"};
  bench.script.nan_for = 2;
  const auto refused = bench.embed(embed_request({"a", "bb", "ccc"}));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::invalid_argument);
  EXPECT_EQ(refused.error().what, "embedding contains NaN or Inf values (input 1)");
}

TEST(Embed, RefusesMoreNumbersThanAnAnswerMayHaveAfterTheFirstText) {
  Bench bench;
  bench.shelf.add("e").capabilities = {"embedding"};
  bench.script.embedding_length = 8192;
  const auto refused = bench.embed(embed_request(std::vector<std::string>(8193, "a")));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::invalid_argument);
  EXPECT_EQ(refused.error().what,
            "8193 texts of 8192 numbers each are too many for one request; send up to 8192");
  EXPECT_EQ(bench.script.embedded.size(), 1);
  auto shorter = embed_request(std::vector<std::string>(8193, "a"));
  shorter.dimensions = 2;
  EXPECT_TRUE(bench.embed(std::move(shorter)));
}

TEST(Embed, TriesAgainWhenTheRunnerDiesOnceAndRefusesPlainModels) {
  Bench bench;
  bench.shelf.add("e").capabilities = {"embedding"};
  bench.shelf.add("m");
  bench.script.deaths = {0};
  EXPECT_TRUE(bench.embed(embed_request({"a"})));
  EXPECT_EQ(bench.script.failures, 1);
  auto plain = embed_request({"a"});
  plain.model = "m";
  EXPECT_EQ(bench.embed(plain).error().code, Errc::unsupported);
  plain.model = "x";
  EXPECT_EQ(bench.embed(plain).error().what, "model \"x\" not found, try pulling it first");
}

}  // namespace
}  // namespace om::generation
