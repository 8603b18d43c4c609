// How fast runners of one kind are on this node; outlives each of them.
#pragma once

#include <memory>
#include <string>

#include "base/lru_cache.h"
#include "engine/local/graphics.h"
#include "engine/local/launch.h"
#include "engine/local/prompt_pace.h"
#include "engine/local/stall_limit.h"

namespace om::engine {

struct RunnerPace {
  explicit RunnerPace(const LaunchOptions& options)
      : tokens(options.stall_floor, options.stall_first),
        events(options.prefill_stall_floor, options.prefill_stall_first) {}

  // How often a runner was taken for hung since one last worked as usual. Each time doubles all
  // limits: only patience tells a slow machine from a hang.
  static constexpr int kDoublingsMax = 3;
  int doublings = 0;

  StallLimit tokens;   // Gaps between tokens while no prompt is evaluated.
  StallLimit events;   // Gaps between events of prompts, however large.
  PromptPace prompts;  // Without images, whose cost their tokens do not tell.
};

// Paces by what a runner runs and where. Shared by the engines of a node, on the io thread.
class RunnerPaces {
 public:
  static constexpr size_t kEntriesMax = 64;

  // The pace of earlier runners of the same kind, or a new one.
  std::shared_ptr<RunnerPace> of(const LaunchOptions& options, const GraphicsUse& graphics);

 private:
  LruCache<std::string, std::shared_ptr<RunnerPace>> paces_{
      "runner_paces", {.entries_max = kEntriesMax, .bytes_max = kEntriesMax * sizeof(RunnerPace)}};
};

}  // namespace om::engine
