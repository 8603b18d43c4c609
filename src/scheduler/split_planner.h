// Chooses the nodes for a model that is larger than any of them: asks engine::plan_split() with
// what the View and the links between nodes tell.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "cluster/reports.h"
#include "http/client.h"
#include "scheduler/gguf_plans.h"
#include "scheduler/scheduler.h"

namespace om::scheduler {

struct SplitChoice {
  std::string main;
  engine::SplitPlan plan;
  std::string to_json() const;  // For people: explain and the dry run.
};

// On the io thread. References outlive it.
class SplitPlanner {
 public:
  static constexpr size_t kLinksMeasuredMax = 32;

  using ContextOf = std::function<int(const Target&)>;  // The context to load a target with.
  SplitPlanner(io::World& world, http::Client& client, cluster::Reports& reports, std::string self,
               GgufPlanOptions options, ContextOf context_of);

  // Memory that one node needs to hold all of it; nullopt: its header is not known.
  std::optional<uint64_t> whole_bytes(const Target& target) const;
  // not_found: one node alone could hold it once that node is idle, or no ready node has its files.
  // unavailable: all nodes together have too little memory. unsupported: a model that cannot be
  // split. A link that was never measured counts as an ordinary one. `may_disturb`: with nodes that
  // drain, where it cannot be done without them.
  Result<SplitChoice> choose(const Target& target, bool may_disturb = true);
  // With this node as the main node, over links measured now.
  io::Task<Result<engine::SplitPlan>> plan_here(Target target, io::Call call);

 private:
  struct Link {
    double round_trip_ms = 0, bytes_per_second = 0;
    io::TimePoint measured{};
  };
  Result<SplitChoice> choose_among(const Target& target, bool may_disturb);
  Result<engine::SplitPlan> plan(const Target& target, const model::GgufSummary& gguf,
                                 std::string_view main, bool may_disturb);
  Result<engine::SplitPlan> plan_from_here(const Target& target, const model::GgufSummary& gguf);
  io::Task<void> measure(io::Call call);
  io::Task<void> measure_one(engine::PeerLink link, io::Call call);
  io::Task<Result<io::Duration>> ping(const engine::PeerLink& link, size_t bytes, io::Call call);

  io::World& world_;
  http::Client& client_;
  cluster::Reports& reports_;
  std::string self_;
  GgufPlanOptions options_;
  ContextOf context_of_;
  std::map<std::string, Link, std::less<>> links_;
};

}  // namespace om::scheduler
