#include "sim/placement_lab/policy.h"

#include <algorithm>
#include <unordered_map>

#include "base/check.h"
#include "scheduler/node_chooser.h"

namespace om::lab {
namespace {

// What all rules of proxies share: the number of own requests on each node.
class CountingPolicy : public Policy {
 public:
  CountingPolicy(const Trace& trace, io::Random& random)
      : trace_(trace), random_(random), running_(trace.nodes.count) {}

  size_t choose(size_t request, io::TimePoint now) final {
    const size_t node = pick(request, now);
    running_[node]++;
    total_++;
    sent_[request] = node;
    return node;
  }

  double expected_tokens(size_t request) const final {
    return trace_.requests[request].prompt_tokens;
  }

  void finished(size_t request, int, io::TimePoint) final {
    running_[sent_.at(request)]--;
    total_--;
    sent_.erase(request);
  }

 protected:
  virtual size_t pick(size_t request, io::TimePoint now) = 0;

  // One of those with the fewest, by chance.
  size_t least() {
    const int fewest = *std::ranges::min_element(running_);
    std::vector<size_t> equals;
    for (size_t i = 0; i < running_.size(); i++) {
      if (running_[i] == fewest) equals.push_back(i);
    }
    return equals[random_.below(equals.size())];
  }

  const Trace& trace_;
  io::Random& random_;
  std::vector<int> running_;
  int total_ = 0;
  std::unordered_map<size_t, size_t> sent_;
};

class RoundRobin final : public CountingPolicy {
 public:
  RoundRobin(const Trace& trace, io::Random& random)
      : CountingPolicy(trace, random), next_(random.below(trace.nodes.count)) {}
  size_t pick(size_t, io::TimePoint) override { return next_++ % running_.size(); }

 private:
  size_t next_;
};

class LeastConnections final : public CountingPolicy {
 public:
  using CountingPolicy::CountingPolicy;
  size_t pick(size_t, io::TimePoint) override { return least(); }
};

class PowerOfTwo final : public CountingPolicy {
 public:
  using CountingPolicy::CountingPolicy;
  size_t pick(size_t, io::TimePoint) override {
    const size_t a = random_.below(running_.size()), b = random_.below(running_.size());
    return running_[a] <= running_[b] ? a : b;
  }
};

// SGLang's router: by load if loads are apart, else to the longest match above a share of the
// prompt, else to the node with the smallest tree. Its default of 32 requests apart is scaled to
// these nodes' slots, which is in its favour.
class CacheAware final : public CountingPolicy {
 public:
  CacheAware(const Trace& trace, io::Random& random)
      : CountingPolicy(trace, random),
        tree_({.blocks_max = 1 << 22, .runner_blocks_max = 1 << 15, .ttl = std::chrono::hours(1)}),
        sizes_(trace.nodes.count) {}

  size_t pick(size_t request, io::TimePoint now) override {
    const scheduler::PromptOutline& outline = trace_.requests[request].outline;
    const size_t node = decide(outline);
    tree_.assume(static_cast<scheduler::NodeNumber>(node), outline, now, now);
    sizes_[node] += outline.bytes;
    return node;
  }

 private:
  static constexpr double kMatchShare = 0.5, kApart = 1.1;

  size_t decide(const scheduler::PromptOutline& outline) {
    const auto [fewest, most] = std::ranges::minmax(running_);
    if (most - fewest > trace_.nodes.slots && most > kApart * fewest) return least();
    const auto matches = tree_.match(outline, 1);
    if (!matches.empty() &&
        static_cast<double>(scheduler::PromptOutline::bytes_of(matches[0].blocks)) >
            kMatchShare * static_cast<double>(outline.bytes)) {
      return matches[0].node;
    }
    return static_cast<size_t>(std::ranges::min_element(sizes_) - sizes_.begin());
  }

  scheduler::PrefixIndex tree_;
  std::vector<size_t> sizes_;
};

class Ours final : public Policy {
 public:
  Ours(const Trace& trace, io::Random& random, const scheduler::PlacementOptions& options)
      : trace_(trace), chooser_(random, options) {}

  bool listens() const override { return true; }
  void report(const cluster::NodeInfo& node) override { chooser_.observe(node); }

  size_t choose(size_t number, io::TimePoint now) override {
    const LabRequest& request = trace_.requests[number];
    const LabModel& model = trace_.models[request.model];
    scheduler::PlacementRequest wanted;
    wanted.weights = model.weights;
    wanted.files = {{model.weights, model.bytes}};
    wanted.load_bytes = model.bytes;
    wanted.outline = request.outline;
    wanted.prompt_tokens =
        chooser_.token_ratio().tokens(request.outline.model, request.outline.bytes);
    wanted.output_tokens = chooser_.output_tokens(request.outline.model);
    decision_ = chooser_.decide(wanted, now);
    CHECK(decision_.best() != nullptr);
    wanted_ = std::move(wanted);
    return std::stoul(decision_.best()->name.substr(1));
  }

  void sent(size_t number, io::TimePoint now) override {
    sent_[number] = chooser_.begin(wanted_, *decision_.best(), now);
  }

  double expected_tokens(size_t) const override {
    return std::max(1.0, wanted_.prompt_tokens - decision_.best()->sure_tokens);
  }

  void first_token(size_t request, io::TimePoint now) override {
    chooser_.first_token(sent_.at(request), now);
  }

  void finished(size_t number, int cached_tokens, io::TimePoint now) override {
    const LabRequest& request = trace_.requests[number];
    const auto found = sent_.find(number);
    chooser_.end(std::move(found->second),
                 {.cached_tokens = cached_tokens,
                  .prompt_tokens = request.prompt_tokens,
                  .output_tokens = request.output_tokens},
                 now);
    sent_.erase(found);
  }

 private:
  const Trace& trace_;
  scheduler::NodeChooser chooser_;
  scheduler::PlacementRequest wanted_;  // The last one chosen for, and what was decided.
  scheduler::PlacementDecision decision_;
  std::unordered_map<size_t, scheduler::SentRequest> sent_;
};

}  // namespace

std::string_view to_string(PolicyKind kind) {
  switch (kind) {
    case PolicyKind::round_robin:
      return "round robin";
    case PolicyKind::least_connections:
      return "least connections";
    case PolicyKind::power_of_two:
      return "power of two";
    case PolicyKind::cache_aware:
      return "cache-aware";
    case PolicyKind::ours:
      return "ours";
  }
  return "";
}

std::unique_ptr<Policy> make_policy(PolicyKind kind, const Trace& trace, io::Random& random,
                                    const scheduler::PlacementOptions& options) {
  switch (kind) {
    case PolicyKind::round_robin:
      return std::make_unique<RoundRobin>(trace, random);
    case PolicyKind::least_connections:
      return std::make_unique<LeastConnections>(trace, random);
    case PolicyKind::power_of_two:
      return std::make_unique<PowerOfTwo>(trace, random);
    case PolicyKind::cache_aware:
      return std::make_unique<CacheAware>(trace, random);
    case PolicyKind::ours:
      return std::make_unique<Ours>(trace, random, options);
  }
  return nullptr;
}

}  // namespace om::lab
