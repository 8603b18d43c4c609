#include "scheduler/backend_cost.h"

#include <algorithm>
#include <tuple>

#include "scheduler/milliseconds.h"

namespace om::scheduler {
namespace {

static_assert(engine::BackendSpeed::kBatchSlowdown == kBatchSlowdown);

// What is usual among those that have measured it.
double mean_of(std::span<const BackendOffer> offers, double BackendOffer::* value) {
  double sum = 0;
  int count = 0;
  for (const BackendOffer& offer : offers) {
    if (offer.*value > 0) sum += offer.*value, count++;
  }
  return count > 0 ? sum / count : 0;
}

double first_known(std::initializer_list<double> values) {
  return *std::ranges::find_if(values, [](double value) { return value > 0; });
}

struct Usual {
  double prefill_ms, output_rate;
};

NodeCandidate candidate_of(const BackendOffer& offer, const Usual& usual, double output_tokens,
                           Priority priority, const PlacementOptions& options) {
  NodeCandidate candidate;
  candidate.name = backend_node(offer.name);
  candidate.foreign = candidate.loaded = true;
  candidate.excluded = offer.excluded;
  candidate.reason = offer.reason;
  candidate.running = offer.running;
  candidate.measured = offer.prefill_ms > 0 && offer.output_rate > 0;
  const double alone = first_known({offer.output_rate, usual.output_rate, options.output_rate});
  const double rate = alone / (1 + options.batch_slowdown * offer.running);
  CostTerms& cost = candidate.cost;
  cost.prefill = offer.prefill_ms > 0 ? offer.prefill_ms : usual.prefill_ms;
  cost.queue = offer.waiting * cost.prefill;
  candidate.answer_ms = output_tokens / rate * kMsPerSecond;
  cost.decode = options.weight_of(priority) * candidate.answer_ms;
  cost.penalty = options.hop_ms;
  return candidate;
}

double equal_to(double cost, const PlacementOptions& options) {
  return std::max(options.tie_ms, options.tie_part * cost);
}

// Usable ones first, by cost; of those that cost about the least, the one with least to do.
void order(std::vector<NodeCandidate>& backends, const PlacementOptions& options) {
  std::ranges::sort(backends, {}, [](const NodeCandidate& candidate) {
    return std::tuple(candidate.excluded != Exclusion::none, candidate.cost.total(),
                      candidate.name);
  });
  if (backends.empty() || backends.front().excluded != Exclusion::none) return;
  const double least = backends.front().cost.total();
  const auto end = std::ranges::find_if(backends, [&](const NodeCandidate& candidate) {
    return candidate.excluded != Exclusion::none ||
           candidate.cost.total() > least + equal_to(least, options);
  });
  const auto first =
      std::ranges::min_element(backends.begin(), end, {}, [](const NodeCandidate& candidate) {
        return std::tuple(candidate.running, std::string_view(candidate.name));
      });
  std::ranges::rotate(backends.begin(), first, first + 1);
}

// An own node is first unless it is known to be worse.
bool nodes_first(const PlacementDecision& nodes, const NodeCandidate* backend,
                 const PlacementOptions& options) {
  if (!backend) return true;
  const NodeCandidate* node = nodes.best();
  // A node that was looked at and cannot run it would only say so.
  if (!node) return nodes.ranked.empty() || !nodes.split.empty();
  if (node->draining) return false;
  if (!node->measured || !backend->measured) return true;
  const double cost = node->cost.total();
  return cost <= backend->cost.total() + equal_to(backend->cost.total(), options);
}

}  // namespace

std::string backend_node(std::string_view name) { return fmt::format("backend/{}", name); }

BackendOffer offer_of(const engine::Backend& backend, std::string_view model, size_t prompt_bytes,
                      bool asked) {
  const engine::BackendSpeed speed = backend.speed(model);
  BackendOffer offer{.name = backend.spec().name,
                     .running = backend.running(),
                     .waiting = backend.waiting(),
                     .prefill_ms = speed.prefill_ms(prompt_bytes),
                     .output_rate = speed.output_rate()};
  if (asked) {
    offer.excluded = Exclusion::asked_out;
  } else if (!backend.may_be_asked()) {
    offer.excluded = Exclusion::broken;
  } else if (backend.error()) {
    offer.excluded = Exclusion::not_ready;
    offer.reason = backend.error()->what;
  }
  return offer;
}

bool add_backends(PlacementDecision& decision, std::span<const BackendOffer> offers, bool own,
                  Priority priority, const PlacementOptions& options) {
  const Usual usual{
      first_known({mean_of(offers, &BackendOffer::prefill_ms),
                   std::max(1.0, decision.prompt_tokens) / options.prompt_rate * kMsPerSecond}),
      mean_of(offers, &BackendOffer::output_rate)};
  const bool any = std::ranges::any_of(
      offers, [](const BackendOffer& offer) { return offer.excluded == Exclusion::none; });
  std::vector<NodeCandidate> backends;
  backends.reserve(offers.size());
  for (const BackendOffer& offer : offers) {
    backends.push_back(candidate_of(offer, usual, decision.output_tokens, priority, options));
    // A try is better than a refusal.
    if (!any && !own && offer.excluded == Exclusion::not_ready) {
      backends.back().excluded = Exclusion::none;
    }
  }
  order(backends, options);
  const auto usable = std::ranges::count(backends, Exclusion::none, &NodeCandidate::excluded);
  const bool first = own && nodes_first(decision, usable > 0 ? backends.data() : nullptr, options);
  if (!own) {
    for (NodeCandidate& node : decision.ranked) node.excluded = Exclusion::asked_out;
    decision.usable = 0;
  }
  const auto place =
      decision.ranked.begin() + (first ? static_cast<std::ptrdiff_t>(decision.usable) : 0);
  const auto begin = std::make_move_iterator(backends.begin());
  decision.ranked.insert(place, begin, begin + usable);
  decision.usable += static_cast<size_t>(usable);
  if (!first && decision.usable > 1) {
    const auto others = std::span(decision.ranked).first(decision.usable).subspan(1);
    std::ranges::stable_sort(others, {}, [](const auto& other) { return other.cost.total(); });
  }
  decision.ranked.insert(decision.ranked.end(), begin + usable,
                         std::make_move_iterator(backends.end()));
  decision.looked_at += backends.size();
  return first;
}

}  // namespace om::scheduler
