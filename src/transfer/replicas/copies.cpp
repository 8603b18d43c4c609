// How Replicas gets and removes copies.
#include <algorithm>

#include "base/log.h"
#include "io/cancel_either.h"
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

void Replicas::end_stale_copies() {
  for (Copying& copy : copying_) {
    if (!still_means(copy.name, copy.manifest)) copy.over.cancel();
  }
}

ReplicaWorkers::Work Replicas::copy_work(const CatalogueModel& model, bool urgent, uint64_t bytes) {
  // What is made under the name anew waits neither for the earlier copy nor for its next try.
  std::string key = fmt::format("fetch {} {}", Catalogue::key_of(model.name), model.digest.str());
  return {std::move(key), urgent, bytes,
          [this, model](io::CancelToken cancel) { return make_copy(model, cancel); }};
}

io::Task<Result<void>> Replicas::make_copy(CatalogueModel model, io::CancelToken cancel) {
  const model::Name name = model.name;
  const Digest manifest = model.digest;
  const io::Call call{io::kNever, std::move(cancel)};
  auto fetched = co_await fetch_model(std::move(model), call);
  if (!fetched && !still_means(name, manifest)) co_return Result<void>{};
  co_return fetched;
}

io::Task<Result<void>> Replicas::fetch_model(CatalogueModel model, io::Call call) {
  const std::string key = Catalogue::key_of(model.name);
  const auto copying = copying_.insert(copying_.end(), Copying{model.name, model.digest, {}});
  const io::CancelEither either(call.cancel, copying->over.token());
  const uint64_t total = model.manifest.total_size();
  const io::Call called_off{call.deadline, either.token()};
  auto done = co_await tell(key, total, fetch_into_store(std::move(model), called_off));
  copying_.erase(copying);
  co_return done;
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
  store::Store& store = parts_.context.store;
  CO_TRY(auto hold, co_await store.hold(model.manifest.digests()));
  const Files missing = co_await find_missing(model);
  const auto fetched = co_await fetch_layers(model.name, missing, std::move(call));
  if (!still_means(model.name, model.digest)) {
    hold.reset();
    co_await remove_needless(missing);
    co_return fail(Errc::not_found, "{} was removed or replaced meanwhile", model.name.shortest());
  }
  if (!fetched) co_return fetched;
  std::optional<store::StoredManifest> before;
  if (auto stored = store.find(model.name)) before = std::move(*stored);
  co_await adopt(model, std::move(before));
  replicas_fetched.add();
  log_info("replica made", field("model", model.name.shortest()),
           field("bytes", model.manifest.total_size()));
  co_return Result<void>{};
}

io::Task<Replicas::Files> Replicas::find_missing(const CatalogueModel& model) {
  const std::string key = Catalogue::key_of(model.name);
  Files missing;
  for (const model::Layer& file : model.manifest.blobs()) {
    if (co_await has_file(parts_.context, file)) {
      fetching_[key].done[file.digest] = file.size;
    } else {
      missing.emplace_back(file.digest, file.size);
    }
  }
  co_return missing;
}

// Another name may mean them by now whose manifest is not on this disk yet: as after `cp` and `rm`.
io::Task<void> Replicas::remove_needless(const Files& fetched) {
  if (!parts_.context.options.prune) co_return;
  std::vector<Digest> needless;
  for (const auto& [digest, size] : fetched) needless.push_back(digest);
  CatalogueState now;
  parts_.catalogue.read_models(now);
  for (const auto& [key, model] : now.models) {
    for (const Digest& needed : model.manifest.digests()) std::erase(needless, needed);
  }
  const auto removed = co_await parts_.context.store.remove_unreferenced(std::move(needless));
  if (!removed) log_warn("fetched files are kept", field("error", removed.error()));
}

io::Task<Result<void>> Replicas::fetch_layers(model::Name name, Files missing, io::Call call) {
  // Where no node has it any more; a model that was made here has no registry: then it fails.
  std::shared_ptr<Registry> registry;
  if (options_.from_registry) {
    if (auto opened = Registry::open(parts_.context, name, false)) registry = *opened;
  }
  // Else the registry is asked for what was made on another node a moment ago.
  if (registry && !missing.empty()) {
    (void)co_await wait_for_holders(world_, parts_.links, missing.front().first, call);
  }
  co_return co_await fetch_files(registry, Catalogue::key_of(name), std::move(missing),
                                 std::move(call));
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
  log_info("a request waits for a model's files", field("model", name.shortest()));
  if (auto own = parts_.catalogue.find(name); own && own->digest == manifest) {
    co_return co_await fetch_model(std::move(*own), std::move(call));
  }
  const auto state = state_;
  for (const auto& [key, model] : state->models) {
    if (model.digest != manifest) continue;
    const auto done = co_await fetch_model(model, call);
    // The copy of another name ends with that; this one may have become known meanwhile.
    const bool is_over = still_means(model.name, manifest) || !still_means(name, manifest);
    if (done || is_over) co_return done;
    break;
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
  const auto blobs = model.manifest.digests();
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
