// Decides which engine serves a request, who waits, who is refused, what is loaded and evicted.
// One per node, on the io thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/digest.h"
#include "engine/engine.h"
#include "engine/split/split_plan.h"
#include "io/world.h"
#include "model/chat.h"
#include "scheduler/prompt_outline.h"

namespace om::scheduler {

struct PlacementDecision;  // node_placement.h.

// What to run. Requests with equal weights, adapters and projectors share a runner; a runner whose
// context is at least `num_ctx` serves smaller ones.
struct Target {
  std::string name;  // Shortest display name, for ps and messages.
  Digest manifest;   // Of the model's manifest, for ps.
  Digest weights;
  std::string weights_path;
  std::vector<std::string> adapter_paths;
  std::vector<std::string> projector_paths;
  std::string draft_path;
  bool embedding = false;  // The model has a pooling type: start with --embeddings.
  int trained_context = 0;
  struct File {
    Digest digest;
    uint64_t bytes = 0;
  };
  // Memory that the model takes with this context and one slot, as estimated. 0: not known.
  uint64_t load_bytes = 0;
  std::vector<File> files;                           // That a node needs on its disk to run it.
  model::RunnerOptions runner;                       // num_ctx absent: the configured default.
  std::shared_ptr<const model::GgufSummary> header;  // Of the weights. Null: not known.

  // For a split model: `wants_split` asks the node to make the plan, `split` is the plan.
  bool wants_split = false;
  std::optional<engine::SplitPlan> split;
  // If set, the target is not a model but a part of one, for the main node `part_of`: `part_bytes`
  // of memory and a process. `weights` is then only a name.
  std::string part_of;
  uint64_t part_bytes = 0;
  bool is_part() const { return !part_of.empty(); }
  // model::runner_key() of its files: requests with equal keys share a runner.
  Digest key() const;
};

// A model's part on another node.
struct LoadedPart {
  std::string node;
  uint64_t bytes = 0;
};

enum class Priority { interactive, batch };
inline std::string_view to_string(Priority priority) {
  return priority == Priority::batch ? "batch" : "interactive";
}

// What a runner told of a request when the request ended. 0: not known.
struct RunTimes {
  int64_t prompt_tokens = 0, cached_tokens = 0;  // The whole prompt; the part found in the cache.
  int64_t output_tokens = 0;
  std::chrono::nanoseconds prompt_time{}, output_time{};
};

// Of a piece with `done`.
inline RunTimes times_of(const engine::Piece& last) {
  return {.prompt_tokens = last.prompt_tokens,
          .cached_tokens = last.cached_tokens,
          .output_tokens = last.output_tokens,
          .prompt_time = last.prompt_time,
          .output_time = last.output_time};
}

// The right to run one request on an engine. Destroying it gives the slot back and starts the
// keep-alive clock. Move-only.
class Lease {
 public:
  virtual ~Lease() = default;
  virtual engine::Engine& engine() = 0;
  virtual std::chrono::nanoseconds load_time() const = 0;  // 0 if it was loaded already.
  virtual std::chrono::nanoseconds queue_time() const = 0;
  // The runner failed under this request: it is checked, restarted if dead, and a request that
  // killed two runners is refused from then on (told by its fingerprint).
  virtual void report_failure(const Error& error) = 0;
  // The node whose runner it is; empty: this one.
  virtual std::string_view node() const { return {}; }
  // The node, or the link to it, is gone: the failure was not the runner's.
  virtual bool node_lost() const { return false; }
  // The node is draining: this request had better go on elsewhere.
  virtual bool leaving() const { return false; }
  // What the runner tells of the request, for placement and load reports.
  virtual void note_prompt_progress(const engine::PromptProgress& progress) { (void)progress; }
  virtual void note_first_token() {}
  virtual void note_end(const RunTimes& times) { (void)times; }
};

struct AcquireOptions {
  model::KeepAlive keep_alive;
  // Least keep-alive if the request names none: for a model that is loaded before anyone asks.
  io::Duration keep_alive_min{};
  Priority priority = Priority::interactive;
  // The client and its weight in the fair queue. Empty: anonymous; all anonymous requests share
  // one turn.
  std::string client;
  double weight = 1;
  std::optional<io::Duration> patience;  // Longest time it may wait for its turn.
  std::string fingerprint;  // Hash of the request's content, for quarantine. Empty: none.
  // False: evict nothing. If the room is gone, the request is refused (overloaded), and the sender
  // tries a node that still has room.
  bool may_evict = true;
  // The answer has begun elsewhere: the request is not refused for a full queue.
  bool resumes = false;
  // It goes on where it is unless another node takes it: one that drains will not do.
  bool moves = false;
  PromptOutline outline;  // Of the text to evaluate, for finding a node where it is warm.
  // Estimated tokens of the prompt that have to be evaluated where it is sent; 0: not known.
  int64_t prompt_tokens = 0;
  std::string id;  // Of the request, for logs and explain().
};

// A line of `ps`.
struct LoadedModel {
  std::string name;
  std::string node;  // The node that has it in memory; empty: this one.
  Digest manifest;
  Digest key;                   // Target::key().
  uint64_t size_bytes = 0;      // Memory in use, estimated or measured.
  uint64_t graphics_bytes = 0;  // Part of size_bytes: on graphics cards.
  bool on_card = false;         // All of its layers.
  int context_length = 0;
  std::optional<io::WallTime> expires_at;  // Absent: never.
  int running = 0, queued = 0, slots = 0;
  bool stopping = false, loading = false, pinned = false;
  double load_progress = 0;       // 0..1 while loading.
  std::vector<LoadedPart> parts;  // On other nodes.
  std::string part_of;            // Of a part of a model: its main node. Otherwise empty.
};

// Finds each request a slot on a loaded model, or says why there is none. stop() must be awaited
// before it is destroyed; leases may outlive it.
class Scheduler {
 public:
  virtual ~Scheduler() = default;

