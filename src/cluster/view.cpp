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

View::Nodes::const_iterator View::place_of(std::string_view name, const Nodes& nodes) {
  return std::ranges::lower_bound(nodes, name, {},
                                  [](const auto& node) { return std::string_view(node->name); });
}

Result<View> View::of(std::vector<NodeInfo> nodes) {
  std::ranges::sort(nodes, {}, &NodeInfo::name);
  Nodes shared;
  for (NodeInfo& node : nodes) {
    if (node.name.empty()) return fail(Errc::invalid_argument, "a node has no name");
    if (!shared.empty() && shared.back()->name == node.name) {
      return fail(Errc::invalid_argument, "two nodes are named '{}'", node.name);
    }
    shared.push_back(std::make_shared<const NodeInfo>(std::move(node)));
  }
  return View(std::move(shared));
}

const NodeInfo* View::find(std::string_view name) const {
  const auto found = place_of(name, *nodes_);
  return found != nodes_->end() && (*found)->name == name ? found->get() : nullptr;
}

std::vector<const NodeInfo*> View::nodes_running(const Digest& key) const {
  std::vector<const NodeInfo*> holders;
  for (const auto& node : *nodes_) {
    if (node->runner_of(key)) holders.push_back(node.get());
  }
  return holders;
}

std::vector<const NodeInfo*> View::changed_since(const View& before) const {
  std::vector<const NodeInfo*> changed;
  if (nodes_ == before.nodes_) return changed;
  auto old = before.nodes_->begin();
  const auto end = before.nodes_->end();
  for (const auto& node : *nodes_) {
    while (old != end && *old != node && (*old)->name < node->name) ++old;
    if (old != end && *old == node) {
      ++old;
    } else {
      changed.push_back(node.get());
    }
  }
  return changed;
}

View View::with(NodeInfo report) const {
  std::vector<NodeInfo> reports;
  reports.push_back(std::move(report));
  return with(std::move(reports));
}

View View::with(std::vector<NodeInfo> reports) const {
  Nodes nodes = *nodes_;
  for (NodeInfo& report : reports) {
    const auto known = place_of(report.name, nodes);
    const auto place = nodes.begin() + (known - nodes.begin());
    const bool is_known = place != nodes.end() && (*place)->name == report.name;
    if (is_known && (*place)->reported > report.reported) continue;
    auto shared = std::make_shared<const NodeInfo>(std::move(report));
    if (is_known) *place = std::move(shared);
    if (!is_known) nodes.insert(place, std::move(shared));
  }
  return View(std::move(nodes));
}

View View::without(std::string_view name) const {
  if (!find(name)) return *this;
  Nodes nodes = *nodes_;
  nodes.erase(place_of(name, nodes));
  return View(std::move(nodes));
}

}  // namespace om::cluster
