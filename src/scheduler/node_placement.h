// Which node shall serve a request: the one where it costs least, in estimated milliseconds.
//
//   cost = wait for what is queued there + evaluating the part of the prompt that is not warm
//        + generating beside the others there + loading, making room and copying where needed
//        + penalties for nodes that are late, just back or just failed
//
// Pure: everything it knows is passed in, and chance too. The rules and constants were chosen in
// simulation (sim/placement_lab, docs/adr/0005-placement-cost.md).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/random.h"
#include "scheduler/breaker.h"
#include "scheduler/cluster_index.h"
#include "scheduler/load_overlay.h"
#include "scheduler/placement.h"
#include "scheduler/prefix_index.h"
#include "scheduler/scheduler.h"

namespace om::scheduler {

// What is known of a request before a node is chosen.
struct PlacementRequest {
  struct File {
    Digest digest;
    uint64_t bytes = 0;
  };

  Digest weights;
  std::optional<Digest> own_key;  // If the runner takes more files than the weights.
  std::vector<File> files;        // That a node needs on disk to load it, weights included.
  uint64_t load_bytes = 0;        // Memory for loading it with this context, as estimated.
  int context = 0;                // Tokens it wants to use.
  PromptOutline outline;          // May be empty: nothing is warm then.
  double prompt_tokens = 0;       // As estimated, see TokenRatio.
  double output_tokens = 256;
  Priority priority = Priority::interactive;
  std::vector<std::string> excluded;  // Nodes that refused or failed it.
  bool may_disturb = false;           // Nodes that drain will do: no other one can serve it.

  Digest key() const { return own_key.value_or(weights); }  // The runner's.
};

struct PlacementOptions {
  // The share of the generation time that counts against the time to the first token.
  double output_weight = 0.3, batch_output_weight = 1;
  double weight_of(Priority priority) const {
    return priority == Priority::batch ? batch_output_weight : output_weight;
  }
  double batch_slowdown = kBatchSlowdown;
  // What evaluating a prompt costs others: the square of (prompts before it at the soonest node -
  // disturbance_from). So a warm node is worth a longer queue when all are busy ...
  double disturbance_weight = 1, disturbance_from = 1.5;
  // ... but not if its first token comes later than elsewhere by more than this.
  double sacrifice_part = 0.7, sacrifice_ms = 50;
  // Costs within this much of the least count as equal: tie_part of it, and tie_part_others more if
  // all requests there come from other gateways, which choose by the same reports.
  double tie_part = 0.1, tie_part_others = 0.15, tie_ms = 20;
  double hop_ms = 1;  // A node that is not this one.
  // Where nothing was measured yet.
  double prompt_rate = 400, output_rate = 20, load_rate = 800e6, copy_rate = 100e6;
  double load_start_ms = kLoadStart.count();
  int slots = 4;  // Of a runner that is not loaded yet.
  // A further copy of a model that is in memory elsewhere costs this part of its load on top.
  double another_copy_part = 0.3;
  // Least cost of evicting a model, however little it seems to be worth.
  double evict_ms = 300;
  io::Duration stale_after = std::chrono::seconds(2), too_old_after = std::chrono::seconds(10);
  double bounded_load = 1.25;  // With stale reports: how far above the mean a node may be.
  double away_ms = 5000;       // Penalty of a node that ramps up and has had its share.
  // Above so many nodes a decision looks at a choice of them.
  size_t consider_all = 48;
  size_t warm_max = 8, runners_max = 16, cold_max = 8;
  size_t ranked_max = 16;
  bool use_prefixes = true;
};

// The terms of a node's cost, in milliseconds.
struct CostTerms {
  double queue = 0;        // Prompts before it, and the wait for a slot.
  double prefill = 0;      // Its own prompt, without what is warm.
  double decode = 0;       // Its answer, weighed.
  double disturbance = 0;  // Of requests that wait, weighed.
  double load = 0, evict = 0, copy = 0;
  double late = 0;     // How long a first token there is overdue.
  double penalty = 0;  // Ramp, breaker, the way to another node.

  double total() const {
    return queue + prefill + decode + disturbance + load + evict + copy + late + penalty;
  }
  double first_token() const { return queue + prefill + load + evict + copy + late + penalty; }
};

enum class Exclusion {
  none,
  not_ready,  // Draining, unreachable, joining, removed.
  asked_out,  // It refused or failed this request.
  broken,     // Its circuit breaker is open, or it has not reported since it failed.
  too_old,    // Its last report is too old.
  no_memory,  // The model can never fit there beside what is pinned.
  no_disk,    // No room for the files.
};
std::string_view to_string(Exclusion exclusion);

// A node as a decision saw it.
struct NodeCandidate {
  NodeNumber node = 0;
  std::string name;
  Exclusion excluded = Exclusion::none;
  CostTerms cost;
  Warmth warm;
  double answer_ms = 0;                // Time to generate the whole answer there.
  uint64_t free_bytes = 0;             // Unused memory for models.
  uint64_t load_room = 0;              // Part of it where the model would be loaded.
  double warm_tokens = 0;              // Prompt tokens that are expected to be warm.
  double sure_tokens = 0;              // Those of them that no request is still at work on.
  bool loaded = false;                 // In memory or loading: no new load is needed.
  bool measured = false;               // Its rates were measured there.
  bool foreign = false;                // Not a node but a backend (backend_cost.h).
  bool draining = false;               // Only looked at where the request may disturb.
  int requests = 0, own_requests = 0;  // For this model there: all, and this gateway's.
  int running = 0;                     // Our requests at a backend.
  std::string reason;                  // More on why it was excluded.
  bool stale = false;                  // Its report is older than it should be.
  std::vector<std::string> evictions;  // Models that would have to leave.
};

// Candidates, best first; then the excluded ones that were looked at. A gateway asks them in this
// order until one accepts.
struct PlacementDecision {
  std::vector<NodeCandidate> ranked;
  size_t usable = 0;  // How many of them are not excluded.
  size_t looked_at = 0, nodes = 0;
  bool lost_hit = false;     // Most of the prompt is warm on a node that is too busy.
  bool tie = false;          // The first was one of several equals.
  bool hashed = false;       // Reports were stale: bounded-load consistent hashing.
  double prompt_tokens = 0;  // As the decision assumed.
  double output_tokens = 0;  // Likewise.
  uint64_t load_bytes = 0;   // Memory that loading it takes, as estimated.
  // In a dry run of a model that no node can hold: how it would be split (JSON), or why not.
  std::string split, split_refused;

  const NodeCandidate* best() const { return usable == 0 ? nullptr : ranked.data(); }
  std::string to_json() const;  // For people: `ollamamax explain` and the dry run.
};

// What a decision is made from. Referenced during the call only.
struct PlacementState {
  const ClusterIndex& cluster;
  const PrefixIndex& prefixes;
  const LoadOverlay& overlay;
  const Breakers& breakers;
};

PlacementDecision place(const PlacementState& state, const PlacementRequest& request,
                        const PlacementOptions& options, io::TimePoint now, io::Random& random);

}  // namespace om::scheduler
