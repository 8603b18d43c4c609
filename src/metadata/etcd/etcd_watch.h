// The changes of a prefix, read from etcd's watch stream in the background.
#pragma once

#include <memory>
#include <string>

#include "metadata/etcd/gateway.h"

namespace om::metadata {

// Passes events from the reader to the Watch. Both hold it; the reader ends soon after the Watch is
// gone.
struct WatchFeed {
  WatchFeed(io::Clock& clock, std::string the_prefix, Revision from)
      : prefix(std::move(the_prefix)), next(from), readable(clock), room(clock) {}

  const std::string prefix;  // As etcd knows it.
  Revision next;             // The first revision that was not read; 0: not known yet.
  uint64_t cluster = 0;      // The etcd cluster of these revisions.
  std::deque<std::vector<Event>> waiting;
  std::optional<Error> end;  // Follows the last of `waiting`.
  io::CancelSource wanted;   // Cancelled when the Watch is gone.
  io::Event readable, room;

  void finish(Error error) {
    if (!end) end = std::move(error);
    readable.notify_all();
  }
};

class EtcdWatch final : public Watch {
 public:
  explicit EtcdWatch(std::shared_ptr<WatchFeed> feed) : feed_(std::move(feed)) {}
  ~EtcdWatch() override { feed_->wanted.cancel(); }
  io::Task<Result<std::vector<Event>>> next(io::Call call) override;

 private:
  std::shared_ptr<WatchFeed> feed_;
};

// Reads until the feed is not wanted any more, `stop` is cancelled, or history is compacted. After
// a break it begins again at the first revision that was not read; at once if an endpoint was left.
io::Task<void> read_watch(io::World& world, Gateway& gateway, std::string key_prefix,
                          std::shared_ptr<WatchFeed> feed, io::CancelToken stop);

}  // namespace om::metadata
