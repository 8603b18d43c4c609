#include "transfer/chunk_plan.h"

#include <algorithm>
#include <limits>

#include "base/check.h"

namespace om::transfer {
namespace {

// SplitMix64 (Steele, Lea and Flood 2014): the same order for the same seed, any order for others.
uint64_t mix(uint64_t value) {
  value += 0x9e3779b97f4a7c15;
  value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
  value = (value ^ value >> 27) * 0x94d049bb133111eb;
  return value ^ value >> 31;
}

double seconds_for(uint64_t bytes, double rate) {
  if (bytes == 0) return 0;
  if (rate <= 0) return std::numeric_limits<double>::infinity();
  return static_cast<double>(bytes) / rate;
}

}  // namespace

ChunkPlan::ChunkPlan(size_t chunks, uint64_t seed) : chunks_(chunks), left_(chunks) {
  for (size_t i = 0; i < chunks; i++) chunks_[i].order = mix(seed ^ mix(i));
}

SourceId ChunkPlan::add_source(Kind kind) {
  Source source{.kind = kind, .has = {}};
  if (kind == Kind::node) source.has.resize(chunks_.size(), false);
  sources_.emplace(next_id_, std::move(source));
  return next_id_++;
}

void ChunkPlan::remove_source(SourceId source) {
  const auto found = sources_.find(source);
  if (found == sources_.end()) return;
  for (size_t i = 0; i < chunks_.size(); i++) {
    Chunk& chunk = chunks_[i];
    if (found->second.kind == Kind::node && found->second.has[i]) chunk.nodes--;
    release(source, i);
  }
  sources_.erase(found);
}

void ChunkPlan::offered(SourceId source, size_t chunk) {
  const auto found = sources_.find(source);
  if (found == sources_.end() || found->second.kind == Kind::registry) return;
  CHECK(chunk < chunks_.size());
  if (found->second.has[chunk]) return;
  found->second.has[chunk] = true;
  chunks_[chunk].nodes++;
}

bool ChunkPlan::offers(SourceId source, size_t chunk) const {
  const auto found = sources_.find(source);
  if (found == sources_.end()) return false;
  return found->second.kind == Kind::registry || found->second.has[chunk];
}

std::optional<SourceId> ChunkPlan::claimed_by(size_t chunk) const {
  if (chunks_[chunk].state != State::claimed) return {};
  return chunks_[chunk].source;
}

void ChunkPlan::done(size_t chunk) {
  if (chunks_[chunk].state == State::done) return;
  chunks_[chunk].state = State::done;
  left_--;
}

void ChunkPlan::missing(size_t chunk) {
  if (chunks_[chunk].state == State::done) left_++;
  chunks_[chunk].state = State::missing;
}

void ChunkPlan::release(SourceId source, size_t chunk) {
  Chunk& released = chunks_[chunk];
  if (released.state == State::claimed && released.source == source) {
    released.state = State::missing;
  }
}

std::optional<size_t> ChunkPlan::next(SourceId source) {
  const auto found = sources_.find(source);
  if (found == sources_.end()) return {};
  const bool is_registry = found->second.kind == Kind::registry;
  std::optional<size_t> best;
  for (size_t i = 0; i < chunks_.size(); i++) {
    const Chunk& chunk = chunks_[i];
    if (chunk.state != State::missing) continue;
    if (is_registry) {
      if (chunk.nodes > 0) continue;
      best = i;  // In order: the blob's hash is made in order too.
      break;
    }
    if (!found->second.has[i]) continue;
    if (!best || std::pair(chunk.nodes, chunk.order) <
                     std::pair(chunks_[*best].nodes, chunks_[*best].order)) {
      best = i;
    }
  }
  if (!best) return {};
  Chunk& chunk = chunks_[*best];
  chunk.state = State::claimed;
  chunk.source = source;
  chunk.stolen_from.clear();
  chunk.bytes_left = std::numeric_limits<uint64_t>::max();
  chunk.rate = 0;
  return best;
}

void ChunkPlan::progress(size_t chunk, uint64_t bytes_left, double bytes_per_second) {
  chunks_[chunk].bytes_left = bytes_left;
  chunks_[chunk].rate = bytes_per_second;
}

std::optional<ChunkPlan::Stolen> ChunkPlan::steal(SourceId thief, double bytes_per_second) {
  const auto found = sources_.find(thief);
  if (found == sources_.end() || found->second.kind == Kind::registry) return {};
  std::optional<size_t> best;
  double latest = 0;
  for (size_t i = 0; i < chunks_.size(); i++) {
    const Chunk& chunk = chunks_[i];
    if (chunk.state != State::claimed || chunk.source == thief) continue;
    const auto losses = std::ranges::count(chunk.stolen_from, thief);
    const bool takes_back = losses == 1 && chunk.rate > 0 && bytes_per_second > 0;
    if (!found->second.has[i] || (losses > 0 && !takes_back)) continue;
    if (chunk.bytes_left == std::numeric_limits<uint64_t>::max()) continue;  // Just begun.
    const double theirs = seconds_for(chunk.bytes_left, chunk.rate);
    const double ours = seconds_for(chunk.bytes_left, bytes_per_second);
    // Whoever has shown no rate yet is believed only against one that stands still.
    if (bytes_per_second <= 0 && chunk.rate > 0) continue;
    if (bytes_per_second > 0 && (theirs < kStealFactor * ours || theirs - ours < kStealGainMin)) {
      continue;
    }
    if (!best || theirs > latest) {
      best = i;
      latest = theirs;
    }
  }
  if (!best) return {};
  Chunk& chunk = chunks_[*best];
  const Stolen stolen{*best, chunk.source};
  chunk.stolen_from.push_back(chunk.source);
  chunk.source = thief;
  chunk.bytes_left = std::numeric_limits<uint64_t>::max();
  chunk.rate = 0;
  return stolen;
}

}  // namespace om::transfer
