// Which node downloads a blob from its registry: one at a time in the whole cluster. And which
// nodes are receiving it, so that they find each other.
//
// /pulls/<digest>               the node that may ask the registry
// /pulls/<digest>/nodes/<node>  each node that is receiving the blob
//
// Both go with the node's lease: if the node dies, another one takes over within kPullLease. A node
// that has the whole blob lets both run out: so others find it before its reports name the blob,
// and do not download it again.
#pragma once

#include "base/digest.h"
#include "io/task_group.h"
#include "io/world.h"
#include "metadata/metadata.h"

namespace om::transfer {

inline constexpr std::chrono::seconds kPullLease{10};
inline constexpr std::chrono::seconds kPullLeaseMargin{2};  // Before its end it counts as lost.

// One node's part in one pull. On the io thread; stop() before it is destroyed.
class PullLease {
 public:
  PullLease(io::World& world, metadata::Metadata& metadata, const Digest& digest, std::string node);

  // Tells that this node is receiving. Errors as metadata's.
  io::Task<Result<void>> announce(io::Call call);
  // True: no other node draws from the registry; this one may while is_origin() says so.
  io::Task<Result<bool>> try_origin(io::Call call);
  bool is_origin() const;
  // Lets another node download. If the change is not known to be done, the lease's end does it.
  io::Task<void> yield_origin(io::Call call);
  // The other nodes that are receiving it.
  io::Task<Result<std::vector<std::string>>> others(io::Call call);
  io::Task<void> stop();         // Removes both keys.
  io::Task<void> let_run_out();  // Stops; both keys stay until the lease ends.

 private:
  io::Task<void> keep_alive();
  io::Task<Result<bool>> take_over(metadata::Entry held, io::Call call);
  bool holds_lease() const;

  io::World& world_;
  metadata::Metadata& metadata_;
  std::string key_, node_;
  metadata::LeaseId lease_ = 0;
  io::TimePoint good_until_{};
  bool origin_ = false, keeping_ = false;
  io::TaskGroup tasks_;
};

}  // namespace om::transfer
