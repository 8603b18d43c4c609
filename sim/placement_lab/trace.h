// Seeded request traces for the comparison of placement rules.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "io/task.h"
#include "scheduler/prompt_outline.h"

namespace om::lab {

// Tokens come in chunks: a chunk is the unit in which a simulated node's cache works.
inline constexpr int kChunkTokens = 64;

// A model of the simulated cluster.
struct LabModel {
  std::string name;
  Digest weights;
  uint64_t bytes = 0;  // On disk and, with its context, in memory.
};

struct LabRequest {
  static constexpr size_t kNoNext = SIZE_MAX;

  io::TimePoint arrives{};  // kNever: when the one before it in its conversation has ended.
  io::Duration think{};     // Before `next` comes.
  size_t model = 0;
  std::vector<uint64_t> chunks;  // Chained: equal hashes mean equal text up to there.
  int prompt_tokens = 0;
  int output_tokens = 0;
  std::vector<uint64_t> after;  // Chunks that its answer adds to the prompt in the runner's cache.
  scheduler::PromptOutline outline;
  size_t next = kNoNext;  // The conversation's next turn.
};

// How the nodes of a trace are.
struct LabNodes {
  size_t count = 8;
  int slots = 4;
  double prompt_rate = 1500, output_rate = 50;  // Tokens a second of one request alone.
  double batch_slowdown = 0.25;
  size_t cache_chunks = 1024;  // Of one runner.
  uint64_t memory = 24'000'000'000;
  double load_rate = 800e6;
  size_t slow = 0;  // So many nodes have a tenth of the speed.
};

struct Trace {
  std::string name;
  LabNodes nodes;
  std::vector<LabModel> models;
  std::vector<LabRequest> requests;
};

enum class TraceKind { chat, one_off, burst, mixed, slow_node, tenants };
inline constexpr TraceKind kTraceKinds[] = {TraceKind::chat,      TraceKind::one_off,
                                            TraceKind::burst,     TraceKind::mixed,
                                            TraceKind::slow_node, TraceKind::tenants};
std::string_view to_string(TraceKind kind);

struct TraceOptions {
  TraceKind kind = TraceKind::chat;
  size_t nodes = 8;
  size_t requests_per_node = 60;
  double load = 0.7;  // Of what the nodes could do if every prompt were cold.
  uint64_t seed = 1;
};

Trace make_trace(const TraceOptions& options);

}  // namespace om::lab
