#include "scheduler/node_placement.h"

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <tuple>

#include "base/rendezvous.h"
#include "scheduler/node_cost.h"

namespace om::scheduler {
namespace {

constexpr double kLostHitPart = 0.5;  // Of the prompt.
// Draws to find a node of a list that is not looked at yet.
constexpr size_t kDrawsPerNode = 2;
constexpr double kFewOthers = 0.5;  // Of the requests on the nodes that are looked at.

struct Mean {
  double sum = 0;
  int count = 0;
  void add(double value) { sum += value, count++; }
  double get() const { return count > 0 ? sum / count : 0; }
};

// Collects the nodes worth a look, each once.
class Search {
 public:
  Search(const PlacementState& state, const PlacementRequest& request,
         const PlacementOptions& options, io::TimePoint now, io::Random& random)
      : state_(state),
        request_(request),
        options_(options),
        random_(random),
        cost_(state, request, options, now) {
    chosen_.reserve(options.consider_all);
    found_.reserve(options.consider_all);
  }

  std::vector<NodeCandidate> run() {
    if (state_.cluster.size() <= options_.consider_all) {
      for (NodeNumber number : state_.cluster.all()) choose(number);
      look_at_chosen();
      return std::move(found_);
    }
    if (request_.may_disturb) choose_draining();
    const auto runners = state_.cluster.with_runner(request_.key());
    if (options_.use_prefixes && !request_.outline.blocks.empty()) {
      for (const auto& match : state_.prefixes.match(request_.outline, options_.warm_max)) {
        choose(match.node);
      }
    }
    sample(runners, options_.runners_max);
    if (shortest_wait_ms() < options_.load_start_ms) return std::move(found_);
    sample(state_.cluster.with_blob(request_.weights), options_.cold_max);
    sample_room();
    if (!any_usable()) sample(state_.cluster.all(), options_.cold_max);
    return std::move(found_);
  }

 private:
  // Of those that are looked at first: of many nodes most may not have been asked yet, and those
  // that are warm have.
  ModelRates mean_rates() const {
    Mean prompt, output, measured_with, all_have;
    for (NodeNumber number : chosen_) {
      const cluster::NodeInfo& node = state_.cluster.node(number);
      if (node.processors > 0) all_have.add(node.processors);
      const cluster::RunnerInfo* runner = node.runner_of(request_.key());
      if (runner == nullptr || runner->prompt_rate <= 0) continue;
      const double speed = runner->on_card ? kCardSpeed : 1;
      prompt.add(runner->prompt_rate / speed);
      if (runner->output_rate > 0) output.add(runner->output_rate / speed);
      if (node.processors > 0 && !runner->on_card) measured_with.add(node.processors);
    }
    return {prompt.get(), output.get(),
            measured_with.get() > 0 ? measured_with.get() : all_have.get()};
  }

  void choose(NodeNumber number) {
    if (std::ranges::find(chosen_, number) != chosen_.end()) return;
    chosen_.push_back(number);
    state_.cluster.prefetch(number);
  }

  // No list has them: those are of nodes that are ready.
  void choose_draining() {
    for (NodeNumber number : state_.cluster.all()) {
      if (chosen_.size() == options_.consider_all) break;
      if (state_.cluster.node(number).state == cluster::NodeState::draining) choose(number);
    }
  }

  // Together: what is known of them comes from memory at the same time, not node after node.
  void look_at_chosen() {
    if (found_.empty()) cost_.expect(mean_rates());
    for (size_t i = found_.size(); i < chosen_.size(); i++) {
      found_.push_back(cost_.estimate(chosen_[i], random_));
    }
  }

  void sample(std::span<const NodeNumber> nodes, size_t count) {
    const size_t enough = chosen_.size() + count;
    const bool all = nodes.size() <= count;
    for (size_t i = 0; i < (all ? count : kDrawsPerNode * count); i++) {
      if (chosen_.size() == enough || (all && i == nodes.size())) break;
      choose(nodes[all ? i : random_.below(nodes.size())]);
    }
    look_at_chosen();
  }

  // Nodes with memory to spare, from the tightest fit up.
  void sample_room() {
    size_t left = options_.cold_max;
    for (size_t size = ClusterIndex::room_class(request_.load_bytes) + 1;
         size < ClusterIndex::kRoomClasses && left > 0; size++) {
      const auto nodes = state_.cluster.with_room(size);
      const size_t before = chosen_.size();
      sample(nodes, std::min(left, nodes.size()));
      left -= std::min(left, chosen_.size() - before);
    }
  }

