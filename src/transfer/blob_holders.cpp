#include "transfer/blob_holders.h"

#include <algorithm>

#include "base/strings.h"

namespace om::transfer {

http::ClientRequest blob_request(const ClusterLinks& links, const cluster::NodeInfo& node,
                                 const Digest& digest) {
  http::ClientRequest request;
  request.endpoint = node.peer;
  request.tls = links.tls ? links.tls(node) : nullptr;
  request.host = node.peer.str();
  request.target = "/peer/v1/blobs/" + digest.str();
  return request;
}

std::vector<cluster::NodeInfo> holders_of(const ClusterLinks& links, const Digest& digest) {
  std::vector<cluster::NodeInfo> holders;
  const cluster::View view = links.view();
  for (const cluster::NodeInfo& node : view.nodes()) {
    if (node.answers() && node.name != links.node && node.has_blob(digest)) holders.push_back(node);
  }
  return holders;
}

io::Task<std::vector<cluster::NodeInfo>> wait_for_holders(io::World& world,
                                                          const ClusterLinks& links, Digest digest,
                                                          io::Call call) {
  constexpr io::Duration kBetweenLooks = std::chrono::milliseconds(100);
  std::vector<cluster::NodeInfo> holders;
  auto look = [&] {
    holders = holders_of(links, digest);
    return !holders.empty();
  };
  call = world.clock.call_within(kHolderWordMax, call);
  co_await io::wait_until(world.clock, look, kBetweenLooks, std::move(call));
  co_return holders;
}

io::Task<std::optional<uint64_t>> ask_for_size(http::Client& client, const ClusterLinks& links,
                                               cluster::NodeInfo node, Digest digest,
                                               io::Call call) {
  http::ClientRequest request = blob_request(links, node, digest);
  request.method = "HEAD";
  const auto response = co_await client.send(std::move(request), std::move(call));
  if (!response || (*response)->status() != 200) co_return std::nullopt;
  co_return parse_number<uint64_t>((*response)->headers().get("Content-Length"));
}

io::Task<std::optional<uint64_t>> size_elsewhere(const Context& context, Digest digest,
                                                 io::Call call) {
  if (context.links == nullptr) co_return std::nullopt;
  for (const bool is_said : {true, false}) {
    const cluster::View view = context.links->view();
    const io::TimePoint end = context.world.clock.now() + kHolderWordMax;
    for (const cluster::NodeInfo& node : view.nodes()) {
      if (!node.answers() || node.name == context.links->node) continue;
      if (node.has_blob(digest) != is_said) continue;
      const io::TimePoint until = std::min(end, context.world.clock.now() + kHolderAnswersMax);
      const io::Call asked{std::min(call.deadline, until), call.cancel};
      if (const auto size =
              co_await ask_for_size(context.client, *context.links, node, digest, asked)) {
        co_return size;
      }
      if (call.cancel.cancelled()) co_return std::nullopt;
      if (context.world.clock.now() >= end) break;
    }
  }
  co_return std::nullopt;
}

}  // namespace om::transfer
