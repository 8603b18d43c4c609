#include "scheduler/node_cost.h"

#include <algorithm>

#include "scheduler/milliseconds.h"
#include "scheduler/placement.h"

namespace om::scheduler {
namespace {

// A load that the reports show as running is half done on average.
constexpr double kLoadLeft = 0.5;
// What was measured long ago may have been an hour in which something else kept the machine busy:
// an idle runner then counts as this much of the usual at least, so that a request finds out.
constexpr double kTriedPart = 0.5;
// A late first token says that the node is slower than it reported, beyond what estimates err by
// and up to a point.
constexpr double kLateGraceMs = 3000, kLateMsMax = 60'000;

bool stays(const cluster::RunnerInfo& runner) { return runner.pinned || !runner.part_of.empty(); }

bool is_busy(const cluster::RunnerInfo& runner) {
  return runner.loading || runner.running + runner.queued > 0;
}

double believed(double measured, double usual, bool is_tried) {
  if (measured <= 0) return usual;
  return is_tried ? std::max(measured, kTriedPart * usual) : measured;
}

// How much faster a node is than those with `usual` processors, as far as that tells.
double processor_share(double processors, double usual) {
  return processors > 0 && usual > 0 ? processors / usual : 1;
}

// What nothing uses of its graphics cards.
uint64_t card_room_of(const cluster::NodeInfo& node) {
  return node.graphics_total - std::min(node.graphics_total, node.graphics_used);
}

}  // namespace

double NodeCost::usual_prompt_rate(const cluster::NodeInfo& node, bool on_card) const {
  const double usual = rates_.prompt > 0 ? rates_.prompt : options_.prompt_rate;
  return usual * (on_card ? kCardSpeed : processor_share(node.processors, rates_.processors));
}

double NodeCost::usual_output_rate(const cluster::NodeInfo& node, bool on_card) const {
  const double usual = rates_.output > 0 ? rates_.output : options_.output_rate;
  return usual * (on_card ? kCardSpeed
                          : processor_share(std::min(node.processors, kOutputProcessors),
                                            std::min(rates_.processors, kOutputProcessors)));
}

double NodeCost::prompt_rate(const cluster::NodeInfo& node, const cluster::RunnerInfo& runner,
                             bool is_tried) const {
  return believed(runner.prompt_rate, usual_prompt_rate(node, runner.on_card), is_tried);
}

double NodeCost::output_rate(const cluster::NodeInfo& node, const cluster::RunnerInfo& runner,
                             int batch, bool is_tried) const {
  const double alone =
      believed(runner.output_rate, usual_output_rate(node, runner.on_card), is_tried);
  return alone / (1 + options_.batch_slowdown * std::max(0, batch - 1));
}

double NodeCost::service_ms(const cluster::NodeInfo& node,
                            const cluster::RunnerInfo& runner) const {
  const int slots = runner.slots > 0 ? runner.slots : options_.slots;
  return request_.output_tokens / output_rate(node, runner, slots, false) * kMsPerSecond;
}

Exclusion NodeCost::exclusion_of(NodeNumber number, double breaker_share) const {
  const cluster::NodeInfo& node = state_.cluster.node(number);
  const bool is_disturbed = request_.may_disturb && node.state == cluster::NodeState::draining;
  if (node.state != cluster::NodeState::ready && !is_disturbed) return Exclusion::not_ready;
  if (std::ranges::find(request_.excluded, node.name) != request_.excluded.end()) {
    return Exclusion::asked_out;
  }
  if (now_ - node.reported > options_.too_old_after) return Exclusion::too_old;
  if (breaker_share <= 0) return Exclusion::broken;
  // Who fell silent in an answer is asked again once it has shown that it lives.
  if (state_.breakers.node_failed_at(number) > node.reported) return Exclusion::broken;
  return Exclusion::none;
}

bool NodeCost::runner_lost(NodeNumber number) const {
  const io::TimePoint failed = state_.breakers.runner_failed_at(number, request_.outline.model);
  return failed != io::TimePoint{} && failed + kReportSettle > state_.cluster.node(number).reported;
}

NodeCandidate NodeCost::estimate(NodeNumber number, io::Random& random) {
  const cluster::NodeInfo& node = state_.cluster.node(number);
  NodeCandidate candidate;
  candidate.node = number;
  candidate.name = node.name;
  candidate.draining = node.state == cluster::NodeState::draining;
  candidate.free_bytes = room_of(node);
  const double breaker_share = state_.breakers.share(number, request_.outline.model, now_);
  candidate.excluded = exclusion_of(number, breaker_share);
  if (candidate.excluded != Exclusion::none) return candidate;
  candidate.stale = now_ - node.reported > options_.stale_after;

  const LoadOverlay::Extra extra =
      state_.overlay.of(number, request_.outline.model, node.reported, now_);
  const cluster::RunnerInfo* runner = node.runner_of(key_);
  const bool lost = runner != nullptr && runner_lost(number);
  const bool serves =
      runner != nullptr && !lost && !runner->stopping && runner->context_length >= request_.context;
  if (serves) {
    charge_serving(candidate, node, *runner, extra);
  } else if ((runner == nullptr || lost) && extra.loading) {
    // Sent there to be loaded a moment ago: whoever comes next joins it.
    cluster::RunnerInfo loading;
    loading.slots = options_.slots;
    charge_serving(candidate, node, loading, extra);
    candidate.cost.load = std::max(0.0, load_ms(node) - ms_of(now_ - extra.load_since));
  } else {
    charge_load(candidate, node, runner == nullptr ? 0 : runner->size_bytes);
    if (runner != nullptr && !lost) {
      // It has to run empty before a larger one can take its place.
      const double ahead = std::max(0, runner->running + runner->queued + extra.requests);
      candidate.cost.queue += ahead / std::max(1, runner->slots) * service_ms(node, *runner);
    }
  }
  candidate.cost.late = std::clamp(ms_of(extra.overdue) - kLateGraceMs, 0.0, kLateMsMax);
  if (node.peer != io::Endpoint{}) candidate.cost.penalty += options_.hop_ms;
  const double share = std::min(std::clamp(node.ramp, 0.0, 1.0), breaker_share);
  if (share < 1 && random.unit() >= share) candidate.cost.penalty += options_.away_ms;
  return candidate;
}

void NodeCost::charge_serving(NodeCandidate& candidate, const cluster::NodeInfo& node,
                              const cluster::RunnerInfo& runner, const LoadOverlay::Extra& extra) {
  candidate.loaded = true;
  candidate.measured = runner.prompt_rate > 0 && runner.output_rate > 0;
  CostTerms& cost = candidate.cost;
  const int slots = std::max(1, runner.slots);
  const int inside = std::max(0, runner.running + runner.queued + extra.requests);
  const bool is_tried = runner.rates_are_old && inside == 0;
  const double rate = prompt_rate(node, runner, is_tried);
  candidate.requests = inside;
  candidate.own_requests = std::min(extra.own, inside);
  // What was pending when the report was made has shrunk since.
  const double age = std::max(0.0, ms_of(now_ - node.reported)) / kMsPerSecond;
  const double evaluated = std::max(runner.loading ? 0 : age * rate, extra.evaluated_tokens);
  const double pending =
      std::max(0.0, static_cast<double>(runner.pending_prompt_tokens) - evaluated);
  cost.queue = (pending + extra.prompt_tokens) / rate * kMsPerSecond;
  if (inside >= slots) {
    cost.queue += (inside - slots + 1) * service_ms(node, runner) / slots;
  }
  if (options_.use_prefixes && !runner.loading && request_.outline.bytes > 0) {
    candidate.warm = state_.prefixes.warmth(candidate.node, request_.outline, last_warmth_);
    if (candidate.warm.blocks > 0) last_warmth_ = candidate.warm;
    candidate.warm.set_wait(duration_of(cost.queue), now_);
    candidate.warm_tokens =
        request_.prompt_tokens *
        state_.prefixes.expected_share(candidate.node, request_.outline, candidate.warm);
    Warmth sure = candidate.warm;
    sure.blocks = sure.settled;
    candidate.sure_tokens = request_.prompt_tokens *
                            state_.prefixes.expected_share(candidate.node, request_.outline, sure);
  }
  const double uncached = std::max(1.0, request_.prompt_tokens - candidate.warm_tokens);
  cost.prefill = uncached / rate * kMsPerSecond;

  const int batch = std::min(inside + 1, slots);
  candidate.answer_ms =
      request_.output_tokens / output_rate(node, runner, batch, is_tried) * kMsPerSecond;
  cost.decode = options_.weight_of(request_.priority) * candidate.answer_ms;
  if (runner.loading) cost.load = kLoadLeft * load_ms(node);
}

double NodeCost::load_ms(const cluster::NodeInfo& node) const {
  const double rate = node.load_rate > 0 ? node.load_rate : options_.load_rate;
  uint64_t bytes = 0;
  for (const PlacementRequest::File& file : request_.files) bytes += file.bytes;
  return options_.load_start_ms + static_cast<double>(bytes) / rate * kMsPerSecond;
}

void NodeCost::charge_load(NodeCandidate& candidate, const cluster::NodeInfo& node,
                           uint64_t own_bytes) const {
  CostTerms& cost = candidate.cost;
  const uint64_t promised =
      state_.overlay.load_bytes(candidate.node, request_.outline.model, node.reported);
  const uint64_t room = room_of(node) + own_bytes;
  const uint64_t free = room - std::min(room, promised);
  const bool on_card = make_card_room(candidate, node, promised);
  candidate.load_room = on_card ? card_room_of(node) : candidate.free_bytes;
  if (!on_card && request_.load_bytes > free) {
    charge_room(candidate, node, request_.load_bytes - free);
  }
  if (candidate.excluded != Exclusion::none) return;

  cost.load = load_ms(node);
  const double load_rate = node.load_rate > 0 ? node.load_rate : options_.load_rate;
  uint64_t others = promised;  // Loads share the disk.
  for (const cluster::RunnerInfo& runner : node.runners) {
    if (runner.loading) others += runner.size_bytes / 2;
  }
  cost.load += static_cast<double>(others) / load_rate * kMsPerSecond;

  uint64_t missing = 0;
  for (const PlacementRequest::File& file : request_.files) {
    if (!node.has_blob(file.digest)) missing += file.bytes;
  }
  if (missing > 0) {
    if (node.disk_free < missing) candidate.excluded = Exclusion::no_disk;
    const double rate = node.copy_rate > 0 ? node.copy_rate : options_.copy_rate;
    cost.copy = static_cast<double>(missing) / rate * kMsPerSecond;
  }
  cost.prefill = request_.prompt_tokens / usual_prompt_rate(node, on_card) * kMsPerSecond;
  candidate.answer_ms = request_.output_tokens / usual_output_rate(node, on_card) * kMsPerSecond;
  cost.decode = options_.weight_of(request_.priority) * candidate.answer_ms;
}

bool NodeCost::make_card_room(NodeCandidate& candidate, const cluster::NodeInfo& node,
                              uint64_t promised) const {
  if (node.graphics_total == 0 || request_.load_bytes > node.graphics_total) return false;
  uint64_t free = card_room_of(node);
  free -= std::min(free, promised);
  std::vector<const cluster::RunnerInfo*> idle;
  for (const cluster::RunnerInfo& runner : node.runners) {
    if (runner.key == key_) {
      free += runner.graphics_bytes;
    } else if (runner.graphics_bytes > 0 && !stays(runner) && !is_busy(runner)) {
      idle.push_back(&runner);
    }
  }
  std::ranges::sort(idle, {}, &cluster::RunnerInfo::value);
  size_t ending = 0;
  for (; ending < idle.size() && free < request_.load_bytes; ending++) {
    free += idle[ending]->graphics_bytes;
  }
  if (free < request_.load_bytes) return false;
  for (const auto* victim : std::span(idle).first(ending)) charge_end(candidate, *victim);
  return true;
}

void NodeCost::charge_end(NodeCandidate& candidate, const cluster::RunnerInfo& victim) const {
  candidate.evictions.push_back(victim.model);
  candidate.cost.evict += std::max(options_.evict_ms, victim.value * kMsPerSecond);
}

void NodeCost::charge_room(NodeCandidate& candidate, const cluster::NodeInfo& node,
                           uint64_t missing) const {
  // Idle ones first, then least worth first, as the node itself will do.
  std::vector<const cluster::RunnerInfo*> victims;
  for (const cluster::RunnerInfo& runner : node.runners) {
    if (!stays(runner) && runner.key != key_) victims.push_back(&runner);
  }
  std::ranges::sort(victims, {}, [&](const cluster::RunnerInfo* runner) {
    return std::pair(is_busy(*runner), runner->value);
  });
  uint64_t gained = 0;
  for (const cluster::RunnerInfo* victim : victims) {
    if (gained >= missing) break;
    gained += victim->size_bytes;
    charge_end(candidate, *victim);
    if (!is_busy(*victim)) continue;
    const double rounds = 1.0 + static_cast<double>(victim->queued) / std::max(1, victim->slots);
    candidate.cost.evict += ms_of(kDrainAfter) + rounds * service_ms(node, *victim);
  }
  if (gained < missing) candidate.excluded = Exclusion::no_memory;
}

}  // namespace om::scheduler
