// The gateway's side of placement: chooses a node for each request, remembers what it sent where,
// and learns from what the replies tell.
//
//   chooser.observe(view);                                            // Whenever it has changed.
//   const PlacementDecision decision = chooser.decide(request, now);  // Changes nothing.
//   SentRequest sent = chooser.begin(request, decision.ranked[0], now);
//   chooser.first_token(sent, now);
//   chooser.end(std::move(sent), outcome, now);  // Once for each begin().
#pragma once

#include "scheduler/answer_lengths.h"
#include "scheduler/node_placement.h"

namespace om::scheduler {

// A request on its way. Holds what is needed to learn from its reply.
struct SentRequest {
  LoadOverlay::Ticket ticket = 0;
  io::TimePoint at{};
  NodeNumber node = 0;
  std::string name;
  PromptOutline outline;
  Warmth expected;
  uint32_t borrowed = 0;  // PrefixIndex::assume()
};

struct SentOutcome {
  enum class Result { answered, cancelled, runner_failed, node_failed } result = Result::answered;
  // As the runner counted them: timings.cache_n, and the sum of cache_n and prompt_n. 0 prompt
  // tokens: not known.
  int64_t cached_tokens = 0, prompt_tokens = 0;
  int64_t output_tokens = 0;  // 0: not known.
};

// See above. One per gateway, on the io thread; does no I/O.
class NodeChooser {
 public:
  explicit NodeChooser(io::Random& random, PlacementOptions options = {},
                       PrefixIndex::Limits limits = {})
      : random_(random), options_(options), prefixes_(limits) {}

  // Before each decision: costs little where few reports have come since the last one.
  void observe(const cluster::View& view);
  void observe(const cluster::NodeInfo& report);  // One node's report, without a View.

  // The request as placement wants it, with what was learned of the model and its files.
  PlacementRequest request(const Target& target, const AcquireOptions& options) const;
  PlacementDecision decide(const PlacementRequest& request, io::TimePoint now) const;
  SentRequest begin(const PlacementRequest& request, const NodeCandidate& chosen,
                    io::TimePoint now);
  void first_token(const SentRequest& sent, io::TimePoint now);
  void end(SentRequest sent, const SentOutcome& outcome, io::TimePoint now);

  const ClusterIndex& cluster() const { return cluster_; }
  const PrefixIndex& prefixes() const { return prefixes_; }
  const TokenRatio& token_ratio() const { return token_ratio_; }  // For the simulation.
  double output_tokens(uint64_t model) const {  // Expected length of its next answer.
    return answer_lengths_.expected(model);
  }
  PlacementOptions& options() { return options_; }

 private:
  void forget(NodeNumber node);
  void forget_ended_runners(NodeNumber node, const cluster::NodeInfo& report);

  io::Random& random_;
  PlacementOptions options_;
  cluster::View seen_;
  ClusterIndex cluster_;
  PrefixIndex prefixes_;
  LoadOverlay overlay_;
  Breakers breakers_;
  TokenRatio token_ratio_;
  AnswerLengths<uint64_t> answer_lengths_;
};

}  // namespace om::scheduler
