// Which node should get or lose which copy. Pure: every node computes the same plan from the same
// View and does only its own part of it.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cluster/view.h"
#include "transfer/replicas/policy.h"

namespace om::transfer {

struct ReplicatedModel {
  std::string key;  // Of the catalogue; orders the plan.
  Digest runner_key;
  std::vector<std::pair<Digest, uint64_t>> blobs;  // With their sizes.
  Policy policy;
  int popularity = 0;
  bool is_new = false;          // So new that its maker may not have reported its copy.
  bool is_policy_known = true;  // If false, no copy counts as surplus.
};

struct ReplicaAction {
  enum class Kind { fetch, remove } kind = Kind::fetch;
  std::string node, model;
  uint64_t bytes = 0;   // Missing there, or freed at most.
  bool urgent = false;  // The model has fewer copies than its minimum.
};

// A model's copies and what is wanted. A copy is a node that has all of its blobs.
struct ModelHealth {
  std::string model;
  int wanted = 0, minimum = 0;
  std::vector<std::string> copies;       // On nodes that answer.
  std::vector<std::string> unreachable;  // On nodes that do not; lost if they never return.
  uint64_t bytes = 0;
  bool is_awaited = false;  // New, and no node has told of a copy yet.

  bool is_under() const { return static_cast<int>(copies.size()) < wanted; }
  bool is_over() const { return static_cast<int>(copies.size()) > wanted; }
  bool is_in_danger() const { return static_cast<int>(copies.size()) < minimum && !is_awaited; }
  bool is_out_of_reach() const { return copies.empty() && !unreachable.empty(); }
  bool is_lost() const { return copies.empty() && unreachable.empty() && !is_awaited; }
};

struct ReplicaInput {
  std::vector<ReplicatedModel> models;  // Ordered by key.
  cluster::View view;
  io::TimePoint now{};
  // How long the copies of a node that stopped answering still count: it may be restarting.
  io::Duration grace = std::chrono::seconds(60);
  // Nodes that drain, and since when: within the grace it may be for a restart, too. One that is
  // not here has drained for long.
  std::map<std::string, io::TimePoint, std::less<>> draining_since;
  uint64_t disk_reserve = uint64_t{1} << 30;  // Left free on every disk.
};

struct ReplicaPlan {
  std::vector<ReplicaAction> actions;
  std::vector<ModelHealth> health;  // One for each model, in their order.
  // The node that speaks for each model: of the ready nodes the first by the hash. Empty: no node
  // is ready.
  std::vector<std::string> speakers;
};

// Copies stay where they are if possible; new ones go to the nodes of the highest rendezvous hash
// (Thaler and Ravishankar 1998) that have room. Surplus is removed only if all wanted copies are on
// nodes that answer; the last copy never.
ReplicaPlan plan_replicas(const ReplicaInput& input);

// The hash. It never changes: nodes of all versions have to agree.
uint64_t place_score(std::string_view node, std::string_view model);

}  // namespace om::transfer
