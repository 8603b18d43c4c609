// What a prompt starts with, known before it is rendered or tokenized: chained hashes of the text
// of the request's parts in prompt order. Two requests whose first k hashes are equal begin with
// the same text, so a runner that evaluated one has that much of the other in its cache.
//
//   OutlineBuilder builder(weights);
//   builder.add(system);                       // Tools, roles and contents follow.
//   builder.mark_conversation();               // After the first message of the user.
//   PromptOutline outline = builder.finish();
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/digest.h"

namespace om::scheduler {

// A small key for a model: the first bytes of its weights' digest.
uint64_t model_key(const Digest& weights);

// Blocks have 256 bytes up to 16 KiB; from there each doubling of the text has 32 blocks. So a
// block is at most 1/32 of the text before it, and kBlocksMax blocks cover 1 MiB. Text beyond that,
// and behind the last whole block, counts in `bytes` only.
struct PromptOutline {
  static constexpr size_t kBlocksMax = 256;

  uint64_t model = 0;
  uint64_t conversation = 0;     // The same for all turns of one conversation. 0: not marked.
  size_t bytes = 0;              // Of all text.
  std::vector<uint64_t> blocks;  // Each hash covers its block and everything before it.

  static size_t bytes_of(size_t blocks);  // Text under the first `blocks` blocks.
  static size_t blocks_in(size_t bytes);  // Whole blocks within the first `bytes`.
};

// Builds an outline from text that comes in parts. A plain value: a copy can be continued, for
// example with the answer, to tell what the next turn will begin with.
class OutlineBuilder {
 public:
  explicit OutlineBuilder(const Digest& weights);

  // Parts are told apart: {"ab", "c"} and {"a", "bc"} give different outlines.
  void add(std::string_view part);
  void mark_conversation();
  PromptOutline finish() const { return outline_; }

 private:
  void take(std::string_view text);
  void mix_whole_words();

  PromptOutline outline_;
  uint64_t state_ = 0;
  size_t block_end_ = 0;  // Where the current block ends. 0: no more blocks.
  std::array<char, 8> word_{};
  size_t word_bytes_ = 0;
};

// Estimates a text's tokens from its bytes, as measured for each model. Bounded; on the io thread.
class TokenRatio {
 public:
  static constexpr size_t kModelsMax = 1024;

  double tokens(uint64_t model, size_t bytes) const;
  void observe(uint64_t model, size_t bytes, int64_t tokens);  // What a prompt really had.

 private:
  std::unordered_map<uint64_t, double> tokens_per_byte_;
};

}  // namespace om::scheduler
