// What one request would cost on one node; the part of placement that knows about rates, memory and
// disks. Pure.
#pragma once

#include "scheduler/node_placement.h"

namespace om::scheduler {

// Rates of a model where a node has not measured its own: the mean of those that have, as they
// would be without a graphics card and with `processors`, theirs on average. 0: not known.
struct ModelRates {
  double prompt = 0, output = 0, processors = 0;
};

// A prompt is evaluated faster by each processor, an answer only until the memory is busy: a few
// processors keep it so.
inline constexpr double kOutputProcessors = 4;

// Tokens a second where a model lies on graphics cards as a whole, to those where it does not,
// until it is measured: between what small and large cards do.
inline constexpr double kCardSpeed = 8;

// Estimates nodes for one request. Lives for one decision.
class NodeCost {
 public:
  NodeCost(const PlacementState& state, const PlacementRequest& request,
           const PlacementOptions& options, io::TimePoint now)
      : state_(state), request_(request), options_(options), now_(now), key_(request.key()) {}

  // What to expect of nodes that have not measured it; before the first estimate.
  void expect(ModelRates rates) { rates_ = rates; }
  NodeCandidate estimate(NodeNumber number, io::Random& random);

 private:
  Exclusion exclusion_of(NodeNumber number, double breaker_share) const;
  // Its runner of the model failed, and no report has told what became of it.
  bool runner_lost(NodeNumber number) const;
  void serve(NodeCandidate& candidate, const cluster::NodeInfo& node,
             const cluster::RunnerInfo& runner, const LoadOverlay::Extra& extra);
  void load(NodeCandidate& candidate, const cluster::NodeInfo& node, uint64_t own_bytes) const;
  void make_room(NodeCandidate& candidate, const cluster::NodeInfo& node, uint64_t missing) const;
  void end(NodeCandidate& candidate, const cluster::RunnerInfo& victim) const;
  // Idle runners leave the cards if the model then lies there as a whole. Whether it does.
  bool make_card_room(NodeCandidate& candidate, const cluster::NodeInfo& node,
                      uint64_t promised) const;
  double load_ms(const cluster::NodeInfo& node) const;
  // Milliseconds that a request keeps a slot busy in a full batch.
  double service_ms(const cluster::NodeInfo& node, const cluster::RunnerInfo& runner) const;
  // Where none is measured; `on_card`: as a whole.
  double usual_prompt_rate(const cluster::NodeInfo& node, bool on_card) const;
  double usual_output_rate(const cluster::NodeInfo& node, bool on_card) const;
  // `is_tried`: idle, and what it has measured is old.
  double prompt_rate(const cluster::NodeInfo& node, const cluster::RunnerInfo& runner,
                     bool is_tried) const;
  double output_rate(const cluster::NodeInfo& node, const cluster::RunnerInfo& runner, int batch,
                     bool is_tried) const;

  const PlacementState& state_;
  const PlacementRequest& request_;
  const PlacementOptions& options_;
  ModelRates rates_;
  const io::TimePoint now_;
  const Digest key_;
  // Of the last node that has any: many have just the same beginning, a system prompt's.
  Warmth last_warmth_;
};

}  // namespace om::scheduler
