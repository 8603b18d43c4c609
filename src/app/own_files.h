// What this node tells other nodes of its disk.
#pragma once

#include <memory>
#include <vector>

#include "io/task_group.h"
#include "io/world.h"
#include "store/store.h"

namespace om::app {

// The blobs of a store and the free space beside them, as of the last look. The io thread never
// waits for the disk here: a slow file server would stop the node's pulses, and other nodes would
// take its answers over.
//
// On the io thread; stop() must have returned before it is destroyed.
class OwnFiles {
 public:
  OwnFiles(io::World& world, store::Store& disk)
      : world_(world), disk_(disk), tasks_(world.executor, world.clock) {}

  // Null: no look has succeeded yet. If the last look is older than kAgeMax, begins a new one, for
  // later calls.
  using Blobs = std::shared_ptr<const std::vector<Digest>>;
  Blobs blobs();
  // Disk space for models, without the store's reserve. In whole GiB: smaller changes are no news.
  uint64_t bytes_free() const { return bytes_free_; }
  bool has(const Digest& blob) const;
  // Looks once; returns when it is done. If the disk fails, the last look stands.
  io::Task<void> look();
  // Adds the files of a model that may have been made here just now, once a worker has found them.
  void add(const store::Model& model);

  io::Task<void> stop() { co_await tasks_.stop(); }

 private:
  io::Task<void> add_present(Digest weights, std::vector<Digest> unknown);
  void set(std::vector<Digest> blobs);

  io::World& world_;
  store::Store& disk_;
  Blobs blobs_;
  uint64_t bytes_free_ = 0;
  io::TimePoint looked_at_{};
  bool looking_ = false;
  std::vector<Digest> added_;  // Since the last look began: it may have missed them.
  io::TaskGroup tasks_;
};

}  // namespace om::app
