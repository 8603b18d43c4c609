// Prompts as token ids, and how they are made to fit a context.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "store/store.h"

namespace om::generation {

inline constexpr int64_t kImageTokens = 768;  // What one image is counted as, as Ollama does.

// The text's tokens with BOS exactly once, whether the text has it or the tokenizer adds it.
io::Task<Result<std::vector<engine::Token>>> tokenize_prompt(engine::Engine& engine,
                                                             const store::Model& model,
                                                             std::string text, io::Call call);

// What stays of a prompt that is too long: its first `keep` tokens and its last `tail`. Some of the
// context is left free for the answer.
struct Cut {
  size_t keep = 0, tail = 0;
};
Cut cut_for(size_t length, int context, int keep);

// The `keep` that `num_keep` means for this model: `all` where it is negative, and the BOS besides.
int keep_of(int num_keep, const store::Model& model, int all);

// Keeps the first tokens and the tail. Does nothing if the prompt fits (context - 1 tokens).
std::vector<engine::Token> truncate_tokens(std::vector<engine::Token> tokens, int context,
                                           int keep);

// invalid_argument with llama-server's own JSON as text, as Ollama's clients see it.
std::unexpected<Error> too_long(size_t tokens, int context);
// The same, if the caller forbids to shift the context.
std::unexpected<Error> too_long_unshifted();

// The prompt's text without a leading BOS, for runners that get text and add BOS themselves.
std::string_view without_bos(std::string_view text, const store::Model& model);

}  // namespace om::generation