  // Waits for a load and for a free slot. overloaded: "server busy, please try again.  maximum
  // pending requests exceeded", or its patience is over. unavailable / internal: the runner cannot
  // be started, with its last words. invalid_argument: quarantined. cancelled, deadline_exceeded.
  virtual io::Task<Result<std::unique_ptr<Lease>>> acquire(Target target, AcquireOptions options,
                                                           io::Call call) = 0;
  // Unloads the model when its running requests have ended. True: it was loaded.
  virtual bool unload(const Digest& key) = 0;
  virtual std::vector<LoadedModel> loaded() const = 0;
  // Why a recent request went where it went: JSON with the terms of the cost. Empty: not known.
  virtual std::string explain(const std::string& request_id) const {
    (void)request_id;
    return {};
  }
  // Where a request for this model would go now, and what it would cost; changes nothing. Null: it
  // cannot be told.
  virtual std::shared_ptr<PlacementDecision> dry_run(const Target& target,
                                                     const AcquireOptions& options) {
    (void)target, (void)options;
    return nullptr;
  }
  virtual bool wants_read_ahead() const { return false; }  // Standby runners are configured.
  // Lets a standby, a node other than `busy` that has the model in memory, read a prompt ahead: if
  // the answer's node dies, the answer goes on there at once. Never waits for a slot. unsupported:
  // standby runners are not wanted. not_found: none has room now.
  virtual io::Task<Result<void>> read_ahead(Target target, AcquireOptions options,
                                            engine::CompletionRequest request, std::string busy,
                                            io::Call call) {
    (void)target, (void)options, (void)request, (void)busy, (void)call;
    co_return fail(Errc::unsupported, "no other node");
  }
  virtual io::Task<void> stop() = 0;  // Ends all children.
};

}  // namespace om::scheduler
