#include "transfer/replicas/core.h"

#include <algorithm>
#include <map>

namespace om::transfer {
namespace {

using cluster::NodeInfo;
using cluster::NodeState;

// FNV-1a: equal on every machine and in every version.
uint64_t hash_of(std::string_view text, uint64_t value) {
  for (const char c : text) value = (value ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return value;
}

uint64_t missing_bytes(const NodeInfo& node, const ReplicatedModel& model) {
  uint64_t bytes = 0;
  for (const auto& [digest, size] : model.blobs) {
    if (!node.has_blob(digest)) bytes += size;
  }
  return bytes;
}

bool has_copy(const NodeInfo& node, const ReplicatedModel& model) {
  return std::ranges::all_of(model.blobs,
                             [&](const auto& blob) { return node.has_blob(blob.first); });
}

// By the places of the View's nodes: who has a copy. To look for each blob is most of the work.
using Copies = std::vector<bool>;

// One node as a place for one model; the better place is the lesser.
struct Place {
  const NodeInfo* node = nullptr;
  bool copy = false, answers = false, pinned = false, in_use = false;
  uint64_t score = 0;

  auto rank() const {
    // What is there stays, also if the node is only away for a moment; then the hash decides.
    return std::tuple(!pinned, !copy, !in_use, !answers, ~score, std::string_view(node->name));
  }
};

class Planner {
 public:
  explicit Planner(const ReplicaInput& input) : input_(input) {}

  ReplicaPlan run() {
    for (const ReplicatedModel& model : input_.models) plan_model(model);
    return std::move(plan_);
  }

 private:
  bool is_away(const NodeInfo& node) const;
  std::vector<Place> places_of(const ReplicatedModel& model, const Copies& copies) const;
  ModelHealth health_of(const ReplicatedModel& model, const Copies& copies) const;
  bool has_room(const NodeInfo& node, uint64_t bytes) const;
  void plan_model(const ReplicatedModel& model);
  void fetch(const NodeInfo& node, const ReplicatedModel& model, bool urgent);

  const ReplicaInput& input_;
  ReplicaPlan plan_;
  std::map<std::string, uint64_t, std::less<>> promised_;  // Bytes of fetches, by node.
};

// For a while, as far as one can tell.
bool Planner::is_away(const NodeInfo& node) const {
  if (node.state == NodeState::unreachable) return input_.now - node.reported <= input_.grace;
  const auto since = input_.draining_since.find(node.name);
  return node.state == NodeState::draining && since != input_.draining_since.end() &&
         input_.now - since->second <= input_.grace;
}

std::vector<Place> Planner::places_of(const ReplicatedModel& model, const Copies& copies) const {
  std::vector<Place> places;
  size_t at = 0;
  for (const NodeInfo& node : input_.view.nodes()) {
    Place place{.node = &node,
                .copy = copies[at++],
                .answers = node.state == NodeState::ready,
                .pinned = std::ranges::binary_search(model.policy.pinned, node.name),
                .in_use = node.runner_of(model.runner_key) != nullptr,
                .score = place_score(node.name, model.key)};
    if (place.answers || (place.copy && is_away(node))) places.push_back(place);
  }
  std::ranges::sort(places, {}, &Place::rank);
  return places;
}

std::string speaker_of(const std::vector<Place>& places) {
  const auto best = std::ranges::max_element(
      places, {}, [](const Place& place) { return std::pair(place.answers, place.score); });
  return best == places.end() || !best->answers ? std::string() : best->node->name;
}

ModelHealth Planner::health_of(const ReplicatedModel& model, const Copies& copies) const {
  ModelHealth health{.model = model.key, .minimum = model.policy.minimum};
  for (const auto& [digest, size] : model.blobs) health.bytes += size;
  size_t at = 0;
  for (const NodeInfo& node : input_.view.nodes()) {
    if (!copies[at++]) continue;
    if (node.answers()) health.copies.push_back(node.name);
    if (!node.is_reachable()) health.unreachable.push_back(node.name);
  }
  health.is_awaited = model.is_new && health.copies.empty() && health.unreachable.empty();
  return health;
}

bool Planner::has_room(const NodeInfo& node, uint64_t bytes) const {
  const auto promised = promised_.find(node.name);
  const uint64_t taken = promised == promised_.end() ? 0 : promised->second;
  return node.disk_free >= taken + bytes + input_.disk_reserve;
}

void Planner::fetch(const NodeInfo& node, const ReplicatedModel& model, bool urgent) {
  const uint64_t bytes = missing_bytes(node, model);
  promised_[node.name] += bytes;
  plan_.actions.push_back({ReplicaAction::Kind::fetch, node.name, model.key, bytes, urgent});
}

void Planner::plan_model(const ReplicatedModel& model) {
  Copies copies;
  for (const NodeInfo& node : input_.view.nodes()) copies.push_back(has_copy(node, model));
  const auto places = places_of(model, copies);
  plan_.speakers.push_back(speaker_of(places));
  ModelHealth health = health_of(model, copies);
  health.wanted =
      std::min(model.policy.copies_wanted(model.popularity), static_cast<int>(places.size()));
  const int pinned = static_cast<int>(std::ranges::count(places, true, &Place::pinned));
  health.wanted = std::max(health.wanted, pinned);
  int chosen = 0, here = 0;  // Places that are to have it; those of them that do and answer.
  std::vector<const Place*> surplus;
  for (const Place& place : places) {
    const bool wanted = place.pinned || chosen < health.wanted;
    if (!wanted) {
      if (place.copy && place.answers) surplus.push_back(&place);
      continue;
    }
    if (!place.copy && !has_room(*place.node, missing_bytes(*place.node, model))) continue;
    chosen++;
    if (place.copy && place.answers) here++;
    if (!place.copy && !health.is_awaited) fetch(*place.node, model, health.is_in_danger());
  }
  if (model.is_policy_known && here >= health.wanted && here > 0) {
    for (const Place* place : surplus) {
      plan_.actions.push_back(
          {ReplicaAction::Kind::remove, place->node->name, model.key, health.bytes, false});
    }
  }
  plan_.health.push_back(std::move(health));
}

}  // namespace

uint64_t place_score(std::string_view node, std::string_view model) {
  uint64_t value = hash_of(model, hash_of("\n", hash_of(node, 0xcbf29ce484222325)));
  // FNV mixes the last characters badly (names often differ there only).
  value = (value ^ value >> 33) * 0xff51afd7ed558ccd;
  value = (value ^ value >> 33) * 0xc4ceb9fe1a85ec53;
  return value ^ value >> 33;
}

ReplicaPlan plan_replicas(const ReplicaInput& input) { return Planner(input).run(); }

}  // namespace om::transfer
