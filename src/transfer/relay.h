// Passes a blob on from other nodes to a client of this node, without keeping it.
#pragma once

#include "http/server.h"
#include "transfer/cluster_fetch.h"

namespace om::transfer {

// One per node, on the io thread.
class BlobRelay {
 public:
  BlobRelay(const Context& context, const ClusterLinks& links) : context_(context), links_(links) {}

  // Answers a GET or HEAD for a blob of `size` bytes as http::send_file() would: 200, 206 or 416.
  // If a node breaks off in the middle, the next one goes on from there. not_found: within
  // kHolderWordMax no node that answers has it; nothing was sent. Errors after started(): the
  // client is gone, or no node is left; the connection ends.
  io::Task<Result<void>> send(const http::Request& request, http::ResponseWriter& response,
                              Digest digest, uint64_t size);

 private:
  io::Task<Result<std::unique_ptr<http::ClientResponse>>> open(const cluster::NodeInfo& node,
                                                               Digest digest, uint64_t offset,
                                                               uint64_t end, io::Call call);

  const Context& context_;
  const ClusterLinks& links_;
};

}  // namespace om::transfer
