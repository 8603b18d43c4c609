#include "generation/prompt_tokens.h"

#include <algorithm>

namespace om::generation {

io::Task<Result<std::vector<engine::Token>>> tokenize_prompt(engine::Engine& engine,
                                                             const store::Model& model,
                                                             std::string text, io::Call call) {
  const std::string& bos = model.gguf.bos_token;
  const bool has_bos = !bos.empty() && text.starts_with(bos);
  CO_TRY(auto tokens, co_await engine.tokenize(std::move(text), true, std::move(call)));
  // Only some tokenizers add BOS, and headers do not always tell which.
  if (has_bos && tokens.size() >= 2 && tokens[0] == tokens[1]) tokens.erase(tokens.begin());
  co_return tokens;
}

Cut cut_for(size_t length, int context, int keep) {
  const int room = std::max(context - 1, 1);
  if (length <= static_cast<size_t>(room)) return {length, 0};
  const int kept = std::clamp(keep, 0, room);
  const int freed = std::max((context - kept) / 2, 1);
  const int left = std::max(context - freed, 1);
  const int first = std::min(kept, left);
  return {static_cast<size_t>(first), static_cast<size_t>(left - first)};
}

int keep_of(int num_keep, const store::Model& model, int all) {
  return num_keep < 0 ? all : num_keep + (model.gguf.add_bos ? 1 : 0);
}

std::vector<engine::Token> truncate_tokens(std::vector<engine::Token> tokens, int context,
                                           int keep) {
  const Cut cut = cut_for(tokens.size(), context, keep);
  if (cut.keep + cut.tail >= tokens.size()) return tokens;
  tokens.erase(tokens.begin() + static_cast<ptrdiff_t>(cut.keep),
               tokens.end() - static_cast<ptrdiff_t>(cut.tail));
  return tokens;
}

std::unexpected<Error> too_long(size_t tokens, int context) {
  return fail(Errc::invalid_argument,
              R"({{"error":{{"code":400,"message":"request ({} tokens) exceeds the available )"
              R"(context size ({} tokens), try increasing it","type":)"
              R"("exceed_context_size_error","n_prompt_tokens":{},"n_ctx":{}}}}})",
              tokens, context, tokens, context);
}

std::unexpected<Error> too_long_unshifted() {
  return fail(Errc::invalid_argument,
              "the prompt is longer than the context length currently available to the model; "
              "shorten the prompt, raise num_ctx, or allow shift");
}

std::string_view without_bos(std::string_view text, const store::Model& model) {
  const std::string& bos = model.gguf.bos_token;
  if (model.gguf.add_bos && !bos.empty() && text.starts_with(bos)) text.remove_prefix(bos.size());
  return text;
}

}  // namespace om::generation
