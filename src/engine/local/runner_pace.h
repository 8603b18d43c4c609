// What is known of how fast runners of a model are here; it outlives each of them.
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

  // It was taken for hung so often since it last went on as usual: each doubles all limits, since a
  // machine that has become slow is told from a hang by patience only.
  static constexpr int kDoublingsMax = 3;
  int doublings = 0;

  StallLimit tokens;   // Gaps between tokens while no prompt is evaluated.
  StallLimit events;   // Gaps between events of prompts, however large.
  PromptPace prompts;  // Without images, whose cost is not told by their tokens.
};

// By what a runner runs and where. Shared by the engines of a node, on the io thread.
class RunnerPaces {
 public:
  static constexpr size_t kEntriesMax = 64;

  // Of the last runner of the same kind, or new.
  std::shared_ptr<RunnerPace> of(const LaunchOptions& options, const GraphicsUse& graphics);

 private:
  LruCache<std::string, std::shared_ptr<RunnerPace>> paces_{
      "runner_paces", {.entries_max = kEntriesMax, .bytes_max = kEntriesMax * sizeof(RunnerPace)}};
};

}  // namespace om::engine
