// How Replicas gets and removes copies.
#include <algorithm>

#include "base/log.h"
#include "transfer/blob_holders.h"
#include "transfer/held_model.h"
#include "transfer/replicas/metrics.h"
#include "transfer/replicas/replicas.h"

namespace om::transfer {
namespace {

constexpr std::chrono::seconds kNodeAnswersMax{5};
constexpr std::chrono::seconds kUnlockMax{5};

std::unexpected<Error> replaced_meanwhile(std::string_view key) {
  return fail(Errc::unavailable, "{} is being replaced; try again", key);
}

}  // namespace

io::Task<Result<void>> Replicas::fetch_model(std::string key, io::Call call) {
  const auto known = state_->models.find(key);
  if (known == state_->models.end()) co_return Result<void>{};
  const CatalogueModel model = known->second;
  co_return co_await tell(key, model.manifest.total_size(),
                          fetch_into_store(model, std::move(call)));
}

io::Task<Result<void>> Replicas::tell(std::string key, uint64_t total,
                                      io::Task<Result<void>> fetch) {
  Fetching& begun = fetching_[key];
  begun.total = total;
  begun.users++;
  auto done = co_await std::move(fetch);
  const auto fetching = fetching_.find(key);
  if (--fetching->second.users == 0) fetching_.erase(fetching);
  co_return done;
}

io::Task<Result<void>> Replicas::fetch_into_store(CatalogueModel model, io::Call call) {
  CO_TRY(const auto hold, co_await parts_.context.store.hold(blobs_of(model.manifest)));
  CO_TRY_VOID(co_await fetch_layers(model, std::move(call)));
  // It may have been removed or replaced meanwhile.
  if (!still_means(model.name, model.digest)) co_return Result<void>{};
  std::optional<store::StoredManifest> before;
  if (auto stored = parts_.context.store.find(model.name)) before = std::move(*stored);
  co_await adopt(model, std::move(before));
  replicas_fetched.add();
  log_info("replica made", field("model", model.name.shortest()),
           field("bytes", model.manifest.total_size()));
  co_return Result<void>{};
}

io::Task<Result<void>> Replicas::fetch_layers(CatalogueModel model, io::Call call) {
  // Where no node has it any more; a model that was made here has no registry: then it fails.
  std::shared_ptr<Registry> registry;
  if (options_.from_registry) {
    if (auto opened = Registry::open(parts_.context, model.name, false)) registry = *opened;
  }
  const std::string key = Catalogue::key_of(model.name);
  Files missing;
  for (const model::Layer& file : files_of(model.manifest)) {
    if (co_await has_file(parts_.context, file)) {
      fetching_[key].done[file.digest] = file.size;
      continue;
    }
    missing.emplace_back(file.digest, file.size);
  }
  // Else the registry is asked for what was made on another node a moment ago.
  if (registry && !missing.empty()) {
    (void)co_await wait_for_holders(world_, parts_.links, missing.front().first, call);
  }
  co_return co_await fetch_files(registry, key, std::move(missing), std::move(call));
}

io::Task<Result<void>> Replicas::note_progress(std::string key, Progress progress) {
  if (progress.digest) fetching_[key].done[*progress.digest] = progress.completed.value_or(0);
  co_return Result<void>{};
}

std::vector<cluster::CopyProgress> Replicas::progress() const {
  std::vector<cluster::CopyProgress> all;
  for (const auto& [key, fetching] : fetching_) {
    cluster::CopyProgress copy{key, 0, fetching.total};
    for (const auto& [digest, bytes] : fetching.done) copy.done_bytes += bytes;
    copy.done_bytes = std::min(copy.done_bytes, copy.total_bytes);
    all.push_back(std::move(copy));
  }
  return all;
}

io::Task<Result<void>> Replicas::fetch_files(std::shared_ptr<Registry> registry, std::string key,
                                             Files files, io::Call call) {
  const ProgressSink sink = [this, key](Progress progress) {
    return note_progress(key, std::move(progress));
  };
  for (const auto& [digest, size] : files) {
    CO_TRY_VOID(co_await parts_.downloads.fetch(registry, digest, size, sink, call));
  }
  co_return Result<void>{};
}

io::Task<Result<void>> Replicas::bring(model::Name name, Digest manifest, Files files,
                                       io::Call call) {
  auto find_missing = [&store = parts_.context.store, files = std::move(files)]() mutable {
    std::erase_if(files, [&store](const auto& file) {
      const auto size = store.blob_size(file.first);
      return size && *size == file.second;
    });
    return std::move(files);
  };
  files = co_await world_.workers.run(std::move(find_missing));
  if (files.empty()) co_return Result<void>{};
  on_demand_fetches.add();
  const auto state = state_;
  for (const auto& [key, model] : state->models) {
    if (model.digest != manifest) continue;
    log_info("a request waits for a model's files", field("model", model.name.shortest()));
    co_return co_await fetch_model(key, std::move(call));
  }
  // Not in the catalogue as this node knows it: it may be newer than the last look.
  uint64_t total = 0;
  for (const auto& [digest, size] : files) total += size;
  const std::string key = Catalogue::key_of(name);
  co_return co_await tell(key, total, fetch_files(nullptr, key, std::move(files), std::move(call)));
}

io::Task<bool> Replicas::node_has(cluster::NodeInfo node, std::vector<Digest> blobs,
                                  io::CancelToken cancel) {
  for (const Digest& digest : blobs) {
    const io::Call call = world_.clock.call_within(kNodeAnswersMax, cancel);
    if (!co_await ask_for_size(parts_.context.client, parts_.links, node, digest, call)) {
      co_return false;
    }
  }
  co_return true;
}

io::Task<int> Replicas::count_other_copies(const CatalogueModel& model, io::CancelToken cancel) {
  const auto blobs = blobs_of(model.manifest);
  const cluster::View view = parts_.links.view();
  int copies = 0;
  for (const cluster::NodeInfo& node : view.nodes()) {
    if (node.name == parts_.links.node || node.state != cluster::NodeState::ready) continue;
    if (!std::ranges::all_of(blobs, [&](const Digest& d) { return node.has_blob(d); })) continue;
    if (co_await node_has(node, blobs, cancel)) copies++;
  }
  co_return copies;
}

io::Task<Result<void>> Replicas::remove_surplus(std::string key, io::CancelToken cancel) {
  const auto known = state_->models.find(key);
  if (known == state_->models.end()) co_return Result<void>{};
  const model::Name name = known->second.name;
  co_return co_await remove_copy(name, false,
                                 world_.clock.call_within(std::chrono::minutes(1), cancel));
}

// What was asked of other nodes holds for this manifest alone.
io::Task<Result<void>> Replicas::remove_as_seen(store::StoredManifest stored) {
  const std::string key = Catalogue::key_of(stored.name);
  if (!still_means(stored.name, stored.digest)) co_return replaced_meanwhile(key);
  CO_TRY(const bool gone, co_await parts_.context.store.remove_if(stored.name, stored.digest));
  if (!gone) co_return replaced_meanwhile(key);
  co_return Result<void>{};
}

// The policy is read anew, and last: it may want more copies since this node looked.
io::Task<Result<int>> Replicas::remove_if_spared(store::StoredManifest stored, CatalogueModel model,
                                                 io::Call call) {
  const int others = co_await count_other_copies(model, call.cancel);
  CO_TRY(const KeptPolicy kept, co_await parts_.catalogue.read_policy(model.name, call));
  const int needed = std::max(1, kept.policy.minimum);
  if (others < needed) {
    co_return fail(Errc::forbidden, "{} would be left with {} of {} copies that answer",
                   Catalogue::key_of(model.name), others, needed);
  }
  CO_TRY_VOID(co_await remove_as_seen(std::move(stored)));
  co_return others;
}

io::Task<Result<void>> Replicas::remove_copy(model::Name name, bool force, io::Call call) {
  const std::string key = Catalogue::key_of(name);
  CO_TRY(const auto stored, parts_.context.store.find(name));
  CO_TRY(const CatalogueModel model, parts_.catalogue.find(name));
  if (force) co_return co_await parts_.context.store.remove(stored.name);
  if (stored.digest != model.digest) co_return replaced_meanwhile(key);
  const std::string self = parts_.links.node;
  CO_TRY(const bool locked, co_await parts_.catalogue.lock_removal(key, self, call));
  if (!locked) co_return fail(Errc::overloaded, "another node is removing its copy of {}", key);
  const auto others = co_await remove_if_spared(stored, model, call);
  co_await parts_.catalogue.unlock_removal(key, self, world_.clock.call_within(kUnlockMax));
  if (!others) co_return fail(others.error());
  replicas_removed.add();
  log_info("replica removed", field("model", name.shortest()), field("copies_left", *others));
  co_return Result<void>{};
}

}  // namespace om::transfer
