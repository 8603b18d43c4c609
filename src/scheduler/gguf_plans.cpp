#include "scheduler/gguf_plans.h"

#include <algorithm>

#include "model/memory_estimate.h"

namespace om::scheduler {
namespace {

constexpr int kSlotsMax = 4;  // Without a configured number: more brought little on a CPU.
constexpr uint64_t kMebibyte = 1 << 20;
constexpr uint64_t kPromptCacheMax = 512 * kMebibyte;
constexpr int kUbatchMax = 512, kEmbeddingBatch = 2048;

class FileSource final : public model::GgufSource {
 public:
  FileSource(io::File& file, uint64_t size) : file_(file), size_(size) {}
  uint64_t size() const override { return size_; }
  Result<size_t> read_at(uint64_t offset, std::span<char> into) override {
    return file_.read_at(offset, into);
  }

 private:
  io::File& file_;
  uint64_t size_;
};

// llama-server computes a text in parts only where its vector is that of the last token, which has
// seen all others in the cache.
bool embeds_in_parts(const model::GgufSummary& gguf) {
  constexpr int kPoolingLast = 3;  // LLAMA_POOLING_TYPE_LAST.
  return gguf.pooling_type == kPoolingLast && !gguf.cache_layers.empty();
}

// A runner computes no more than kUbatchMax tokens at once: of larger batches it only tells less
// often, and everybody else's tokens wait for them. A text to embed that cannot be parted must fit
// into one batch, whatever was asked for: with a smaller one it would be cut.
int batch_for(const Target& target, const model::GgufSummary& gguf, int context) {
  const int most = std::max(2, context);
  if (target.embedding && !embeds_in_parts(gguf)) return most;
  int batch = target.embedding ? kEmbeddingBatch : kUbatchMax;
  if (target.runner.num_batch && *target.runner.num_batch > 0) batch = *target.runner.num_batch;
  return std::clamp(batch, 2, most);
}

std::vector<int> slot_counts(int num_parallel) {
  std::vector<int> counts;
  for (int slots = num_parallel > 0 ? num_parallel : kSlotsMax; slots > 1; slots /= 2) {
    counts.push_back(slots);
  }
  counts.push_back(1);
  return counts;
}

Plan launch_of(const GgufPlanOptions& options, const Target& target, const model::GgufSummary& gguf,
               int context, int slots) {
  Plan plan;
  plan.slots = slots;
  plan.context = context;
  plan.asked_for = options.num_parallel > 0;
  plan.batch = batch_for(target, gguf, context);
  plan.checkpoints = std::clamp(context / 8192 + 3, 3, 32);
  return plan;
}

model::MemoryPlan memory_of(const engine::LaunchOptions& launch, const Target& target,
                            const Plan& plan) {
  model::MemoryPlan memory;
  memory.context = plan.context * plan.slots;
  memory.slots = plan.slots;
  memory.ubatch = target.embedding ? plan.batch : std::min(plan.batch, kUbatchMax);
  if (!launch.kv_type.empty()) memory.key_type = memory.value_type = launch.kv_type;
  memory.unified = launch.unified_kv && plan.slots > 1;
  memory.flash_attention = launch.flash_attention != "off";
  memory.embeddings = target.embedding;
  memory.checkpoints = plan.checkpoints;
  return memory;
}

}  // namespace

Result<model::GgufSummary> read_summary(io::Filesystem& files, const std::string& path) {
  TRY(auto file, files.open(path, io::Filesystem::Open::read));
  TRY(const uint64_t size, file->size());
  FileSource source(*file, size);
  return model::read_gguf_summary(source);
}

Plan split_launch(Plan plan) {
  plan.prompt_cache_mib = 0;
  return plan;
}

Result<uint64_t> whole_bytes(const GgufPlanOptions& options, const Target& target,
                             const model::GgufSummary& gguf, int context) {
  const Plan plan = launch_of(options, target, gguf, context, 1);
  TRY(const auto needs, model::estimate_memory(gguf, memory_of(options.launch, target, plan)));
  uint64_t bytes = needs.total();
  for (const Target::File& file : target.files) {
    if (file.digest != target.weights) bytes += file.bytes;
  }
  return bytes;
}

Result<engine::SplitNeeds> needs_of_split(const GgufPlanOptions& options, const Target& target,
                                          const model::GgufSummary& gguf, int context) {
  const Plan plan = split_launch(
      launch_of(options, target, gguf, context, slot_counts(options.num_parallel).back()));
  uint64_t extra = 0;
  for (const Target::File& file : target.files) {
    if (file.digest != target.weights) extra += file.bytes;
  }
  return engine::split_needs(gguf, memory_of(options.launch, target, plan), extra);
}

io::Task<Result<model::GgufSummary>> GgufPlans::read_header(std::string path) {
  if (const auto known = headers_.find(path); known != headers_.end()) co_return known->second;
  io::Filesystem& files = world_.files;
  auto work = [&files, path] { return read_summary(files, path); };
  auto read = co_await world_.workers.run(std::move(work));
  if (!read) co_return fail(annotate(std::move(read).error(), "read the model's header"));
  if (headers_.size() >= kHeadersMax) headers_.clear();
  headers_.insert_or_assign(path, *read);
  co_return std::move(*read);
}

io::Task<Result<GgufPlans::Files>> GgufPlans::read_files(const Target& target) {
  Files files;
  CO_TRY(files.model, co_await read_header(target.weights_path));
  if (!target.draft_path.empty()) {
    CO_TRY(files.draft, co_await read_header(target.draft_path));
  }
  for (const std::string& path : target.adapter_paths) {
    CO_TRY(const auto info, world_.files.info(path));
    files.adapter_bytes += info.size;
  }
  for (const std::string& path : target.projector_paths) {
    CO_TRY(const auto info, world_.files.info(path));
    files.projector_bytes += info.size;
  }
  co_return files;
}

Result<Plan> GgufPlans::plan(const Target& target, const Files& files, int context,
                             int slots) const {
  Plan plan = launch_of(options_, target, files.model, context, slots);
  model::MemoryPlan memory = memory_of(options_.launch, target, plan);
  memory.projector_bytes = files.projector_bytes;
  TRY(auto needs, model::estimate_memory(files.model, memory));
  if (!target.embedding) {
    const uint64_t cache = std::min({kPromptCacheMax, options_.memory_total / 20, needs.cache});
    plan.prompt_cache_mib = static_cast<int>(cache / kMebibyte);
  }
  plan.weight_bytes = needs.weights + files.projector_bytes;
  plan.bytes = needs.total() + files.adapter_bytes +
               static_cast<uint64_t>(plan.prompt_cache_mib) * kMebibyte;
  if (files.draft) {
    TRY(auto draft, model::estimate_memory(*files.draft, memory));
    plan.bytes += draft.total() - draft.process - draft.projector;
    plan.weight_bytes += draft.weights;
  }
  return plan;
}

io::Task<Result<std::vector<Plan>>> GgufPlans::plans(const Target& target, int context) {
  CO_TRY(const Files files, co_await read_files(target));
  std::vector<Plan> result;
  for (int slots : slot_counts(options_.num_parallel)) {
    CO_TRY(auto made, plan(target, files, context, slots));
    result.push_back(made);
  }
  co_return result;
}

}  // namespace om::scheduler
