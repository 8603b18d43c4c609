// Who else has a blob. The catalogue tells of a new model at once, gossip who holds its files some
// rounds later: in between nobody seems to have them.
#pragma once

#include <optional>
#include <vector>

#include "transfer/cluster_links.h"
#include "transfer/context.h"

namespace om::transfer {

// How long gossip is waited for.
inline constexpr std::chrono::seconds kHolderWordMax{5};
// Within which a node says whether it has a blob.
inline constexpr std::chrono::seconds kHolderAnswersMax{2};

// A GET of the blob at that node, whole unless a range is added.
http::ClientRequest blob_request(const ClusterLinks& links, const cluster::NodeInfo& node,
                                 const Digest& digest);

// Nodes that answer and are said to have it, this one left out.
std::vector<cluster::NodeInfo> holders_of(const ClusterLinks& links, const Digest& digest);

// The same, as soon as there are some; none after kHolderWordMax or when `call` ends before.
io::Task<std::vector<cluster::NodeInfo>> wait_for_holders(io::World& world,
                                                          const ClusterLinks& links, Digest digest,
                                                          io::Call call);

// The size of the blob on this node's disk, if it has it: told by the node itself, not by gossip.
io::Task<std::optional<uint64_t>> ask_for_size(http::Client& client, const ClusterLinks& links,
                                               cluster::NodeInfo node, Digest digest,
                                               io::Call call);

// Asks the nodes that answer, those first that are said to have it, kHolderWordMax long for each of
// the two. Nothing: none of them has it.
io::Task<std::optional<uint64_t>> size_elsewhere(const Context& context, Digest digest,
                                                 io::Call call);

}  // namespace om::transfer
