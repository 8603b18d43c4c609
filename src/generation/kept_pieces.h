// The pieces of a recorded answer (record.h), on their way from its runner, or from the record of
// earlier owners, to the client: the client gets a piece only once it would outlive this node.
#pragma once

#include <optional>
#include <string_view>

#include "base/digest.h"
#include "base/memory/bounded_channel.h"
#include "engine/engine.h"
#include "generation/record.h"
#include "generation/record_store.h"

namespace om::generation {

// A piece; nullopt: here an earlier owner began a new runner.
struct KeptPiece {
  std::optional<engine::Piece> piece;
};

// On the io thread. Bounded as the record is, by the bytes of its lines.
class KeptPieces {
 public:
  // `model`: the digest of the model's manifest. `recording` outlives it.
  KeptPieces(Recording& recording, const Digest& model);

  // Whether this model may go on from `past`: not if another model, which had the name before, was
  // in the middle of its answer.
  static bool fits(std::string_view past, const Digest& model);

  // Reads the record of earlier owners; once. unavailable: the answer was begun by a foreign server
  // that is no backend any more. corrupt: lines of another kind.
  Result<void> read_past();
  // The next pieces are a new runner's.
  void begin_runner() { runner_began_ = true; }
  // Keeps a piece, and with it those that `completion` has ready; the error behind these goes to
  // `lost`. overloaded: the answer is too long to keep. Other errors as of Recording::add().
  io::Task<Result<void>> keep(engine::Piece piece, engine::Completion& completion,
                              std::optional<Error>& lost, io::Call call);

  bool empty() const { return waiting_.empty(); }
  KeptPiece take();                              // The first one. Not while empty().
  bool took_past() const { return took_past_; }  // The last one taken was an earlier owner's.

 private:
  Recording& recording_;
  Digest model_;
  bool runner_began_ = false;
  size_t past_ = 0;  // How many of the waiting ones are of earlier owners.
  bool took_past_ = false;
  BoundedChannel<KeptPiece> waiting_;
};

}  // namespace om::generation
