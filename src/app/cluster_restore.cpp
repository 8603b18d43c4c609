#include "app/cluster_restore.h"

#include <algorithm>
#include <map>
#include <span>
#include <vector>

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

// Names that are put in one commit: one each would take minutes where there are thousands.
constexpr size_t kGroupMax = 32;
constexpr size_t kGroupBytesMax = metadata::kValueBytesMax;  // The rest is for their keys.

size_t group_size(std::span<const metadata::Entry> models) {
  size_t bytes = 0, count = 0;
  while (count < std::min(models.size(), kGroupMax)) {
    bytes += models[count].value.size();
    if (count > 0 && bytes > kGroupBytesMax) break;
    count++;
  }
  return count;
}

bool means_same(std::string_view value, const metadata::Entry& model) {
  const auto manifest = cluster::manifest_in(model.value);
  return manifest && cluster::manifest_in(value) == manifest;
}

std::string key_of(const metadata::Entry& model) {
  return model.key.substr(cluster::kModelsPrefix.size());
}

// The node tells the cluster of its own models: their names are not to be had by others.
bool is_other_here(store::Store& store, const metadata::Entry& model) {
  const auto name = model::Name::parse(key_of(model));
  const auto here = name ? store.find(*name) : fail(name.error());
  const auto manifest = cluster::manifest_in(model.value);
  return here && (!manifest || here->digest != Digest::of(*manifest));
}

void tell(cluster::Restored& restored, const metadata::Entry& model, bool is_back) {
  if (is_back) {
    restored.entries++;
  } else {
    const auto name = model::Name::parse(key_of(model));
    restored.kept.push_back(name ? name->shortest() : key_of(model));
  }
}

// Names that meant nothing. If one does by now, each is tried alone.
io::Task<Result<void>> put_models(metadata::Metadata& metadata,
                                  std::span<const metadata::Entry> models,
                                  cluster::Restored& restored, io::Call call) {
  metadata::Transaction puts;
  for (const metadata::Entry& model : models) {
    const std::string removed = std::string(cluster::kRemovedPrefix) + key_of(model);
    puts.compares.push_back(metadata::Compare::absent(model.key));
    puts.operations.push_back(metadata::Operation::put(model.key, model.value));
    puts.operations.push_back(metadata::Operation::remove(removed));
  }
  CO_TRY(const metadata::Commit commit, co_await metadata.commit(std::move(puts), call));
  if (commit.done) {
    restored.entries += models.size();
  } else if (models.size() == 1) {
    CO_TRY(const auto now, co_await metadata.get(models[0].key, std::move(call)));
    tell(restored, models[0], now && means_same(now->value, models[0]));
  } else {
    for (size_t i = 0; i < models.size(); i++) {
      CO_TRY_VOID(co_await put_models(metadata, models.subspan(i, 1), restored, call));
    }
  }
  co_return Result<void>{};
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
  std::map<std::string_view, std::string_view> known;
  for (const metadata::Entry& entry : now.entries) known[entry.key] = entry.value;
  std::vector<metadata::Entry> absent;  // A commit for those there are would cost one.
  for (metadata::Entry& entry : backup.entries) {
    if (!entry.key.starts_with(cluster::kModelsPrefix)) continue;
    const auto found = known.find(entry.key);
    if (found != known.end()) {
      tell(restored, entry, means_same(found->second, entry));
    } else if (is_other_here(store, entry)) {
      tell(restored, entry, false);
    } else {
      absent.push_back(std::move(entry));
    }
  }
  for (std::span<const metadata::Entry> rest = absent; !rest.empty();) {
    const size_t count = group_size(rest);
    CO_TRY_VOID(co_await put_models(metadata, rest.first(count), restored, call));
    rest = rest.subspan(count);
  }
  co_return restored;
}

}  // namespace om::app
