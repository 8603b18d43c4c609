// The pieces of an answer that is kept (record.h), on their way from its runner, or from what
// earlier owners kept, to the client: nothing is told before it would outlive this node.
#pragma once

#include <optional>
#include <string_view>

#include "base/digest.h"
#include "base/memory/bounded_channel.h"
#include "engine/engine.h"
#include "generation/record.h"
#include "generation/record_store.h"

namespace om::generation {

// One of them, or the begin of a runner that an earlier owner asked.
struct KeptPiece {
  std::optional<engine::Piece> piece;
};

// On the io thread. What waits here is bounded as the record is, by the bytes of its lines.
class KeptPieces {
 public:
  // Of the model with this manifest. `recording` outlives it.
  KeptPieces(Recording& recording, const Digest& model);

  // Whether an answer of this model may go on from what was kept: not in the middle of what
  // another one, which had the name before, was saying.
  static bool fits(std::string_view past, const Digest& model);

  // Takes what earlier owners kept; once. unavailable: a foreign server began the answer, which is
  // no backend any more. corrupt: no such lines.
  Result<void> read_past();
  // What is kept next is a new runner's.
  void begin_runner() { runner_began_ = true; }
  // Keeps a piece, and with it those that `completion` has ready; `lost` is told what ended it
  // after these. overloaded: the answer is too long to be kept; else as Recording::add().
  io::Task<Result<void>> keep(engine::Piece piece, engine::Completion& completion,
                              std::optional<Error>& lost, io::Call call);

  bool empty() const { return waiting_.empty(); }
  KeptPiece take();                              // The first one; not of none.
  bool took_past() const { return took_past_; }  // The last one taken is of earlier owners.

 private:
  Recording& recording_;
  Digest model_;
  bool runner_began_ = false;
  size_t past_ = 0;  // Of what waits, so many are of earlier owners.
  bool took_past_ = false;
  BoundedChannel<KeptPiece> waiting_;
};

}  // namespace om::generation
