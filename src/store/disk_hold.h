// What keeps blobs from being collected, see Hold in store.h and collector.h.
#pragma once

#include "io/world.h"
#include "store/layout.h"
#include "store/store.h"

namespace om::store {

// Each add() makes one more file, which is locked until the hold goes.
class DiskHold final : public Hold {
 public:
  // `path`: what the paths of its files begin with.
  DiskHold(io::World& world, Layout layout, io::Path path)
      : world_(world), layout_(std::move(layout)), path_(std::move(path)) {}
  ~DiskHold() override;
  io::Task<Result<void>> add(std::vector<Digest> digests) override;

 private:
  io::World& world_;
  Layout layout_;
  io::Path path_;
  uint64_t count_ = 0;
  std::vector<io::Path> paths_;
  std::vector<std::unique_ptr<io::File>> files_;
};

}  // namespace om::store
