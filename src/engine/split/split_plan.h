// How a model that no node can hold is split over several. Pure.
//
// The main node keeps the input embedding and the first blocks; the parts follow in order, the last
// one with the output layer. Each token passes through all of them: every part costs a round trip a
// token, and a load sends its weights over its link.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/gguf.h"
#include "model/memory_estimate.h"

namespace om::engine {

inline constexpr size_t kPartsMax = 15;  // llama.cpp knows 16 devices.

// Bytes that a model takes under one launch plan.
struct SplitNeeds {
  std::vector<uint64_t> blocks;         // Weights, cache and state of each.
  std::vector<uint64_t> block_weights;  // The share of these that a load sends to a part.
  uint64_t output = 0;                  // The output layer.
  uint64_t main = 0, part = 0;          // What each takes besides: process, input, buffers.
  uint64_t token_bytes = 0;             // One token's state, as it goes from part to part.
};

// `extra`: adapters, projectors and the like, which stay on the main node. unsupported: a model
// that cannot be cut (an encoder, or one without blocks).
Result<SplitNeeds> split_needs(const model::GgufSummary& gguf, const model::MemoryPlan& plan,
                               uint64_t extra);

// A node that could hold a part.
struct SplitNode {
  std::string name;
  uint64_t memory_free = 0;
  double round_trip_ms = 1;
  double bytes_per_second = 100e6;
};

struct PartShare {
  std::string node;
  int blocks = 0;        // With the output layer counted as one, on the last part.
  uint64_t bytes = 0;    // Memory to be reserved there.
  uint64_t weights = 0;  // Bytes that loading sends.
  auto operator<=>(const PartShare&) const = default;
};

struct SplitPlan {
  int main_blocks = 0;
  uint64_t main_bytes = 0;
  std::vector<PartShare> parts;
  double token_ms = 0;  // What the links add to each token.
  double load_ms = 0;   // Time to send the weights, one part after the other.
};

// As few parts as suffice, on the nodes with the best links. The main node is filled first, since
// its weights need not be sent. unavailable: all nodes together have too little memory, with the
// figures.
Result<SplitPlan> plan_split(const SplitNeeds& needs, uint64_t main_free,
                             std::vector<SplitNode> nodes);

}  // namespace om::engine
