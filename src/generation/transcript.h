// What a runner has produced for one answer so far, kept so that another runner can go on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/engine.h"

namespace om::generation {

// Grows by one piece at a time; bounded by the answer's num_predict. Keeps only tokens whose text
// has arrived; the next runner produces those again that the last one held back.
class Transcript {
 public:
  // If `piece.output_tokens` is more than the number of ids that the runner has sent, some ids are
  // missing; the piece's text then stands for those tokens, too.
  void add(const engine::Piece& piece);

  // A new runner goes on from here: its counts start at 0 again.
  void begin_runner() {
    runner_tokens_ = 0;
    base_ = count_;
  }

  const std::string& text() const { return text_; }
  // Number of tokens of text(), of all runners together.
  int64_t count() const { return count_; }
  int64_t count_before_runner() const { return base_; }
  bool empty() const { return count_ == 0 && text_.empty(); }

  // The tokens of text(), from its start up to the first missing id.
  std::vector<engine::Token> known_tokens() const {
    const size_t count = gaps_.empty() ? ids_.size() : gaps_.front().position;
    return {ids_.begin(), ids_.begin() + static_cast<std::ptrdiff_t>(count)};
  }
  // The tokens of text(); asks `engine` for missing ids.
  io::Task<Result<std::vector<engine::Token>>> tokens(engine::Engine& engine, io::Call call) const;
  // The text of the last piece's tokens that its runner cut off: a stop string and the text behind.
  io::Task<Result<std::string>> cut_text(engine::Engine& engine, io::Call call) const;

 private:
  // A stretch of text whose ids are not all known, at a place among the known ids.
  struct Gap {
    size_t position = 0;  // Into ids_: the gap's tokens stand before this one.
    std::string text;
    int64_t count = 0;       // Of tokens it should have.
    engine::Token last = 0;  // The last one's id, if one is known.
    bool last_known = false;
  };

  std::string text_;
  std::vector<engine::Token> ids_;
  std::vector<Gap> gaps_;
  std::string last_text_;
  std::vector<engine::Token> last_tokens_;
  int64_t count_ = 0;
  int64_t base_ = 0;           // count_ when the present runner began.
  int64_t runner_tokens_ = 0;  // Produced by the present runner up to the last piece with text.
};

}  // namespace om::generation
