// What this node tells the others of its disk.
#pragma once

#include <memory>
#include <vector>

#include "io/task_group.h"
#include "io/world.h"
#include "store/store.h"

namespace om::app {

// The blobs of a store and the room beside them, as of the last look. The io thread never waits for
// the disk here: a file server that pauses would silence the node's pulses, and the others would
// take all its answers from it.
//
// On the io thread; stop() must have returned before it is destroyed.
class OwnFiles {
 public:
  OwnFiles(io::World& world, store::Store& disk)
      : world_(world), disk_(disk), tasks_(world.executor, world.clock) {}

  // Null: no look has succeeded yet. What is older than kAgeMax is looked at anew, for the next
  // call.
  using Blobs = std::shared_ptr<const std::vector<Digest>>;
  Blobs blobs();
  // For models, beside what the store keeps free. In whole GiB: less is no news.
  uint64_t bytes_free() const { return bytes_free_; }
  bool has(const Digest& blob) const;
  // One look, which ends before it returns. Where the disk is in trouble the last one stands.
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
  std::vector<Digest> added_;  // Since the last look began, which may not have seen them.
  io::TaskGroup tasks_;
};

}  // namespace om::app
