// Launch plans from an estimate of the memory that a GGUF model needs.
#pragma once

#include <map>
#include <string>

#include "engine/local/launch.h"
#include "io/world.h"
#include "model/gguf.h"
#include "scheduler/memory_plans.h"

namespace om::scheduler {

struct GgufPlanOptions {
  engine::LaunchOptions launch;  // Its KV type, flash attention and unified KV count.
  int num_parallel = 0;          // Slots; 0: several where memory allows.
  uint64_t memory_total = 0;
};

// Reads each model's header once (the last kHeadersMax are remembered).
class GgufPlans final : public MemoryPlans {
 public:
  static constexpr size_t kHeadersMax = 64;
  GgufPlans(io::World& world, GgufPlanOptions options)
      : world_(world), options_(std::move(options)) {}

  io::Task<Result<std::vector<Plan>>> plans(const Target& target, int context) override;

 private:
  // The parts of a target that do not depend on context and slots.
  struct Files {
    model::GgufSummary model;
    std::optional<model::GgufSummary> draft;
    uint64_t adapter_bytes = 0, projector_bytes = 0;
  };
  io::Task<Result<Files>> read_files(const Target& target);
  io::Task<Result<model::GgufSummary>> read_header(std::string path);
  Result<Plan> plan(const Target& target, const Files& files, int context, int slots) const;

  io::World& world_;
  GgufPlanOptions options_;
  std::map<std::string, model::GgufSummary> headers_;  // By path.
};

// The header of a model's file. Blocks: for workers.
Result<model::GgufSummary> read_summary(io::Filesystem& files, const std::string& path);

// Memory of a model that is not split, with one slot: the least that a node must have for it.
Result<uint64_t> whole_bytes(const GgufPlanOptions& options, const Target& target,
                             const model::GgufSummary& gguf, int context);
// Memory of the same model by blocks, if it is split and started with split_launch().
Result<engine::SplitNeeds> needs_of_split(const GgufPlanOptions& options, const Target& target,
                                          const model::GgufSummary& gguf, int context);
// The launch of a split model: without prompt caches, which are slower to read back over the links
// than to compute anew.
Plan split_launch(Plan plan);

}  // namespace om::scheduler
