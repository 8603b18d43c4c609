#include "generation/transcript.h"

#include <algorithm>

namespace om::generation {

void Transcript::add(const engine::Piece& piece) {
  if (piece.text.empty()) return;
  text_ += piece.text;
  last_text_ = piece.text;
  last_tokens_ = piece.tokens;
  const auto given = static_cast<int64_t>(piece.tokens.size());
  // Runners that do not count (0) are taken at their word. The last event's count also holds a
  // final token without text, so that it cannot tell of a gap.
  int64_t produced = given;
  if (!piece.done && piece.output_tokens > 0) {
    produced = std::max(given, piece.output_tokens - runner_tokens_);
  }
  if (produced == given && given > 0) {
    ids_.insert(ids_.end(), piece.tokens.begin(), piece.tokens.end());
  } else {
    Gap gap{.position = ids_.size(), .text = piece.text, .count = produced};
    if (given > 0) {
      gap.last = piece.tokens.back();
      gap.last_known = true;
    }
    gaps_.push_back(std::move(gap));
  }
  runner_tokens_ += produced;
  count_ = base_ + runner_tokens_;
}

io::Task<Result<std::vector<engine::Token>>> Transcript::tokens(engine::Engine& engine,
                                                                io::Call call) const {
  std::vector<engine::Token> all;
  all.reserve(static_cast<size_t>(count_));
  size_t position = 0;
  for (const Gap& gap : gaps_) {
    all.insert(all.end(), ids_.begin() + static_cast<ptrdiff_t>(position),
               ids_.begin() + static_cast<ptrdiff_t>(gap.position));
    position = gap.position;
    std::string text = gap.text;
    CO_TRY(auto found, co_await engine.tokenize(std::move(text), false, call));
    // Some tokenizers put a blank before any text; the answer has none there.
    const bool one_more = found.size() > 1 && static_cast<int64_t>(found.size()) == gap.count + 1;
    if (one_more && (!gap.last_known || found.back() == gap.last)) found.erase(found.begin());
    all.insert(all.end(), found.begin(), found.end());
  }
  all.insert(all.end(), ids_.begin() + static_cast<ptrdiff_t>(position), ids_.end());
  co_return all;
}

io::Task<Result<std::string>> Transcript::cut_text(engine::Engine& engine, io::Call call) const {
  if (last_tokens_.empty()) co_return std::string();
  std::vector<engine::Token> tokens = last_tokens_;
  CO_TRY(const std::string said, co_await engine.detokenize(std::move(tokens), call));
  if (!said.starts_with(last_text_)) co_return std::string();
  co_return said.substr(last_text_.size());
}

}  // namespace om::generation
