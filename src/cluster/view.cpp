#include "cluster/view.h"

#include <algorithm>

namespace om::cluster {

bool NodeInfo::has_blob(const Digest& digest) const {
  return blobs && std::ranges::binary_search(*blobs, digest);
}

const RunnerInfo* NodeInfo::runner_of(const Digest& key) const {
  const auto found = std::ranges::find(runners, key, &RunnerInfo::key);
  return found == runners.end() ? nullptr : &*found;
}

Result<View> View::of(std::vector<NodeInfo> nodes) {
  std::ranges::sort(nodes, {}, &NodeInfo::name);
  for (size_t i = 0; i < nodes.size(); i++) {
    if (nodes[i].name.empty()) return fail(Errc::invalid_argument, "a node has no name");
    if (i > 0 && nodes[i].name == nodes[i - 1].name) {
      return fail(Errc::invalid_argument, "two nodes are named '{}'", nodes[i].name);
    }
  }
  return View(std::make_shared<const std::vector<NodeInfo>>(std::move(nodes)));
}

const NodeInfo* View::find(std::string_view name) const {
  const auto found = std::ranges::lower_bound(*nodes_, name, {}, &NodeInfo::name);
  return found != nodes_->end() && found->name == name ? &*found : nullptr;
}

std::vector<const NodeInfo*> View::holders_of(const Digest& key) const {
  std::vector<const NodeInfo*> holders;
  for (const NodeInfo& node : *nodes_) {
    if (std::ranges::find(node.runners, key, &RunnerInfo::key) != node.runners.end()) {
      holders.push_back(&node);
    }
  }
  return holders;
}

View View::with(NodeInfo report) const {
  if (const NodeInfo* known = find(report.name); known && known->reported > report.reported) {
    return *this;
  }
  std::vector<NodeInfo> nodes = *nodes_;
  const auto place = std::ranges::lower_bound(nodes, report.name, {}, &NodeInfo::name);
  if (place != nodes.end() && place->name == report.name) {
    *place = std::move(report);
  } else {
    nodes.insert(place, std::move(report));
  }
  return View(std::make_shared<const std::vector<NodeInfo>>(std::move(nodes)));
}

View View::without(std::string_view name) const {
  if (!find(name)) return *this;
  std::vector<NodeInfo> nodes = *nodes_;
  std::erase_if(nodes, [name](const NodeInfo& node) { return node.name == name; });
  return View(std::make_shared<const std::vector<NodeInfo>>(std::move(nodes)));
}

}  // namespace om::cluster
