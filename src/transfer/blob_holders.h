// Which other nodes have a blob. The catalogue tells of a new model at once, reports tell only
// later which nodes have its files: in between no node seems to have them.
#pragma once

#include <optional>
#include <vector>

#include "transfer/cluster_links.h"
#include "transfer/context.h"

namespace om::transfer {

// How long to wait until reports name a holder.
inline constexpr std::chrono::seconds kHolderWordMax{5};
// How long a node may take to say whether it has a blob.
inline constexpr std::chrono::seconds kHolderAnswersMax{2};

// A GET of the blob at that node, whole unless a range is added.
http::ClientRequest blob_request(const ClusterLinks& links, const cluster::NodeInfo& node,
                                 const Digest& digest);

// Other nodes that answer and whose reports name the blob.
std::vector<cluster::NodeInfo> holders_of(const ClusterLinks& links, const Digest& digest);

// The same, as soon as there are some; empty after kHolderWordMax, or if `call` ends before.
io::Task<std::vector<cluster::NodeInfo>> wait_for_holders(io::World& world,
                                                          const ClusterLinks& links, Digest digest,
                                                          io::Call call);

// The blob's size on `node`'s disk, as the node itself says; nullopt: it does not have it.
io::Task<std::optional<uint64_t>> ask_for_size(http::Client& client, const ClusterLinks& links,
                                               cluster::NodeInfo node, Digest digest,
                                               io::Call call);

// Asks the nodes whose reports name the blob, then the others that answer; kHolderWordMax for each
// group. nullopt: none of them has it.
io::Task<std::optional<uint64_t>> size_elsewhere(const Context& context, Digest digest,
                                                 io::Call call);

}  // namespace om::transfer
