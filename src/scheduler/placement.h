// What to do for the request at the head of a model's queue, decided on this node's state alone.
// Pure: no clock, no memory probe, no side effect; LocalScheduler carries it out.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "engine/split/split_plan.h"
#include "io/task.h"

namespace om::scheduler {

// One way to launch a model; candidates are listed best first.
struct Plan {
  int slots = 1;
  int context = 0;         // Tokens of one slot.
  uint64_t bytes = 0;      // Memory it needs, weights included.
  bool asked_for = false;  // The number of slots was configured: it may take all that is free.
  // Told to the runner, of no interest to the decision.
  int batch = 512;
  int checkpoints = 0;
  uint64_t weight_bytes = 0;
  int prompt_cache_mib = 0;
  std::vector<engine::PartShare> parts;  // On other nodes; `bytes` are this one's.
};

// A loaded, loading or leaving model as far as the decision needs it.
struct RunnerState {
  enum class Phase { loading, ready, leaving };  // leaving: its child is being ended.
  Phase phase = Phase::ready;
  int context = 0, slots = 0, running = 0;
  uint64_t bytes = 0;
  uint64_t graphics = 0;  // Part of `bytes`: on graphics cards.
  bool pinned = false;
  bool draining = false;   // Gets no new requests; leaves when its last one has ended.
  bool exclusive = false;  // A suspect request runs alone on it.
  double value = 0;        // Of keeping it: cost of a reload x probability of use.
  int queued = 0;          // Requests that wait for it.
  io::TimePoint head_rank = io::kNever;  // The first one's rank; kNever: none waits.
  io::TimePoint load_started{};
};

// The request at the head of the queue and its model.
struct Demand {
  int context = 0;             // Tokens it wants to use.
  bool suspect = false;        // Killed a runner once: it runs alone.
  std::vector<Plan> plans;     // How the model could be launched for it, best first; never empty.
  io::TimePoint since{};       // When it began to wait.
  io::TimePoint rank{};        // Of all models' heads, the one with the lowest rank goes first.
  io::TimePoint not_before{};  // The model's runner crashed: no start before this.
};

// A request of another model that waits for room and goes first: memory that comes free is its.
struct Ahead {
  uint64_t bytes = 0;     // What it needs at least.
  io::TimePoint since{};  // When it began to wait.
};

struct NodeState {
  io::TimePoint now{};
  uint64_t memory_total = 0;  // For all models together.
  uint64_t memory_free = 0;   // Not reserved by any of `others` or by the model's own runner.
  // The parts of both on graphics cards. A model that lies there as a whole is many times faster.
  uint64_t graphics_total = 0, graphics_free = 0;
  int loaded_max = 0;               // 0: as many as memory allows.
  std::optional<RunnerState> own;   // The demanded model's runner.
  std::vector<RunnerState> others;  // All other runners of this node.
  std::optional<Ahead> ahead;
};

// kLoadStart: the time every load takes, whatever the model's size. kBatchSlowdown: how much each
// further request in a batch slows all of them: rate(b) = rate(1) / (1 + s(b - 1)).
inline constexpr std::chrono::milliseconds kLoadStart{700};
inline constexpr double kBatchSlowdown = 0.25;

// How long a load waits for memory before busy models stop taking requests to make room for it.
inline constexpr std::chrono::seconds kDrainAfter{2};

struct Grant {};  // Give it a slot of `own`.
struct Wait {     // Nothing to do until something ends, or until `until`.
  std::optional<io::TimePoint> until;
};
struct Load {
  Plan plan;
};
struct Replace {};  // `own` is idle and too small: end it, then ask again.
struct Evict {
  std::vector<size_t> others;
};  // End these idle ones, then ask again.
struct DrainOthers {
  std::vector<size_t> others;
};  // Let these busy ones run empty.
struct Refuse {
  uint64_t needs = 0, has = 0;  // Never fits: bytes.
  size_t pinned = 0;            // Not 0: this many pinned models take all of loaded_max.
};

using Action = std::variant<Grant, Wait, Load, Replace, Evict, DrainOthers, Refuse>;

Action decide(const NodeState& node, const Demand& demand);

// Whether a request that is told `action` waits for memory that others must free. Until it gets
// that memory, it is Ahead for later requests.
bool waits_for_room(const NodeState& node, const Action& action);

// Whether the model is loaded, or can be without ending another one.
bool has_room(const NodeState& node, const Demand& demand);

// The context to load with: at least 1.5 times `current`, which was too small, and at most
// `trained`. So contexts that creep up do not cause a reload each time.
int grown_context(int wanted, int current, int trained);

}  // namespace om::scheduler
