// The View as placement reads it: numbered nodes, and lists of the nodes that have a model in
// memory, a blob on disk, or so much room. Updated report by report, so that a decision looks at a
// few nodes and not at ten thousand. A plain value on the io thread.
#pragma once

#include <array>
#include <boost/unordered/unordered_flat_map.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/view.h"
#include "scheduler/prefix_index.h"

namespace om::scheduler {

// See above. A number stays with a node from its first report to its removal; then another node
// may get it, so whoever keeps numbers (PrefixIndex, LoadOverlay, Breakers) must forget it first.
class ClusterIndex {
 public:
  // Replaces what is known of this node.
  NodeNumber put(const cluster::NodeInfo& report);
  // Removes the nodes that are not in `view`, whose reports were put before. Returns their numbers.
  std::vector<NodeNumber> remove_others(const cluster::View& view);
  void remove(NodeNumber number);

  size_t size() const { return alive_.size(); }
  std::span<const NodeNumber> all() const { return alive_; }  // In no order that means anything.
  const cluster::NodeInfo& node(NodeNumber number) const { return slots_[number].info; }
  void prefetch(NodeNumber number) const;  // Before node(number) is read.
  std::optional<NodeNumber> find(std::string_view name) const;
  // Ready nodes that have this runner or load it; that have the blob on disk. By number.
  std::span<const NodeNumber> with_runner(const Digest& key) const;
  std::span<const NodeNumber> with_blob(const Digest& blob) const;
  // Ready nodes with free memory in this class; classes are half powers of two.
  static constexpr size_t kRoomClasses = 128;
  static size_t room_class(uint64_t bytes);
  std::span<const NodeNumber> with_room(size_t room_class) const { return by_room_[room_class]; }

 private:
  struct Slot {
    cluster::NodeInfo info;
    bool alive = false, listed = false;
    size_t place = 0;  // In alive_.
    size_t room = 0, room_place = 0;
  };
  using Lists = boost::unordered_flat_map<Digest, std::vector<NodeNumber>, std::hash<Digest>>;

  void list(NodeNumber number);
  void unlist(NodeNumber number);
  void list_room(NodeNumber number);
  void unlist_room(NodeNumber number);

  std::vector<Slot> slots_;
  std::vector<NodeNumber> free_, alive_;
  std::unordered_map<std::string, NodeNumber> numbers_;
  Lists runners_, blobs_;
  std::array<std::vector<NodeNumber>, kRoomClasses> by_room_;
};

// Unused memory for models.
inline uint64_t room_of(const cluster::NodeInfo& node) {
  return node.memory_total - std::min(node.memory_used, node.memory_total);
}

}  // namespace om::scheduler
