#include "scheduler/model_entry.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <tuple>

#include "base/check.h"
#include "model/manifest.h"

namespace om::scheduler {
namespace {

constexpr std::chrono::minutes kUsedSoon{1};
constexpr size_t kFailedLoadsMax = 8;  // Remembered of a model.
// What a request costs, as far as it is known before it runs.
constexpr double kBytesPerToken = 4, kOutputTokens = 256, kOutputWeight = 2;

double faded(double uses, io::Duration age) {
  const double half_lives =
      std::chrono::duration<double>(age) / std::chrono::duration<double>(kUseHalfLife);
  return uses * std::exp2(-half_lives);
}

}  // namespace

Digest Target::key() const {
  std::vector<std::string> beside;
  // Blobs are named sha256-DIGEST.
  const auto add = [&beside](std::string_view kind, std::string_view path) {
    beside.push_back(fmt::format("{} {}", kind, path.substr(path.rfind('-') + 1)));
  };
  for (const std::string& path : adapter_paths) add("adapter", path);
  for (const std::string& path : projector_paths) add("projector", path);
  if (!draft_path.empty()) add("draft", draft_path);
  return model::runner_key(weights, std::move(beside));
}

void ModelEntry::use_rates_of(const engine::GraphicsUse& graphics) {
  other_rates_[place_] = {prompt_rate, output_rate};
  place_ = graphics.bytes == 0 ? 0 : graphics.whole() ? 2 : 1;
  std::tie(prompt_rate, output_rate) = other_rates_[place_];
}

const FailedLoad* ModelEntry::failed_load(const LaunchWish& wish) const {
  const auto found = std::ranges::find(failed_loads, wish, &FailedLoad::wish);
  return found != failed_loads.end() ? &*found : nullptr;
}

void ModelEntry::add_failed_load(FailedLoad failed) {
  std::erase_if(failed_loads, [&](const FailedLoad& load) { return load.wish == failed.wish; });
  if (failed_loads.size() >= kFailedLoadsMax) failed_loads.erase(failed_loads.begin());
  failed_loads.push_back(std::move(failed));
}

io::TimePoint ModelEntry::start_of(const LaunchWish& wish) const {
  const bool is_new = !failed_loads.empty() && !failed_load(wish);
  return is_new ? std::min(not_before, other_not_before) : not_before;
}

void ModelEntry::add_use(io::TimePoint now) {
  uses = faded(uses, now - uses_at) + 1;
  uses_at = now;
}

double ModelEntry::value(io::TimePoint now) const {
  return load_cost_seconds * faded(uses, now - uses_at);
}

double ModelEntry::expected_loss(io::TimePoint now) const {
  // Uses come as they came: at random, at the rate that the faded count tells.
  const double uses_within = faded(uses, now - uses_at) * std::numbers::ln2 *
                             std::chrono::duration<double>(kUsedSoon).count() /
                             std::chrono::duration<double>(kUseHalfLife).count();
  return load_cost_seconds * (1 - std::exp(-uses_within));
}

void ModelEntry::add(Waiter& waiter) {
  const AcquireOptions& options = waiter.options;
  // A token of an answer keeps a slot busy for longer than one of a prompt.
  const double prompt = options.prompt_tokens > 0
                            ? static_cast<double>(options.prompt_tokens)
                            : static_cast<double>(options.outline.bytes) / kBytesPerToken;
  QueuedRequest request{
      .id = waiter.id,
      .key = options.client,
      .weight = options.weight,
      .priority = options.priority == Priority::batch ? kBatchClass : kInteractiveClass,
      .work = prompt + kOutputWeight * kOutputTokens,
      .since = waiter.since};
  if (options.patience && *options.patience < io::kNever - waiter.since) {
    request.deadline = waiter.since + *options.patience;
  }
  queue.push(std::move(request));
  waiters.emplace(waiter.id, &waiter);
}

void ModelEntry::remove(Waiter& waiter, bool served) {
  if (waiters.erase(waiter.id) == 0) return;
  CHECK(served ? queue.serve(waiter.id) : queue.remove(waiter.id));
}

Waiter* ModelEntry::head(io::TimePoint now) const {
  const auto first = queue.peek(now);
  return first ? waiters.at(*first) : nullptr;
}

}  // namespace om::scheduler
