#include "api/error.h"

#include <gtest/gtest.h>

namespace om::api {
namespace {

constexpr std::string_view kTooLong =
    R"({"error":{"code":400,"message":"request (300 tokens) exceeds the available context size )"
    R"((256 tokens), try increasing it","type":"exceed_context_size_error","n_ctx":256}})";

TEST(ErrorBody, TellsATooLongPromptAsEachApiDoes) {
  EXPECT_EQ(error_body(ErrorShape::openai, 400, kTooLong, "1"),
            R"({"error":{"message":"This model's maximum context length is 256 tokens. However, )"
            R"(your messages resulted in 300 tokens. Please reduce their length, or raise )"
            R"(num_ctx.","type":"invalid_request_error","param":null,)"
            R"("code":"context_length_exceeded"}})");
  EXPECT_EQ(error_body(ErrorShape::anthropic, 400, kTooLong, "1"),
            R"({"type":"error","error":{"type":"invalid_request_error","message":"prompt is too )"
            R"(long: 300 tokens \u003e 256 maximum"},"request_id":"req_1"})");
  EXPECT_EQ(error_words(ErrorShape::ollama, kTooLong).message, kTooLong);
}

TEST(ErrorBody, KnowsTheWordsOfAForeignServerToo) {
  const ErrorWords words =
      error_words(ErrorShape::openai,
                  "backend b answered 400: request (9 tokens) exceeds the available context "
                  "size (4 tokens), try increasing it");
  EXPECT_EQ(words.code, "context_length_exceeded");
  EXPECT_TRUE(error_words(ErrorShape::openai, "request (9 tokens) refused").code.empty());
}

TEST(ErrorBody, TellsATooLongPromptWhoseTokensAreNotTold) {
  constexpr std::string_view kUnshifted =
      "the prompt is longer than the context length currently available to the model; shorten the "
      "prompt, raise num_ctx, or allow shift";
  const ErrorWords openai = error_words(ErrorShape::openai, kUnshifted);
  EXPECT_EQ(openai.code, "context_length_exceeded");
  EXPECT_EQ(openai.message,
            "Your messages are longer than this model's maximum context length. Please reduce "
            "their length, or raise num_ctx.");
  EXPECT_EQ(error_words(ErrorShape::anthropic, kUnshifted).message,
            "prompt is too long: more tokens than the maximum");
  EXPECT_EQ(error_words(ErrorShape::ollama, kUnshifted).message, kUnshifted);
}

}  // namespace
}  // namespace om::api
