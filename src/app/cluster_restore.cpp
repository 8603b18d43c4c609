#include "app/cluster_restore.h"

#include <algorithm>
#include <map>

#include "cluster/catalogue.h"
#include "metadata/backup.h"

namespace om::app {
namespace {

template <class... Prefixes>
void erase_below(metadata::Snapshot& snapshot, const Prefixes&... prefixes) {
  std::erase_if(snapshot.entries, [&](const metadata::Entry& entry) {
    return (entry.key.starts_with(prefixes) || ...);
  });
}

// False: the name means something else here, and goes on doing so. `known`: what the cluster has
// under the key; asking with a commit would cost one, and a try after one that took too long would
// end where that did.
io::Task<Result<bool>> put_model(metadata::Metadata& metadata, store::Store& store,
                                 metadata::Entry entry, const std::string* known, io::Call call) {
  const auto manifest = cluster::manifest_in(entry.value);
  if (known) co_return manifest.has_value() && cluster::manifest_in(*known) == manifest;
  const std::string key = entry.key.substr(cluster::kModelsPrefix.size());
  const auto name = model::Name::parse(key);
  const auto here = name ? store.find(*name) : fail(name.error());
  const bool is_same = here && manifest && here->digest == Digest::of(*manifest);
  if (here && !is_same) co_return false;
  metadata::Transaction put;
  put.compares = {metadata::Compare::absent(entry.key)};
  put.operations.push_back(metadata::Operation::put(entry.key, std::move(entry.value)));
  put.operations.push_back(metadata::Operation::remove(std::string(cluster::kRemovedPrefix) + key));
  CO_TRY(const metadata::Commit done, co_await metadata.commit(std::move(put), std::move(call)));
  co_return done.done || is_same;
}

std::string shown_name(const metadata::Entry& entry) {
  std::string key = entry.key.substr(cluster::kModelsPrefix.size());
  const auto name = model::Name::parse(key);
  return name ? name->shortest() : key;
}

}  // namespace

void erase_cluster_facts(metadata::Snapshot& snapshot) {
  erase_below(snapshot, "/nodes/", "/tokens/", "/pulls/");
}

void erase_catalogue(metadata::Snapshot& snapshot) {
  erase_below(snapshot, cluster::kModelsPrefix, cluster::kRemovedPrefix);
}

io::Task<Result<cluster::Restored>> restore_facts(metadata::Metadata& metadata, store::Store& store,
                                                  metadata::Snapshot backup, io::Call call) {
  erase_cluster_facts(backup);
  metadata::Snapshot others = backup;
  erase_catalogue(others);
  for (metadata::Transaction& puts : metadata::puts_of(others)) {
    CO_TRY_VOID(co_await metadata.commit(std::move(puts), call));
  }
  cluster::Restored restored{others.entries.size(), {}};
  CO_TRY(const metadata::Snapshot now,
         co_await metadata.list(std::string(cluster::kModelsPrefix), call));
  std::map<std::string_view, const std::string*> known;
  for (const metadata::Entry& entry : now.entries) known[entry.key] = &entry.value;
  for (const metadata::Entry& entry : backup.entries) {
    if (!entry.key.starts_with(cluster::kModelsPrefix)) continue;
    const auto found = known.find(entry.key);
    const std::string* value = found == known.end() ? nullptr : found->second;
    CO_TRY(const bool done, co_await put_model(metadata, store, entry, value, call));
    if (done) {
      restored.entries++;
    } else {
      restored.kept.push_back(shown_name(entry));
    }
  }
  co_return restored;
}

}  // namespace om::app
