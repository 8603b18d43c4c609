#include "cluster/cluster_store.h"

#include <algorithm>

#include "base/log.h"

namespace om::cluster {
namespace {

store::StoredManifest stored_of(const Card& card) {
  return {card.model->name, card.model->digest, card.model->manifest, card.model->modified};
}

Error not_agreed(const Error& error, std::string_view what) {
  // Clients retry on 503, and it says why.
  return {Errc::not_leader,
          fmt::format("{}: the cluster could not agree on it ({}); models are served meanwhile, "
                      "changes are possible again when a majority of its voters can be reached",
                      what, error.what)};
}

}  // namespace

bool ClusterStore::has_files(const store::Model& model) {
  return std::ranges::all_of(model.manifest.layers, [this](const model::Layer& layer) {
    return local_.blob_size(layer.digest).has_value();
  });
}

io::Task<Result<std::vector<store::StoredManifest>>> ClusterStore::list() {
  CO_TRY(std::vector<store::StoredManifest> all, co_await local_.list());
  std::erase_if(all, [this](const store::StoredManifest& stored) {
    return catalogue_.find(stored.name) != nullptr;
  });
  for (const Card* card : catalogue_.list()) all.push_back(stored_of(*card));
  std::ranges::stable_sort(all, std::greater(), &store::StoredManifest::modified);
  co_return all;
}

Result<store::StoredManifest> ClusterStore::find(const model::Name& name) {
  if (const Card* card = catalogue_.find(name)) return stored_of(*card);
  return local_.find(name);
}

Result<std::shared_ptr<const store::Model>> ClusterStore::load(const model::Name& name) {
  const Card* card = catalogue_.find(name);
  if (!card) return local_.load(name);
  return card->model;
}

io::Task<std::vector<store::Store::Details>> ClusterStore::details(
    std::vector<store::StoredManifest> listed) {
  // Of what is in the catalogue there is nothing to read: it is in memory.
  std::vector<Details> all(listed.size());
  std::vector<store::StoredManifest> local;
  std::vector<size_t> places;  // Of those.
  for (size_t i = 0; i < listed.size(); i++) {
    if (const Card* card = catalogue_.find(listed[i].name)) {
      all[i] = std::make_shared<const store::ModelDetails>(store::ModelDetails::of(*card->model));
    } else {
      places.push_back(i);
      local.push_back(std::move(listed[i]));
    }
  }
  std::vector<Details> read = co_await local_.details(std::move(local));
  for (size_t i = 0; i < places.size(); i++) all[places[i]] = std::move(read[i]);
  co_return all;
}

Result<std::string> ClusterStore::read_manifest(const model::Name& name) {
  if (const Card* card = catalogue_.find(name)) return card->manifest;
  return local_.read_manifest(name);
}

io::Task<void> ClusterStore::learn(model::Name name) {
  const bool is_known = catalogue_.facts().find(catalogue_key(name)) || local_.find(name);
  if (is_known) co_return;
  const auto learned = co_await catalogue_.refresh(name, world_.clock.call_within(kLearnMax));
  // Without a majority every unknown name would be a line.
  if (!learned) log_debug("no word of a model", field("error", learned.error()));
}

// A model of this disk with all that its card tells.
io::Task<Result<store::Model>> ClusterStore::describe(const model::Name& name) {
  CO_TRY(const auto model, local_.load(name));
  auto read = [&files = world_.files, model] { return with_headers(files, *model); };
  co_return co_await world_.workers.run(read);
}

io::Task<Result<void>> ClusterStore::put_manifest(const model::Name& name, std::string bytes) {
  const auto before = local_.read_manifest(name);
  CO_TRY_VOID(co_await local_.put_manifest(name, bytes));
  auto model = co_await describe(name);
  Result<void> told;
  if (model) {
    told = co_await catalogue_.put(*model, bytes, call());
  } else {
    told = fail(model.error());
  }
  if (told) co_return Result<void>{};
  Error error = std::move(told).error();
  Result<void> undone;
  if (before) {
    undone = co_await local_.put_manifest(name, *before);
  } else {
    undone = co_await local_.remove(name);
  }
  if (!undone) {
    log_warn("a model stays on this node only", field("model", name.shortest()),
             field("error", undone.error()));
  }
  if (!model) co_return fail(std::move(error));
  co_return fail(not_agreed(error, name.shortest()));
}

io::Task<Result<void>> ClusterStore::copy(const model::Name& from, const model::Name& to) {
  co_await learn(from);
  if (!catalogue_.find(from)) {
    CO_TRY(std::string bytes, local_.read_manifest(from));
    co_return co_await put_manifest(to, std::move(bytes));
  }
  auto copied = co_await catalogue_.copy(from, to, call());
  if (!copied && copied.error().code == Errc::not_found) co_return copied;
  if (!copied) co_return fail(not_agreed(copied.error(), to.shortest()));
  const Card* card = catalogue_.find(to);
  if (card && has_files(*card->model)) {
    std::string bytes = card->manifest;
    const auto put = co_await local_.put_manifest(to, std::move(bytes));
    // The cluster has it; this disk gets its manifest again when the copies are looked after.
    if (!put) log_warn("cannot keep a manifest", field("error", put.error()));
  }
  co_return Result<void>{};
}

io::Task<Result<void>> ClusterStore::remove(const model::Name& name) {
  const auto seen = local_.find(name);
  const auto removed = co_await catalogue_.remove(name, call());
  if (!removed) co_return fail(not_agreed(removed.error(), name.shortest()));
  // Agreeing took its time: what the name means by now may be somebody's new model.
  if (catalogue_.find(name)) co_return Result<void>{};
  if (seen) {
    CO_TRY_VOID(co_await local_.remove_if(name, seen->digest));
    co_return Result<void>{};
  }
  if (seen.error().code != Errc::not_found) co_return co_await local_.remove(name);  // Unreadable.
  if (!*removed) co_return fail(seen.error());
  co_return Result<void>{};
}

}  // namespace om::cluster
