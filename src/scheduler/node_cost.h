// What one request would cost on one node; the part of placement that knows about rates, memory and
// disks. Pure.
#pragma once

#include "scheduler/node_placement.h"

namespace om::scheduler {

// Rates of a model for nodes that have not measured it: the mean of the nodes that have, converted
// to a node without a graphics card and with `processors`, their mean. 0: not known.
struct ModelRates {
  double prompt = 0, output = 0, processors = 0;
};

// Each further processor makes prompts faster; answers only up to this many, which keep the memory
// busy.
inline constexpr double kOutputProcessors = 4;

// How many times faster a model is that lies on graphics cards as a whole, until it is measured:
// between small and large cards.
inline constexpr double kCardSpeed = 8;

// Estimates nodes for one request. Lives for one decision.
class NodeCost {
 public:
  NodeCost(const PlacementState& state, const PlacementRequest& request,
           const PlacementOptions& options, io::TimePoint now)
      : state_(state), request_(request), options_(options), now_(now), key_(request.key()) {}

  // Rates to expect of nodes that have not measured the model. Call before the first estimate().
  void expect(ModelRates rates) { rates_ = rates; }
  NodeCandidate estimate(NodeNumber number, io::Random& random);

 private:
  Exclusion exclusion_of(NodeNumber number, double breaker_share) const;
  // The node's runner of the model failed, and no report has come since.
  bool runner_lost(NodeNumber number) const;
  void charge_serving(NodeCandidate& candidate, const cluster::NodeInfo& node,
                      const cluster::RunnerInfo& runner, const LoadOverlay::Extra& extra);
  void charge_load(NodeCandidate& candidate, const cluster::NodeInfo& node,
                   uint64_t own_bytes) const;
  void charge_room(NodeCandidate& candidate, const cluster::NodeInfo& node, uint64_t missing) const;
  void charge_end(NodeCandidate& candidate, const cluster::RunnerInfo& victim) const;
  // Ends idle runners on cards if the model then lies there as a whole. Returns whether it does.
  bool make_card_room(NodeCandidate& candidate, const cluster::NodeInfo& node,
                      uint64_t promised) const;
  double load_ms(const cluster::NodeInfo& node) const;
  // Milliseconds that a request keeps a slot busy in a full batch.
  double service_ms(const cluster::NodeInfo& node, const cluster::RunnerInfo& runner) const;
  // If none is measured. `on_card`: the model lies on cards as a whole.
  double usual_prompt_rate(const cluster::NodeInfo& node, bool on_card) const;
  double usual_output_rate(const cluster::NodeInfo& node, bool on_card) const;
  // `is_tried`: the runner is idle and its measured rates are old.
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
  // Of the last node that is warm at all: many nodes have the same beginning, a system prompt's.
  Warmth last_warmth_;
};

}  // namespace om::scheduler
