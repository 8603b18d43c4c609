#include "scheduler/cluster_index.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace om::scheduler {
namespace {

template <class Lists>
void insert_into(Lists& lists, const Digest& key, NodeNumber number) {
  std::vector<NodeNumber>& list = lists[key];
  const auto place = std::ranges::lower_bound(list, number);
  if (place == list.end() || *place != number) list.insert(place, number);
}

template <class Lists>
void erase_from(Lists& lists, const Digest& key, NodeNumber number) {
  const auto found = lists.find(key);
  if (found == lists.end()) return;
  const auto place = std::ranges::lower_bound(found->second, number);
  if (place != found->second.end() && *place == number) found->second.erase(place);
  if (found->second.empty()) lists.erase(found);
}

bool have_same_runners(const cluster::NodeInfo& a, const cluster::NodeInfo& b) {
  return std::ranges::equal(a.runners, b.runners, {}, &cluster::RunnerInfo::key,
                            &cluster::RunnerInfo::key);
}

}  // namespace

size_t ClusterIndex::room_class(uint64_t bytes) {
  if (bytes < 2) return 0;
  const size_t power = std::bit_width(bytes) - 1;
  const bool upper_half = (bytes >> (power - 1) & 1) != 0;
  return std::min(2 * power + (upper_half ? 1 : 0), kRoomClasses - 1);
}

std::vector<NodeNumber> ClusterIndex::remove_others(const cluster::View& view) {
  std::vector<NodeNumber> gone;
  if (alive_.size() == view.nodes().size()) return gone;
  for (NodeNumber number : alive_) {
    if (view.find(slots_[number].info.name) == nullptr) gone.push_back(number);
  }
  for (NodeNumber number : gone) remove(number);
  return gone;
}

NodeNumber ClusterIndex::put(const cluster::NodeInfo& report) {
  const auto known = numbers_.find(report.name);
  if (known == numbers_.end()) {
    NodeNumber number = 0;
    if (free_.empty()) {
      number = static_cast<NodeNumber>(slots_.size());
      slots_.emplace_back();
    } else {
      number = free_.back();
      free_.pop_back();
    }
    numbers_.emplace(report.name, number);
    slots_[number] = Slot{.info = report, .alive = true, .place = alive_.size()};
    alive_.push_back(number);
    list(number);
    return number;
  }
  const NodeNumber number = known->second;
  Slot& slot = slots_[number];
  const bool same_lists = report.state == slot.info.state && report.blobs == slot.info.blobs &&
                          have_same_runners(report, slot.info);
  if (same_lists) {
    // By far the most frequent: only loads have changed.
    slot.info = report;
    if (slot.listed && room_class(room_of(report)) != slot.room) {
      unlist_room(number);
      list_room(number);
    }
    return number;
  }
  unlist(number);
  slot.info = report;
  list(number);
  return number;
}

void ClusterIndex::remove(NodeNumber number) {
  Slot& slot = slots_[number];
  CHECK(slot.alive);
  unlist(number);
  numbers_.erase(slot.info.name);
  slots_[alive_.back()].place = slot.place;
  alive_[slot.place] = alive_.back();
  alive_.pop_back();
  slot = Slot{};
  free_.push_back(number);
}

void ClusterIndex::prefetch(NodeNumber number) const {
  constexpr size_t kCacheLine = 64;
  const auto* bytes = reinterpret_cast<const char*>(&slots_[number].info);
  for (size_t at = 0; at < sizeof(cluster::NodeInfo); at += kCacheLine) {
    __builtin_prefetch(bytes + at);
  }
}

std::optional<NodeNumber> ClusterIndex::find(std::string_view name) const {
  const auto found = numbers_.find(std::string(name));
  if (found == numbers_.end()) return std::nullopt;
  return found->second;
}

std::span<const NodeNumber> ClusterIndex::with_runner(const Digest& key) const {
  const auto found = runners_.find(key);
  return found == runners_.end() ? std::span<const NodeNumber>() : found->second;
}

std::span<const NodeNumber> ClusterIndex::with_blob(const Digest& blob) const {
  const auto found = blobs_.find(blob);
  return found == blobs_.end() ? std::span<const NodeNumber>() : found->second;
}

void ClusterIndex::list(NodeNumber number) {
  Slot& slot = slots_[number];
  if (slot.info.state != cluster::NodeState::ready) return;
  slot.listed = true;
  for (const cluster::RunnerInfo& runner : slot.info.runners) {
    insert_into(runners_, runner.key, number);
  }
  if (slot.info.blobs) {
    for (const Digest& blob : *slot.info.blobs) insert_into(blobs_, blob, number);
  }
  list_room(number);
}

void ClusterIndex::unlist(NodeNumber number) {
  Slot& slot = slots_[number];
  if (!slot.listed) return;
  slot.listed = false;
  for (const cluster::RunnerInfo& runner : slot.info.runners) {
    erase_from(runners_, runner.key, number);
  }
  if (slot.info.blobs) {
    for (const Digest& blob : *slot.info.blobs) erase_from(blobs_, blob, number);
  }
  unlist_room(number);
}

void ClusterIndex::list_room(NodeNumber number) {
  Slot& slot = slots_[number];
  slot.room = room_class(room_of(slot.info));
  slot.room_place = by_room_[slot.room].size();
  by_room_[slot.room].push_back(number);
}

void ClusterIndex::unlist_room(NodeNumber number) {
  Slot& slot = slots_[number];
  std::vector<NodeNumber>& list = by_room_[slot.room];
  slots_[list.back()].room_place = slot.room_place;
  list[slot.room_place] = list.back();
  list.pop_back();
}

}  // namespace om::scheduler
