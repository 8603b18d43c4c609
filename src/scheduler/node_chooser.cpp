#include "scheduler/node_chooser.h"

#include <algorithm>

#include "scheduler/milliseconds.h"

namespace om::scheduler {
namespace {

constexpr uint64_t kLoadBaseBytes = 256 << 20;
constexpr int kContextDefault = 4096;

// Where its header is not known: weights, and room for context and batches.
uint64_t load_bytes_of(const Target& target) {
  if (target.load_bytes > 0) return target.load_bytes;
  uint64_t bytes = kLoadBaseBytes;
  for (const Target::File& file : target.files) bytes += file.bytes + file.bytes / 10;
  return bytes;
}

}  // namespace

void NodeChooser::observe(const cluster::View& view) {
  for (const cluster::NodeInfo* report : view.changed_since(seen_)) observe(*report);
  for (NodeNumber gone : cluster_.remove_others(view)) forget(gone);
  seen_ = view;
}

void NodeChooser::observe(const cluster::NodeInfo& report) {
  if (const auto known = cluster_.find(report.name)) forget_ended_runners(*known, report);
  cluster_.put(report);
}

void NodeChooser::forget(NodeNumber node) {
  prefixes_.forget(node);
  overlay_.forget(node);
  breakers_.forget(node);
}

void NodeChooser::forget_ended_runners(NodeNumber node, const cluster::NodeInfo& report) {
  for (const cluster::RunnerInfo& runner : cluster_.node(node).runners) {
    if (report.runner_of(runner.key) == nullptr) {
      prefixes_.forget(node, model_key(runner.key));
    }
  }
}

PlacementRequest NodeChooser::request(const Target& target, const AcquireOptions& options) const {
  PlacementRequest request;
  request.weights = target.weights;
  request.own_key = target.key();
  for (const Target::File& file : target.files) request.files.push_back({file.digest, file.bytes});
  request.load_bytes = load_bytes_of(target);
  request.context = target.runner.num_ctx.value_or(kContextDefault);
  // A runner has no more than that, and serves whoever asks for more with it.
  if (target.trained_context > 0) {
    request.context = std::min(request.context, target.trained_context);
  }
  request.outline = options.outline;
  if (request.outline.model == 0) request.outline.model = model_key(request.key());
  request.prompt_tokens = token_ratio_.tokens(model_key(request.key()), options.outline.bytes);
  request.output_tokens = output_tokens(request.outline.model);
  request.priority = options.priority;
  return request;
}

PlacementDecision NodeChooser::decide(const PlacementRequest& request, io::TimePoint now) const {
  const PlacementState state{cluster_, prefixes_, overlay_, breakers_};
  return place(state, request, options_, now, random_);
}

SentRequest NodeChooser::begin(const PlacementRequest& request, const NodeCandidate& chosen,
                               io::TimePoint now) {
  SentRequest sent{.at = now,
                   .node = chosen.node,
                   .name = chosen.name,
                   .outline = request.outline,
                   .expected = chosen.warm};
  RoutedRequest routed;
  routed.node = chosen.node;
  routed.model = request.outline.model;
  routed.prompt_tokens = std::max(1.0, request.prompt_tokens - chosen.warm_tokens);
  routed.load_bytes = chosen.loaded ? 0 : request.load_bytes;
  routed.expected_first = duration_of(chosen.cost.first_token() - chosen.cost.penalty);
  sent.ticket = overlay_.add(routed, now);
  breakers_.sent(chosen.node, request.outline.model, now);
  prefixes_.expect_nodes(cluster_.size());
  sent.borrowed =
      prefixes_.assume(chosen.node, request.outline,
                       now + routed.expected_first + duration_of(chosen.answer_ms), now);
  return sent;
}

void NodeChooser::first_token(const SentRequest& sent, io::TimePoint now) {
  overlay_.first_token(sent.ticket, now);
  if (cluster_.find(sent.name) == sent.node) breakers_.answers(sent.node, sent.outline.model, now);
}

void NodeChooser::end(SentRequest sent, const SentOutcome& outcome, io::TimePoint now) {
  overlay_.finish(sent.ticket, now);
  // The node may be gone, and its number another's.
  if (cluster_.find(sent.name) != sent.node) return;
  const uint64_t model = sent.outline.model;
  prefixes_.give_back(sent.node, sent.outline, sent.borrowed);
  if (outcome.prompt_tokens > 0) {
    prefixes_.correct(sent.node, sent.outline, sent.expected, outcome.cached_tokens,
                      outcome.prompt_tokens, now);
    token_ratio_.observe(model, sent.outline.bytes, outcome.prompt_tokens);
  }
  answer_lengths_.observe(model, outcome.output_tokens);
  switch (outcome.result) {
    case SentOutcome::Result::answered:
      return breakers_.succeeded(sent.node, model, now);
    case SentOutcome::Result::cancelled:
      return breakers_.cancelled(sent.node, model, now);
    case SentOutcome::Result::runner_failed:
      prefixes_.forget(sent.node, model);
      return breakers_.runner_failed(sent.node, model, sent.at, now);
    case SentOutcome::Result::node_failed:
      return breakers_.node_failed(sent.node, sent.at, now);
  }
}

}  // namespace om::scheduler
