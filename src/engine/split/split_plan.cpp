#include "engine/split/split_plan.h"

#include <algorithm>
#include <numeric>

namespace om::engine {
namespace {

// Measured: ggml-rpc-server without any tensor (VmRSS 21 MiB), and what its messages take.
constexpr uint64_t kPartProcessBytes = 32 << 20;

double gigabytes(uint64_t bytes) { return static_cast<double>(bytes) / (1 << 30); }

// What a link costs an answer of this many tokens, its load included.
constexpr double kTokensWeighed = 256;

double link_ms(const SplitNeeds& needs, const SplitNode& node) {
  const double rate = std::max(1.0, node.bytes_per_second);
  return node.round_trip_ms + 1000 * static_cast<double>(needs.token_bytes) / rate;
}

uint64_t room(const SplitNeeds& needs, const SplitNode& node) {
  return node.memory_free - std::min(node.memory_free, needs.part);
}

// Cuts the blocks in their order: as many as fit go to each holder. True if all found a place.
class Cut {
 public:
  explicit Cut(const SplitNeeds& needs) : needs_(needs) {}

  uint64_t fill(uint64_t room) {
    uint64_t used = 0;
    while (next_ < needs_.blocks.size() && used + needs_.blocks[next_] <= room) {
      used += needs_.blocks[next_++];
    }
    return used;
  }
  size_t next() const { return next_; }
  bool done() const { return next_ == needs_.blocks.size(); }

 private:
  const SplitNeeds& needs_;
  size_t next_ = 0;
};

Result<SplitPlan> cut(const SplitNeeds& needs, uint64_t main_free,
                      const std::vector<const SplitNode*>& nodes) {
  SplitPlan plan;
  Cut cut(needs);
  plan.main_bytes = needs.main + cut.fill(main_free - needs.main);
  plan.main_blocks = static_cast<int>(cut.next());
  for (size_t i = 0; i < nodes.size(); i++) {
    const SplitNode& node = *nodes[i];
    const bool last = i + 1 == nodes.size();
    const size_t first = cut.next();
    uint64_t free = room(needs, node);
    if (last) {
      if (free < needs.output) return fail(Errc::unavailable, "no room for the output layer");
      free -= needs.output;
    }
    PartShare share;
    share.node = node.name;
    share.bytes = needs.part + cut.fill(free) + (last ? needs.output : 0);
    share.blocks = static_cast<int>(cut.next() - first) + (last ? 1 : 0);
    share.weights =
        std::accumulate(needs.block_weights.begin() + static_cast<ptrdiff_t>(first),
                        needs.block_weights.begin() + static_cast<ptrdiff_t>(cut.next()),
                        last ? needs.output : uint64_t{0});
    if (share.blocks == 0) continue;
    plan.token_ms += link_ms(needs, node);
    plan.load_ms +=
        1000 * static_cast<double>(share.weights) / std::max(1.0, node.bytes_per_second);
    plan.parts.push_back(std::move(share));
  }
  if (!cut.done()) return fail(Errc::unavailable, "the blocks do not fit");
  return plan;
}

}  // namespace

Result<SplitNeeds> split_needs(const model::GgufSummary& gguf, const model::MemoryPlan& plan,
                               uint64_t extra) {
  const auto count = static_cast<size_t>(std::max<int64_t>(gguf.block_count, 0));
  if (count == 0 || count > 4096 || gguf.cache_layers.empty() || gguf.has_pooling) {
    return fail(Errc::unsupported, "a model of this kind ({}) cannot be split over nodes",
                gguf.architecture);
  }
  TRY(const model::MemoryEstimate whole, model::estimate_memory(gguf, plan));
  SplitNeeds needs;
  // A card written before headers told of blocks: all weights, cut evenly.
  const uint64_t block =
      gguf.block_bytes_max > 0 ? gguf.block_bytes_max : (whole.weights + count - 1) / count;
  needs.block_weights.assign(count, block);
  needs.blocks.assign(count, block + (whole.state + whole.repacked + count - 1) / count);
  model::GgufSummary one = gguf;
  for (size_t i = 0; i < count; i++) {
    const bool each = gguf.cache_layers.size() == count;
    if (each) {
      one.cache_layers = {gguf.cache_layers[i]};
      TRY(const model::MemoryEstimate layer, model::estimate_memory(one, plan));
      needs.blocks[i] += layer.cache;
    } else {
      needs.blocks[i] += (whole.cache + count - 1) / count;
    }
  }
  needs.output = gguf.output_bytes;
  needs.part = kPartProcessBytes + whole.compute;
  needs.main = whole.process + whole.output + whole.compute + gguf.input_bytes + whole.checkpoints +
               whole.prompt_cache + whole.projector + extra;
  needs.token_bytes = static_cast<uint64_t>(std::max<int64_t>(gguf.embedding_length, 0)) * 4;
  return needs;
}

Result<SplitPlan> plan_split(const SplitNeeds& needs, uint64_t main_free,
                             std::vector<SplitNode> nodes) {
  std::erase_if(nodes, [&](const SplitNode& node) { return room(needs, node) == 0; });
  std::ranges::stable_sort(nodes, std::greater(), &SplitNode::memory_free);
  if (nodes.size() > kPartsMax) nodes.resize(kPartsMax);
  const uint64_t total =
      std::accumulate(needs.blocks.begin(), needs.blocks.end(), needs.main + needs.output);
  uint64_t has = main_free;
  for (const SplitNode& node : nodes) has += room(needs, node);
  const auto too_little = [&] {
    return fail(Errc::unavailable,
                "split over {} nodes it needs {:.2f} GiB of memory, but they have {:.2f} GiB free",
                nodes.size() + 1, gigabytes(total), gigabytes(has));
  };
  if (main_free < needs.main) return too_little();
  for (size_t parts = 1; parts <= nodes.size(); parts++) {
    // The roomiest ones first, then better links in their place as long as all still fits.
    std::vector<const SplitNode*> chosen;
    chosen.reserve(parts);
    for (size_t i = 0; i < parts; i++) chosen.push_back(&nodes[i]);
    auto best = cut(needs, main_free, chosen);
    if (!best) continue;
    for (size_t i = parts; i < nodes.size(); i++) {
      for (size_t place = 0; place < parts; place++) {
        std::vector<const SplitNode*> other = chosen;
        other[place] = &nodes[i];
        const auto plan = cut(needs, main_free, other);
        if (!plan) continue;
        const double cost = kTokensWeighed * plan->token_ms + plan->load_ms;
        if (cost >= kTokensWeighed * best->token_ms + best->load_ms) continue;
        best = plan;
        chosen = std::move(other);
        break;
      }
    }
    return best;
  }
  return too_little();
}

}  // namespace om::engine
