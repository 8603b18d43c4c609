// How one node asks another for a lease: what to run and for whom, as JSON. Blobs travel as
// digests; the other node has its own paths.
#pragma once

#include <string>
#include <string_view>

#include "scheduler/scheduler.h"
#include "store/store.h"

namespace om::scheduler {

struct LeaseRequest {
  Target target;
  AcquireOptions options;
};

// corrupt: a path of the target is not a blob's.
Result<std::string> encode_lease_request(const Target& target, const AcquireOptions& options);

// With the paths of `store`. corrupt: not a lease request. not_found: a blob is not here.
Result<LeaseRequest> decode_lease_request(std::string_view text, store::Store& store);

}  // namespace om::scheduler
