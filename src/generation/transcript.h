// What a runner has produced for one answer so far, kept so that another runner can go on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/engine.h"

namespace om::generation {

// Grows by one piece at a time; bounded by the answer's num_predict. Only tokens whose text has
// arrived are kept: the others (held back by the runner) are produced again by the next one.
class Transcript {
 public:
  // `piece.output_tokens` tells how many tokens the runner has produced; more than it has sent
  // ids for means that some are missing, and the piece's text stands for all of them.
  void add(const engine::Piece& piece);

  // A new runner goes on from here: its counts start at 0 again.
  void begin_runner() {
    runner_tokens_ = 0;
    base_ = count_;
  }

  const std::string& text() const { return text_; }
  // Tokens that stand for text(), on all runners together.
  int64_t count() const { return count_; }
  int64_t count_before_runner() const { return base_; }
  bool empty() const { return count_ == 0 && text_.empty(); }

  // Those that stand for the begin of text(), as far as all are known.
  std::vector<engine::Token> known_tokens() const {
    const size_t count = gaps_.empty() ? ids_.size() : gaps_.front().position;
    return {ids_.begin(), ids_.begin() + static_cast<std::ptrdiff_t>(count)};
  }
  // The ids that stand for text(), asking `engine` for those of pieces that came without.
  io::Task<Result<std::vector<engine::Token>>> tokens(engine::Engine& engine, io::Call call) const;
  // What its runner cut off the text of the last piece's tokens: a stop string and what is behind.
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
