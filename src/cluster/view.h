// What this node knows of the cluster: its own state, and the load reports of the other nodes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <ranges>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "io/network.h"
#include "io/task.h"

namespace om::cluster {

// A model that a node has in memory.
struct RunnerInfo {
  std::string model;
  Digest manifest;
  std::optional<int64_t> expires_ms;  // Time until it is unloaded if nobody asks; absent: never.
  bool stopping = false;
  Digest key;  // model::runner_key().
  int context_length = 0;
  int slots = 0, running = 0, queued = 0;
  uint64_t size_bytes = 0;
  uint64_t graphics_bytes = 0;  // Part of size_bytes: on graphics cards.
  bool on_card = false;         // All of its layers.
  bool loading = false;
  double load_progress = 0;  // 0..1 while it loads, in steps: each one is a report.
  // Measured; 0: not yet. Tokens a second of one stream that runs alone, and of prompts.
  double output_rate = 0, prompt_rate = 0;
  bool rates_are_old = false;         // Measured so long ago that they may have changed.
  int64_t pending_prompt_tokens = 0;  // Of running and queued requests, not yet evaluated.
  bool pinned = false;
  // Of a split model, on another node.
  struct Part {
    std::string node;
    uint64_t bytes = 0;
  };
  std::vector<Part> parts;
  std::string part_of;  // Of a part of a split model: the name of the main node. Else empty.
  double value = 0;     // Of keeping it, in seconds: cost of a reload x probability of use.
};

// A model on its way to a node's disk.
struct CopyProgress {
  std::string model;  // Its key in the catalogue.
  uint64_t done_bytes = 0, total_bytes = 0;
};

// What a gateway's requests for one model suffered of late. Sums that fade with time.
struct ModelDemand {
  Digest key;  // As a runner's.
  double requests = 0;
  double wait_seconds = 0;  // For a slot, of all of them.
  double lost_hits = 0;     // Times the node where the prompt was warm was too busy.
};

// joining: has not reported yet. unreachable: its reports have stopped. draining: takes no new
// requests.
enum class NodeState { joining, ready, draining, unreachable };

// One node as its last report told it.
struct NodeInfo {
  bool is_reachable() const { return state != NodeState::unreachable; }
  // It can be asked; but while draining it gets no new requests of clients.
  bool answers() const { return state == NodeState::ready || state == NodeState::draining; }

  std::string name;  // Unique in the cluster.
  NodeState state = NodeState::ready;
  bool reaches_majority = true;  // A voter, by its own copy of the facts; else true.
  io::Endpoint peer;             // Where other nodes reach it. Empty: this node itself.
  double ramp = 1;               // Share of its fair load it may get: grows to 1 after a return.
  std::shared_ptr<const std::vector<Digest>> blobs;  // Whole and verified on its disk; sorted.
  uint64_t disk_free = 0;
  uint64_t memory_total = 0;                       // For models.
  uint64_t memory_used = 0;                        // By models, loads in progress included.
  uint64_t graphics_total = 0, graphics_used = 0;  // Of both, on graphics cards.
  int cores = 0;                                   // Threads of a runner.
  double processors = 0;  // Processor time for runners, quotas included. 0: not told.
  // Measured, bytes a second: of loads into memory, of blobs from other nodes. 0: not yet.
  double load_rate = 0, copy_rate = 0;
  std::vector<RunnerInfo> runners;
  std::vector<CopyProgress> copying;
  std::vector<ModelDemand> demand;  // Of requests that came to this node.
  io::TimePoint reported{};

  bool has_blob(const Digest& digest) const;
  const RunnerInfo* runner_of(const Digest& key) const;  // Null: not in memory.
};

// The cluster at one moment. Immutable: a decision sees one state throughout. Copies are cheap and
// may be read on any thread; a newer View shares the reports that did not change.
class View {
 public:
  View() : nodes_(std::make_shared<const Nodes>()) {}
  // Nodes are ordered by name. invalid_argument: two of one name, or one without.
  static Result<View> of(std::vector<NodeInfo> nodes);

  // A range of const NodeInfo&: keep the View while it is used.
  auto nodes() const {
    return std::views::transform(*nodes_,
                                 [](const auto& node) -> const NodeInfo& { return *node; });
  }
  const NodeInfo* find(std::string_view name) const;  // Null: unknown.
  // The nodes that have the model in memory, ready or loading.
  std::vector<const NodeInfo*> nodes_running(const Digest& key) const;

  // The reports that differ from those in `before`. Cheap: one comparison of addresses a node, none
  // if the View is the same. Keep this View while the pointers are used.
  std::vector<const NodeInfo*> changed_since(const View& before) const;

  // A View with this report in place of the node's older one, or added. An older report changes
  // nothing.
  View with(NodeInfo report) const;
  View with(std::vector<NodeInfo> reports) const;
  View without(std::string_view name) const;

 private:
  using Nodes = std::vector<std::shared_ptr<const NodeInfo>>;

  explicit View(Nodes nodes) : nodes_(std::make_shared<const Nodes>(std::move(nodes))) {}
  static Nodes::const_iterator place_of(std::string_view name, const Nodes& nodes);

  std::shared_ptr<const Nodes> nodes_;
};

}  // namespace om::cluster