  // What a load elsewhere could save: where it is less than any load takes, none is worth a look.
  double shortest_wait_ms() const {
    double shortest = HUGE_VAL;
    for (const NodeCandidate& candidate : found_) {
      if (candidate.excluded != Exclusion::none) continue;
      shortest = std::min(shortest, candidate.cost.first_token() - candidate.cost.prefill);
    }
    return shortest;
  }
  bool any_usable() const { return shortest_wait_ms() < HUGE_VAL; }

  const PlacementState& state_;
  const PlacementRequest& request_;
  const PlacementOptions& options_;
  io::Random& random_;
  NodeCost cost_;
  std::vector<NodeNumber> chosen_;
  std::vector<NodeCandidate> found_;
};

std::vector<NodeCandidate> find_nodes(const PlacementState& state, const PlacementRequest& request,
                                      const PlacementOptions& options, io::TimePoint now,
                                      io::Random& random) {
  std::vector<NodeCandidate> found = Search(state, request, options, now, random).run();
  const auto is = [](Exclusion exclusion) {
    return [exclusion](const NodeCandidate& node) { return node.excluded == exclusion; };
  };
  const bool none_left = std::ranges::none_of(found, is(Exclusion::none));
  if (!none_left || std::ranges::none_of(found, is(Exclusion::broken))) return found;
  // Breakers that keep the last ones out protect nobody: a try is better than a refusal.
  const Breakers closed;
  const PlacementState trusting{state.cluster, state.prefixes, state.overlay, closed};
  return Search(trusting, request, options, now, random).run();
}

// Where one runner could serve it, a second has to save more than it takes: it holds memory that
// other models may want, the more likely the less of it is free there.
void charge_for_copies(const PlacementOptions& options, const PlacementRequest& request,
                       std::span<NodeCandidate> found) {
  if (std::ranges::none_of(found, &NodeCandidate::loaded)) return;
  for (NodeCandidate& candidate : found) {
    if (candidate.loaded) continue;
    const double taken = static_cast<double>(request.load_bytes) /
                         static_cast<double>(std::max<uint64_t>(1, candidate.load_room));
    candidate.cost.penalty +=
        options.another_copy_part * std::min(1.0, taken) * candidate.cost.load;
  }
}

// Where even the soonest node has prompts before a new one, work that is saved is time saved for
// all who wait, and for those who come before the nodes have drained: both grow with the queue.
// Where it is short, spreading is better than joining.
void charge_for_work(const PlacementOptions& options, const PlacementRequest& request,
                     std::span<NodeCandidate> found) {
  double soonest = HUGE_VAL, prompts_before = 0;
  for (const NodeCandidate& candidate : found) {
    if (candidate.excluded != Exclusion::none) continue;
    const CostTerms& cost = candidate.cost;
    const double uncached = std::max(1.0, request.prompt_tokens - candidate.warm_tokens);
    const double cold = cost.prefill * std::max(1.0, request.prompt_tokens) / uncached;
    const double wait = cost.first_token() - cost.prefill;
    if (cold <= 0 || wait + cold >= soonest) continue;
    soonest = wait + cold;
    // A load is waited for, too, but no prompt of others is evaluated meanwhile.
    prompts_before = (wait - cost.load) / cold;
  }
  const double pressure = std::max(0.0, prompts_before - options.disturbance_from);
  const double each = options.disturbance_weight * pressure * pressure;
  for (NodeCandidate& candidate : found) {
    if (candidate.excluded != Exclusion::none || !candidate.loaded) continue;
    candidate.cost.disturbance = each * candidate.cost.prefill;
  }
}

// Least cost first, then the excluded ones. Candidates are large: they move once.
std::vector<NodeCandidate> sorted_by_cost(std::vector<NodeCandidate> found) {
  std::vector<std::tuple<bool, double, size_t>> order;
  order.reserve(found.size());
  for (size_t i = 0; i < found.size(); i++) {
    order.emplace_back(found[i].excluded != Exclusion::none, found[i].cost.total(), i);
  }
  std::ranges::sort(order);
  std::vector<NodeCandidate> sorted;
  sorted.reserve(found.size());
  for (const auto& [excluded, cost, i] : order) sorted.push_back(std::move(found[i]));
  return sorted;
}

// Reports say nothing of now: nodes in the order of the request's hash, those first that do not
// have much more of this gateway's requests than others (Mirrokni, Thorup and Zadimoghaddam,
// "Consistent hashing with bounded loads").
void order_by_hash(const PlacementState& state, const PlacementOptions& options,
                   std::span<NodeCandidate> usable, uint64_t key, uint64_t model,
                   io::TimePoint now) {
  struct Rank {
    bool cold = false, full = false;
    uint64_t hash = 0;
    auto operator<=>(const Rank&) const = default;
  };
  std::vector<int> own(usable.size());
  int all = 0;
  for (size_t i = 0; i < usable.size(); i++) {
    const NodeNumber node = usable[i].node;
    own[i] = state.overlay.of(node, model, state.cluster.node(node).reported, now).own;
    all += own[i];
  }
  const double bound = options.bounded_load * (all + 1) / static_cast<double>(usable.size());
  std::vector<std::pair<Rank, size_t>> order;
  for (size_t i = 0; i < usable.size(); i++) {
    const Rank rank{!usable[i].loaded, own[i] + 1 > std::ceil(bound),
                    ~rendezvous(key, usable[i].name)};
    order.emplace_back(rank, i);
  }
  std::ranges::sort(order);
  std::vector<NodeCandidate> sorted;
  sorted.reserve(order.size());
  for (const auto& [rank, i] : order) sorted.push_back(std::move(usable[i]));
  std::ranges::move(sorted, usable.begin());
}

// Those whose first token comes soon enough go before the others, both in the order they had; how
// many they are.
size_t put_quick_first(const PlacementOptions& options, std::span<NodeCandidate> usable) {
  double soonest = HUGE_VAL;
  for (const NodeCandidate& candidate : usable) {
    soonest = std::min(soonest, candidate.cost.first_token());
  }
  const double limit = soonest * (1 + options.sacrifice_part) + options.sacrifice_ms;
  size_t quick = 0;
  for (size_t i = 0; i < usable.size(); i++) {
    if (usable[i].cost.first_token() > limit) continue;
    std::rotate(usable.begin() + static_cast<std::ptrdiff_t>(quick),
                usable.begin() + static_cast<std::ptrdiff_t>(i),
                usable.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    quick++;
  }
  return quick;
}

// Whether another one would have had most of the prompt in its cache, and the first has not.
bool is_lost_hit(std::span<const NodeCandidate> usable, double prompt_tokens) {
  const auto warmest = std::ranges::max_element(usable, {}, &NodeCandidate::warm_tokens);
  return warmest->warm_tokens - usable.front().warm_tokens > kLostHitPart * prompt_tokens;
}

// The part of the requests on these nodes that other gateways sent, who choose by the same reports.
double part_of_others(std::span<const NodeCandidate> usable) {
  int all = 0, own = 0;
  for (const NodeCandidate& candidate : usable) {
    all += candidate.requests;
    own += candidate.own_requests;
  }
  return all > 0 ? 1.0 - static_cast<double>(own) / all : 0.0;
}

// What the node keeps of other conversations of this gateway, whose next turns would wait behind
// this request: blocks.
size_t kept_besides(const PlacementState& state, const PlacementRequest& request,
                    const NodeCandidate& candidate) {
  const size_t kept = state.prefixes.blocks_of(candidate.node, request.outline.model);
  return kept - std::min<size_t>(kept, candidate.warm.blocks);
}

// True if there was more than one to choose from. Equals are told apart by the hash, so that
// gateways that share nothing meet at one node; where nodes are drawn and few others send, rather
// by what they keep.
bool settle_tie(const PlacementState& state, const PlacementRequest& request,
                const PlacementOptions& options, std::span<NodeCandidate> usable, double others,
                uint64_t key) {
  const double least = usable.front().cost.total();
  const double part = options.tie_part + options.tie_part_others * others;
  const double limit = least + std::max(options.tie_ms, part * least);
  // Who has to load or to evict is no equal of who has not, however small the difference.
  const auto end = std::ranges::find_if(usable, [&](const NodeCandidate& candidate) {
    return candidate.cost.total() > limit || candidate.loaded != usable.front().loaded ||
           candidate.evictions.size() != usable.front().evictions.size();
  });
  const bool by_kept = state.cluster.size() > options.consider_all && others < kFewOthers;
  const auto winner =
      std::ranges::min_element(usable.begin(), end, {}, [&](const NodeCandidate& candidate) {
        const size_t kept = by_kept ? kept_besides(state, request, candidate) : 0;
        return std::pair(kept, ~rendezvous(key, candidate.name));
      });
  std::ranges::rotate(usable.begin(), winner, winner + 1);
  return end - usable.begin() > 1;
}

}  // namespace

PlacementDecision place(const PlacementState& state, const PlacementRequest& request,
                        const PlacementOptions& options, io::TimePoint now, io::Random& random) {
  PlacementDecision decision;
  decision.nodes = state.cluster.size();
  decision.prompt_tokens = request.prompt_tokens;
  decision.output_tokens = request.output_tokens;
  decision.load_bytes = request.load_bytes;
  std::vector<NodeCandidate> found = find_nodes(state, request, options, now, random);
  charge_for_copies(options, request, found);
  charge_for_work(options, request, found);
  decision.ranked = sorted_by_cost(std::move(found));
  decision.looked_at = decision.ranked.size();
  decision.usable = static_cast<size_t>(
      std::ranges::count(decision.ranked, Exclusion::none, &NodeCandidate::excluded));
  const std::span<NodeCandidate> usable = std::span(decision.ranked).first(decision.usable);
  if (!usable.empty()) {
    // Equals are told apart by the conversation: all gateways then send its turns to the same node
    // without talking to each other, and different ones scatter.
    const uint64_t key =
        request.outline.conversation != 0 ? request.outline.conversation : random.next();
    const auto stale = std::ranges::count(usable, true, &NodeCandidate::stale);
    decision.hashed = 2 * static_cast<size_t>(stale) > usable.size();
    if (decision.hashed) {
      order_by_hash(state, options, usable, key, request.outline.model, now);
    } else {
      const std::span<NodeCandidate> quick = usable.first(put_quick_first(options, usable));
      decision.tie = settle_tie(state, request, options, quick, part_of_others(usable), key);
    }
    decision.lost_hit = is_lost_hit(usable, request.prompt_tokens);
  }
  if (decision.ranked.size() > options.ranked_max && state.cluster.size() > options.consider_all) {
    decision.ranked.resize(options.ranked_max);
    decision.usable = std::min(decision.usable, options.ranked_max);
  }
  return decision;
}

std::string_view to_string(Exclusion exclusion) {
  switch (exclusion) {
    case Exclusion::none:
      return "";
    case Exclusion::not_ready:
      return "not ready";
    case Exclusion::asked_out:
      return "refused or failed this request";
    case Exclusion::broken:
      return "failed lately";
    case Exclusion::too_old:
      return "has not reported for too long";
    case Exclusion::no_memory:
      return "the model does not fit into its memory";
    case Exclusion::no_disk:
      return "no room on its disk for the model";
  }
  return "";
}

std::string PlacementDecision::to_json() const {
  boost::json::array list;
  for (const NodeCandidate& candidate : ranked) {
    boost::json::object item;
    item["node"] = candidate.name;
    if (candidate.excluded != Exclusion::none) {
      std::string why(to_string(candidate.excluded));
      if (!candidate.reason.empty()) why += ": " + candidate.reason;
      item["excluded"] = why;
      list.push_back(std::move(item));
      continue;
    }
    const CostTerms& cost = candidate.cost;
    item["cost_ms"] = cost.total();
    item["terms_ms"] = {{"queue", cost.queue},    {"prefill", cost.prefill},
                        {"decode", cost.decode},  {"disturbance", cost.disturbance},
                        {"load", cost.load},      {"evict", cost.evict},
                        {"copy", cost.copy},      {"late", cost.late},
                        {"penalty", cost.penalty}};
    item["measured"] = candidate.measured;
    if (candidate.foreign) item["running"] = candidate.running;
    item["loaded"] = candidate.loaded;
    item["free_bytes"] = candidate.free_bytes;
    item["warm_tokens"] = candidate.warm_tokens;
    item["stale"] = candidate.stale;
    boost::json::array evictions;
    for (const std::string& model : candidate.evictions) evictions.emplace_back(model);
    item["evictions"] = std::move(evictions);
    list.push_back(std::move(item));
  }
  boost::json::object object;
  object["nodes"] = nodes;
  object["looked_at"] = looked_at;
  object["prompt_tokens"] = prompt_tokens;
  object["load_bytes"] = load_bytes;
  object["fits"] = usable > 0;
  object["tie"] = tie;
  object["hashed"] = hashed;
  object["candidates"] = std::move(list);
  if (!split.empty()) object["split"] = boost::json::parse(split);
  if (!split_refused.empty()) object["split_refused"] = split_refused;
  return boost::json::serialize(object);
}

}  // namespace om::scheduler
