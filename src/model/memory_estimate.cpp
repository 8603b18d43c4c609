#include "model/memory_estimate.h"

#include <algorithm>

namespace om::model {
namespace {

constexpr uint64_t kContextStep = 256;  // llama.cpp rounds contexts and windows up to this.
constexpr int kContextMax = 1 << 28;
constexpr int kSlotsMax = 1 << 12;
constexpr int kUbatchMax = 1 << 20;

// Measured: libraries and the server's own structures, and what one token of vocabulary costs.
constexpr uint64_t kProcessBytes = 30 << 20;
constexpr uint64_t kVocabularyBytes = 176;

// A projector's compute buffer beside its weights; a guess, not measured.
constexpr double kProjectorFactor = 1.5;

struct CacheType {
  std::string_view name;
  uint64_t block_elements, block_bytes;
};

constexpr CacheType kCacheTypes[] = {{"f32", 1, 4},      {"f16", 1, 2},    {"bf16", 1, 2},
                                     {"q8_0", 32, 34},   {"q4_0", 32, 18}, {"q4_1", 32, 20},
                                     {"iq4_nl", 32, 18}, {"q5_0", 32, 22}, {"q5_1", 32, 24}};

uint64_t round_up(uint64_t value, uint64_t step) { return (value + step - 1) / step * step; }

// Widths come from a file; a lie must saturate and not wrap around to something small.
uint64_t multiply(uint64_t a, uint64_t b) {
  constexpr uint64_t kBytesMax = uint64_t{1} << 56;
  uint64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? kBytesMax : std::min(product, kBytesMax);
}

// The cells of the cache, rounded as llama.cpp does it.
struct Cells {
  uint64_t streams, full, sliding;  // full and sliding: of one stream.
};

Cells cells_of(const GgufSummary& model, const MemoryPlan& plan) {
  Cells cells;
  auto slots = static_cast<uint64_t>(plan.slots);
  auto context = static_cast<uint64_t>(plan.context);
  cells.streams = plan.unified ? 1 : slots;
  cells.full = round_up(context / cells.streams, kContextStep);
  auto window = static_cast<uint64_t>(model.sliding_window) * (plan.unified ? slots : 1);
  window += static_cast<uint64_t>(plan.ubatch);
  cells.sliding = std::min(cells.full, round_up(window, kContextStep));
  return cells;
}

uint64_t layer_bytes(const GgufCacheLayer& layer, const MemoryPlan& plan, uint64_t cells) {
  return multiply(cells, cache_bytes(plan.key_type, layer.key_width) +
                             cache_bytes(plan.value_type, layer.value_width));
}

uint64_t cache_total(const GgufSummary& model, const MemoryPlan& plan, const Cells& cells) {
  uint64_t total = 0;
  for (const GgufCacheLayer& layer : model.cache_layers) {
    uint64_t count = multiply(layer.sliding ? cells.sliding : cells.full, cells.streams);
    total += layer_bytes(layer, plan, count);
  }
  return total;
}

// What one saved state of a slot takes: the window of the sliding layers and the recurrent state.
uint64_t checkpoint_bytes(const GgufSummary& model, const MemoryPlan& plan, const Cells& cells) {
  uint64_t total = model.state_bytes;
  auto window = std::min(static_cast<uint64_t>(model.sliding_window), cells.full);
  for (const GgufCacheLayer& layer : model.cache_layers) {
    if (layer.sliding) total += layer_bytes(layer, plan, window);
  }
  return total;
}

// The graph's buffer is as large as its widest moment: in a feed-forward block, in attention
// without flash, or where the logits are made. The attention masks live all the time.
uint64_t compute_total(const GgufSummary& model, const MemoryPlan& plan, const Cells& cells) {
  auto ubatch = static_cast<uint64_t>(plan.ubatch);
  auto embedding = static_cast<uint64_t>(model.embedding_length);
  auto queries = static_cast<uint64_t>(model.query_width);
  constexpr uint64_t kFloat = 4;

  bool any_sliding = std::ranges::any_of(model.cache_layers, &GgufCacheLayer::sliding);
  bool any_full = std::ranges::any_of(model.cache_layers,
                                      [](const GgufCacheLayer& layer) { return !layer.sliding; });
  uint64_t masked = (any_full ? cells.full : 0) + (any_sliding ? cells.sliding : 0);
  if (model.cache_layers.empty()) masked = ubatch;  // Encoders attend within the batch.
  uint64_t masks = multiply(multiply(masked, ubatch), plan.flash_attention ? 2 : kFloat);

  auto used = static_cast<uint64_t>(model.expert_used_count);
  uint64_t feed_forward =
      std::max(static_cast<uint64_t>(model.feed_forward_length),
               multiply(static_cast<uint64_t>(model.expert_feed_forward_length), used));
  uint64_t experts = multiply(used, embedding);
  uint64_t width = multiply(feed_forward, 3) + queries + multiply(embedding, 3) + experts;
  // BERT's block has no gate, and nothing else lives beside it.
  if (model.architecture == "bert") width = feed_forward + multiply(embedding, 3);
  uint64_t widest = multiply(ubatch * kFloat, width);

  if (!plan.flash_attention) {
    uint64_t heads = static_cast<uint64_t>(std::max<int64_t>(model.head_count, 1));
    uint64_t seen = model.cache_layers.empty() ? ubatch : cells.full;
    uint64_t attention = multiply(multiply(seen, heads), ubatch * kFloat);
    uint64_t keys = model.cache_layers.empty() ? embedding : 0;
    for (const GgufCacheLayer& layer : model.cache_layers) {
      keys = std::max(keys, layer.key_width + layer.value_width);
    }
    attention += multiply(ubatch * kFloat, multiply(embedding, 4) + queries + keys);
    widest = std::max(widest, attention);
  }

  // Encoders have no output head.
  if (!model.cache_layers.empty()) {
    uint64_t outputs = plan.embeddings ? ubatch : static_cast<uint64_t>(plan.slots);
    uint64_t logits = multiply(outputs * kFloat, static_cast<uint64_t>(model.vocabulary_size));
    logits += multiply(ubatch * kFloat, multiply(embedding, 2));
    widest = std::max(widest, logits);
  }
  return masks + widest;
}

// A row for each token whose result is asked for: the last one of each slot, or for embeddings
// all of a batch. llama.cpp keeps room for logits in the rows even where a model makes none.
uint64_t output_total(const GgufSummary& model, const MemoryPlan& plan) {
  auto rows = static_cast<uint64_t>(plan.slots);
  auto width = static_cast<uint64_t>(model.vocabulary_size);
  if (plan.embeddings) {
    rows = std::max(rows, static_cast<uint64_t>(plan.ubatch));
    width += static_cast<uint64_t>(model.embedding_length);
  }
  return multiply(rows * 4, width);
}

}  // namespace

uint64_t cache_bytes(std::string_view type, uint64_t elements) {
  const auto* known = std::ranges::find(kCacheTypes, type, &CacheType::name);
  if (known == std::end(kCacheTypes)) return 0;
  return multiply(round_up(elements, known->block_elements) / known->block_elements,
                  known->block_bytes);
}

uint64_t MemoryEstimate::total() const {
  return weights + repacked + cache + state + output + compute + process + checkpoints +
         prompt_cache + projector;
}

Result<MemoryEstimate> estimate_memory(const GgufSummary& model, const MemoryPlan& plan) {
  if (plan.context < 1 || plan.context > kContextMax || plan.slots < 1 || plan.slots > kSlotsMax ||
      plan.ubatch < 1 || plan.ubatch > kUbatchMax || plan.checkpoints < 0) {
    return fail(Errc::invalid_argument, "no memory estimate for context {}, slots {}, ubatch {}",
                plan.context, plan.slots, plan.ubatch);
  }
  for (const std::string& type : {plan.key_type, plan.value_type}) {
    if (cache_bytes(type, 1) == 0) {
      return fail(Errc::invalid_argument, "unknown cache type \"{}\"", type);
    }
  }
  auto slots = static_cast<uint64_t>(plan.slots);
  Cells cells = cells_of(model, plan);
  MemoryEstimate estimate;
  estimate.weights = model.tensor_bytes;
  estimate.repacked = model.repack_bytes;
  estimate.cache = cache_total(model, plan, cells);
  estimate.state = multiply(model.state_bytes, slots);
  estimate.output = output_total(model, plan);
  estimate.compute = compute_total(model, plan, cells);
  estimate.process =
      kProcessBytes + multiply(static_cast<uint64_t>(model.vocabulary_size), kVocabularyBytes);
  estimate.checkpoints = multiply(multiply(static_cast<uint64_t>(plan.checkpoints), slots),
                                  checkpoint_bytes(model, plan, cells));
  estimate.prompt_cache = plan.prompt_cache_bytes;
  estimate.projector =
      static_cast<uint64_t>(static_cast<double>(plan.projector_bytes) * kProjectorFactor);
  return estimate;
}

}  // namespace om::model
