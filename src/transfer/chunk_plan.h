// Which chunk is asked of which source: rarest first, stealing from slow ones. Pure; no clock, no
// I/O.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace om::transfer {

using SourceId = uint32_t;

// Of one blob that is fetched from several sources. A chunk is asked of one source at a time.
//
// (1) A node is asked for the chunk that the fewest nodes have, so that rare chunks spread first.
// Among equally rare ones each receiver begins elsewhere (`seed`), so that receivers have something
// to give each other. (2) The registry is asked only for chunks that no node has: its bytes are
// fetched once. (3) A source with nothing left to do steals the chunk that would come last, if it
// would bring it much sooner than the source that has it. A source takes back a chunk it lost at
// most once, and only from a slow source, not from one that stands still: else sources that are all
// slow to begin would steal it from each other in turn, and none would ever bring it.
class ChunkPlan {
 public:
  enum class Kind { node, registry };
  static constexpr double kStealFactor = 2.0;   // How many times sooner.
  static constexpr double kStealGainMin = 0.5;  // Seconds; less is not worth a new request.

  ChunkPlan(size_t chunks, uint64_t seed);

  SourceId add_source(Kind kind);
  void remove_source(SourceId source);          // Its claimed chunks are missing again.
  void offered(SourceId source, size_t chunk);  // The source has this chunk.
  // A registry's source offers everything from the start.

  void done(size_t chunk);                      // The chunk is here, from any source.
  void missing(size_t chunk);                   // The chunk was wrong: it is wanted again.
  void release(SourceId source, size_t chunk);  // The source gives the chunk up.

  // Claims a chunk for the source; nullopt: it has no wanted one, or should be left alone.
  std::optional<size_t> next(SourceId source);

  // How a claimed chunk goes on, for steal(). `bytes_per_second` 0: nothing has come for a while.
  void progress(size_t chunk, uint64_t bytes_left, double bytes_per_second);
  struct Stolen {
    size_t chunk = 0;
    SourceId from = 0;  // Cancel its request.
  };
  std::optional<Stolen> steal(SourceId thief, double bytes_per_second);

  bool complete() const { return left_ == 0; }
  size_t left() const { return left_; }
  bool offers(SourceId source, size_t chunk) const;
  std::optional<SourceId> claimed_by(size_t chunk) const;  // For tests.

 private:
  enum class State : uint8_t { missing, claimed, done };
  struct Chunk {
    State state = State::missing;
    uint32_t nodes = 0;  // How many offer it.
    uint64_t order = 0;  // Among equally rare chunks.
    SourceId source = 0;
    uint64_t bytes_left = 0;
    double rate = 0;
    std::vector<SourceId> stolen_from;  // Since it was last missing.
  };
  struct Source {
    Kind kind = Kind::node;
    std::vector<bool> has;  // Empty for a registry.
  };

  std::vector<Chunk> chunks_;
  std::map<SourceId, Source> sources_;
  SourceId next_id_ = 1;
  size_t left_;
};

}  // namespace om::transfer
