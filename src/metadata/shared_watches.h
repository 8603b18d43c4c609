// Many watches of a prefix over one watch of the engine below: a voter serves the watches of all
// other nodes, and at etcd each would be a stream of its own.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "io/task_group.h"
#include "io/world.h"
#include "metadata/metadata.h"

namespace om::metadata {

// How many of a prefix's last changes are kept for watches that did not read them yet.
struct SharedWatchLimits {
  size_t events_max = 4096;
  size_t bytes_max = 8 << 20;  // Of keys and values.
};

// On the io thread. Everything but watches goes straight to `metadata`, which outlives it. A watch
// that falls behind the kept changes fails with corrupt, as after a compaction. Watches must be
// gone before it is destroyed; they end with stop(), which leaves `metadata` running.
class SharedWatches : public Metadata {
 public:
  SharedWatches(io::World& world, Metadata& metadata, SharedWatchLimits limits = {});
  ~SharedWatches() override;

  io::Task<Result<std::optional<Entry>>> get(std::string key, io::Call call) override {
    return metadata_.get(std::move(key), std::move(call));
  }
  io::Task<Result<Snapshot>> list(std::string prefix, io::Call call) override {
    return metadata_.list(std::move(prefix), std::move(call));
  }
  io::Task<Result<Commit>> commit(Transaction transaction, io::Call call) override {
    return metadata_.commit(std::move(transaction), std::move(call));
  }
  io::Task<Result<LeaseId>> grant(std::chrono::seconds time_to_live, io::Call call) override {
    return metadata_.grant(time_to_live, std::move(call));
  }
  io::Task<Result<void>> keep_alive(LeaseId lease, io::Call call) override {
    return metadata_.keep_alive(lease, std::move(call));
  }
  io::Task<Result<void>> revoke(LeaseId lease, io::Call call) override {
    return metadata_.revoke(lease, std::move(call));
  }
  bool healthy() const override { return metadata_.healthy(); }

  std::unique_ptr<Watch> watch(std::string prefix, Revision from) override;
  io::Task<void> stop() override;

 private:
  struct Feed;
  class SharedWatch;
  using FeedPtr = std::shared_ptr<Feed>;

  void begin(const FeedPtr& feed, Revision from);
  io::Task<void> follow(FeedPtr feed, io::CancelToken token);
  // Returns whether the feed goes on, from where it was before a watch wanted an earlier begin.
  bool fall_back(Feed& feed, const Error& error);
  void end(Feed& feed);

  io::World& world_;
  Metadata& metadata_;
  SharedWatchLimits limits_;
  std::map<std::string, FeedPtr> feeds_;  // By prefix.
  io::TaskGroup tasks_;
};

}  // namespace om::metadata
