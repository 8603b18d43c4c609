#include "generation/chunk_wire.h"

#include <gtest/gtest.h>

#include "engine/remote/wire.h"

namespace om::generation {
namespace {

model::Chunk there_and_back(const model::Chunk& chunk) {
  std::string line;
  append_chunk(line, "backend/rack", chunk);
  EXPECT_TRUE(are_chunks(line));
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const KeptChunk kept = decode_chunk(engine::parse_line(line).value());
  EXPECT_EQ(kept.by, "backend/rack");
  return kept.chunk;
}

TEST(ChunkWire, TextThoughtsCallsAndLogprobsComeBack) {
  model::Chunk chunk{.content = "a \"b\"\n\xC3\xBC \xFF", .thinking = "Hm.\t"};
  chunk.tool_calls = {{"call_1", "where", R"({"city":"Ulm"})"}, {"", "when", "{}"}};
  chunk.logprobs = {{.token = "\xC3", .logprob = -0.125, .top = {{"x", -1.0 / 3}, {"y", -2}}},
                    {.token = "b", .logprob = -1e-300}};
  const model::Chunk got = there_and_back(chunk);
  EXPECT_EQ(got.content, chunk.content);
  EXPECT_EQ(got.thinking, chunk.thinking);
  ASSERT_EQ(got.tool_calls.size(), 2U);
  EXPECT_EQ(got.tool_calls[0].id, "call_1");
  EXPECT_EQ(got.tool_calls[0].arguments, R"({"city":"Ulm"})");
  EXPECT_EQ(got.tool_calls[1].name, "when");
  ASSERT_EQ(got.logprobs.size(), 2U);
  EXPECT_EQ(got.logprobs[0].token, "\xC3");
  EXPECT_EQ(got.logprobs[0].logprob, -0.125);
  ASSERT_EQ(got.logprobs[0].top.size(), 2U);
  EXPECT_EQ(got.logprobs[0].top[0].logprob, -1.0 / 3);
  EXPECT_EQ(got.logprobs[1].logprob, -1e-300);
  EXPECT_FALSE(got.done);
}

TEST(ChunkWire, TheEndComesBack) {
  model::Chunk chunk{.done = true, .reason = model::DoneReason::length, .stop_sequence = "END\n"};
  chunk.usage = {.prompt_tokens = 7,
                 .prompt_cached_tokens = 3,
                 .output_tokens = 12,
                 .reasoning_tokens = 5,
                 .total = std::chrono::seconds(3),
                 .load = std::chrono::nanoseconds(1),
                 .prompt_eval = std::chrono::milliseconds(2),
                 .eval = std::chrono::hours(1)};
  const model::Chunk got = there_and_back(chunk);
  EXPECT_TRUE(got.done);
  EXPECT_EQ(got.reason, model::DoneReason::length);
  EXPECT_EQ(got.stop_sequence, "END\n");
  EXPECT_EQ(got.usage.prompt_tokens, 7);
  EXPECT_EQ(got.usage.prompt_cached_tokens, 3);
  EXPECT_EQ(got.usage.output_tokens, 12);
  EXPECT_EQ(got.usage.reasoning_tokens, 5);
  EXPECT_EQ(got.usage.total, chunk.usage.total);
  EXPECT_EQ(got.usage.load, chunk.usage.load);
  EXPECT_EQ(got.usage.prompt_eval, chunk.usage.prompt_eval);
  EXPECT_EQ(got.usage.eval, chunk.usage.eval);
}

TEST(ChunkWire, PiecesOfRunnersAreNoChunks) {
  std::string line;
  engine::append_piece(line, {.text = "a"});
  EXPECT_FALSE(are_chunks(line));
  EXPECT_FALSE(are_chunks(""));
}

}  // namespace
}  // namespace om::generation
