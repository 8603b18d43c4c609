// The placement rules that are compared.
#pragma once

#include <memory>
#include <string_view>

#include "cluster/view.h"
#include "io/random.h"
#include "scheduler/node_placement.h"
#include "sim/placement_lab/trace.h"

namespace om::lab {

// One gateway's way to choose a node. It sees the nodes' reports and its own requests only.
class Policy {
 public:
  virtual ~Policy() = default;
  virtual bool listens() const { return false; }  // To the nodes' reports.
  virtual void report(const cluster::NodeInfo& node) { (void)node; }
  // The node for a request; sent() follows at once.
  virtual size_t choose(size_t request, io::TimePoint now) = 0;
  virtual void sent(size_t request, io::TimePoint now) { (void)request, (void)now; }
  // Prompt tokens that the node has to evaluate of a request that was just sent.
  virtual double expected_tokens(size_t request) const = 0;
  virtual void first_token(size_t request, io::TimePoint now) { (void)request, (void)now; }
  virtual void finished(size_t request, int cached_tokens, io::TimePoint now) = 0;
};

enum class PolicyKind { round_robin, least_connections, power_of_two, cache_aware, ours };
inline constexpr PolicyKind kPolicyKinds[] = {
    PolicyKind::round_robin, PolicyKind::least_connections, PolicyKind::power_of_two,
    PolicyKind::cache_aware, PolicyKind::ours};
std::string_view to_string(PolicyKind kind);

// `options` are for ours.
std::unique_ptr<Policy> make_policy(PolicyKind kind, const Trace& trace, io::Random& random,
                                    const scheduler::PlacementOptions& options);

}  // namespace om::lab
