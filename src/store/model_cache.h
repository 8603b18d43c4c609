// The models loaded last, so that a chat request reads no small layers and no GGUF header again.
#pragma once

#include <list>
#include <memory>

#include "io/world.h"
#include "store/store.h"

namespace om::store {

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

}  // namespace om::store
