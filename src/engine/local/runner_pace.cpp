#include "engine/local/runner_pace.h"

#include <iterator>

namespace om::engine {
namespace {

// How much of the model lies on cards, in eighths: what the runner made of its options, which may
// leave it to itself.
uint64_t eighths_on_card(const LaunchOptions& options, const GraphicsUse& graphics) {
  if (graphics.bytes == 0 || graphics.whole() || options.weight_bytes == 0) {
    return graphics.bytes == 0 ? 0 : 8;
  }
  return 1 + std::min<uint64_t>(6, graphics.bytes / (options.weight_bytes / 8 + 1));
}

std::string kind_of(const LaunchOptions& options, const GraphicsUse& graphics) {
  std::string kind =
      fmt::format("{} {} {} {} {} {} b{} t{} kv{} fa{} ngl{} card{}/{} {}{}", options.model_path,
                  fmt::join(options.adapter_paths, ","), fmt::join(options.projector_paths, ","),
                  options.draft_path, options.draft_tokens, options.slots, options.batch,
                  options.threads, options.kv_type, options.flash_attention,
                  options.gpu_layers.value_or(-1), options.main_gpu.value_or(-1),
                  eighths_on_card(options, graphics), options.embedding, options.deterministic);
  for (const PartShare& part : options.parts) {
    fmt::format_to(std::back_inserter(kind), " {}:{}", part.node, part.blocks);
  }
  return kind;
}

}  // namespace

std::shared_ptr<RunnerPace> RunnerPaces::of(const LaunchOptions& options,
                                            const GraphicsUse& graphics) {
  const std::string kind = kind_of(options, graphics);
  if (const auto* known = paces_.get(kind)) return *known;
  auto pace = std::make_shared<RunnerPace>(options);
  (void)paces_.put(kind, pace, sizeof(RunnerPace));
  return pace;
}

}  // namespace om::engine
