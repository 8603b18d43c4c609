// The bodies of requests to etcd's JSON gateway. Pure functions; see reply.h for the format.
#pragma once

#include <string>
#include <string_view>

#include "metadata/metadata.h"

namespace om::metadata {

// The keys of `prefix` after `after` (empty: all of them), `limit` at most; `revision` 0: now.
struct RangeRequest {
  std::string_view prefix, after;
  size_t limit = 0;
  Revision revision = 0;
};
std::string range_body(const RangeRequest& request);
std::string get_body(std::string_view key);

// The transaction, with its keys under `prefix`. If `request_key` is not empty, the transaction
// compares that key to be absent and makes it with `request_lease`; if a compare fails, it reads
// it.
struct TransactionRequest {
  std::string_view prefix;
  std::string_view request_key;
  LeaseId request_lease = 0;
};
std::string transaction_body(const Transaction& transaction, const TransactionRequest& request);

std::string grant_body(LeaseId id, std::chrono::seconds time_to_live);
std::string lease_body(LeaseId id);                              // keepalive, revoke.
std::string watch_body(std::string_view prefix, Revision from);  // 0: from now on.

}  // namespace om::metadata
