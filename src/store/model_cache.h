// The models loaded last, so that a chat request reads no small layers and no GGUF header again,
// and what lists tell of all of them.
#pragma once

#include <list>
#include <map>
#include <memory>

#include "io/world.h"
#include "store/store.h"

namespace om::store {

// True also of a model without weights.
bool has_weights(io::Filesystem& files, const std::string& path);

// Keyed by the manifest's digest and the name; bounded by entries. On the io thread.
class ModelCache {
 public:
  explicit ModelCache(io::World& world) : world_(world) {}

  // Null if unknown, or if the weights are gone from the disk.
  std::shared_ptr<const Model> find(const StoredManifest& stored);
  void put(std::shared_ptr<const Model> model);

 private:
  static constexpr size_t kEntriesMax = 64;

  io::World& world_;
  std::list<std::shared_ptr<const Model>> models_;  // The last used first.
};

// Keyed by the manifest's digest. A list goes through all models each time, so that of those used
// last none would ever be found again: it holds more than a folder has. On the io thread.
class DetailsCache {
 public:
  struct Known {
    std::shared_ptr<const ModelDetails> details;  // Null: unknown.
    std::string weights_path;
  };

  // Whether the weights are still there is for the caller to see.
  Known find(const Digest& manifest) const;
  std::shared_ptr<const ModelDetails> put(const Digest& manifest, const Model& model);

 private:
  static constexpr size_t kEntriesMax = 20'000;  // Some 500 bytes each.

  std::map<Digest, Known> known_;
};

}  // namespace om::store
