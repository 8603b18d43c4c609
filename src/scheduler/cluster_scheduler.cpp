#include "scheduler/cluster_scheduler.h"

#include <algorithm>

#include "base/log.h"
#include "scheduler/metrics.h"

namespace om::scheduler {
namespace {

// Errors after which another node may do better: it was lost, is full, or lacks the files.
bool is_worth_another(const Error& error) {
  return error.code == Errc::unavailable || error.code == Errc::overloaded ||
         error.code == Errc::not_found || error.code == Errc::internal;
}

bool has_files(const cluster::NodeInfo& node, const Target& target) {
  if (!node.has_blob(target.weights)) return false;
  for (const auto* paths : {&target.adapter_paths, &target.projector_paths}) {
    for (const std::string& path : *paths) {
      const auto digest = Digest::parse(path.substr(path.rfind('/') + 1));
      if (!digest || !node.has_blob(*digest)) return false;
    }
  }
  return true;
}

}  // namespace

ClusterScheduler::ClusterScheduler(io::World& world, http::Client& client, Scheduler& local,
                                   cluster::Reports& reports, std::string self)
    : world_(world),
      local_(local),
      reports_(reports),
      self_(std::move(self)),
      remote_(world, client) {}

ClusterScheduler::~ClusterScheduler() = default;

std::vector<std::string> ClusterScheduler::rank(const Target& target) {
  struct Candidate {
    double cost = 0;
    std::string node;
  };
  std::vector<Candidate> candidates;
  const cluster::View view = reports_.view();
  const io::TimePoint now = world_.clock.now();
  for (const cluster::NodeInfo& node : view.nodes()) {
    if (node.state != cluster::NodeState::ready || !has_files(node, target)) continue;
    auto& routed = routed_[{node.name, target.weights}];
    std::erase_if(routed, [&](io::TimePoint at) {
      return at < node.reported || now - at > std::chrono::seconds(1);
    });
    const cluster::RunnerInfo* runner = node.runner_of(target.weights);
    double load = static_cast<double>(routed.size());
    if (runner) {
      load += runner->running + runner->queued;
      load = load / std::max(runner->slots, 1) + (runner->loading ? 1 : 0);
    } else {
      load += 3;  // A load takes as long as some answers.
    }
    candidates.push_back({load / node.ramp + world_.random.unit() * 0.1, node.name});
  }
  std::ranges::sort(candidates, {}, &Candidate::cost);
  std::vector<std::string> names;
  names.reserve(candidates.size());
  for (Candidate& candidate : candidates) names.push_back(std::move(candidate.node));
  return names;
}

io::Task<Result<std::unique_ptr<Lease>>> ClusterScheduler::acquire_on(const std::string& node,
                                                                      const Target& target,
                                                                      const AcquireOptions& options,
                                                                      io::Call call) {
  if (node == self_) co_return co_await local_.acquire(target, options, std::move(call));
  const engine::PeerLink* link = reports_.link_of(node);
  if (!link) co_return fail(Errc::unavailable, "node {} has left", node);
  co_return co_await remote_.acquire(*link, target, options, std::move(call));
}

io::Task<Result<std::unique_ptr<Lease>>> ClusterScheduler::acquire(Target target,
                                                                   AcquireOptions options,
                                                                   io::Call call) {
  const io::TimePoint since = world_.clock.now();
  const io::Duration patience = options.resumes ? kResumePatience : kReturnPatience;
  while (true) {
    auto lease = co_await acquire_on_any(target, options, call);
    if (lease || lease.error().code != Errc::unavailable) co_return lease;
    if (world_.clock.now() - since > patience) co_return lease;
    CO_TRY_VOID(co_await world_.clock.sleep_for(kReturnInterval, call));
  }
}

io::Task<Result<std::unique_ptr<Lease>>> ClusterScheduler::acquire_on_any(
    const Target& target, const AcquireOptions& options, io::Call call) {
  std::vector<std::string> tried;
  Error last{Errc::unavailable,
             fmt::format("no node that can be reached has the files of {}", target.name)};
  while (tried.size() < kNodesTriedMax) {
    // Anew each time: what was asked of a node may have taken long.
    std::string next;
    for (std::string& node : rank(target)) {
      if (std::ranges::find(tried, node) != tried.end()) continue;
      next = std::move(node);
      break;
    }
    if (next.empty()) break;
    tried.push_back(next);
    routed_[{next, target.weights}].push_back(world_.clock.now());
    auto lease = co_await acquire_on(next, target, options, call);
    if (lease) co_return lease;
    last = std::move(lease).error();
    if (!is_worth_another(last)) break;
    log_info("asking another node", field("node", next), field("model", target.name),
             field("error", last));
    passed_on.add();
  }
  co_return fail(std::move(last));
}

bool ClusterScheduler::unload(const Digest& weights) {
  bool was_loaded = local_.unload(weights);
  const cluster::View view = reports_.view();
  for (const cluster::NodeInfo* node : view.holders_of(weights)) {
    const engine::PeerLink* link = reports_.link_of(node->name);
    if (!link) continue;
    was_loaded = true;
    remote_.unload(*link, weights);
  }
  return was_loaded;
}

std::vector<LoadedModel> ClusterScheduler::loaded() const {
  std::vector<LoadedModel> all = local_.loaded();
  for (LoadedModel& model : all) model.node = self_;
  for (const cluster::NodeInfo& node : reports_.view().nodes()) {
    if (node.name == self_ || node.state == cluster::NodeState::unreachable) continue;
    for (const cluster::RunnerInfo& runner : node.runners) {
      LoadedModel model;
      model.name = runner.model;
      model.node = node.name;
      model.weights = runner.weights;
      model.manifest = runner.manifest;
      model.stopping = runner.stopping;
      if (runner.expires_ms) {
        const io::Duration since = world_.clock.now() - node.reported;
        model.expires_at =
            world_.clock.wall_now() + std::chrono::milliseconds(*runner.expires_ms) - since;
      }
      model.size_bytes = runner.size_bytes;
      model.context_length = runner.context_length;
      model.running = runner.running;
      model.queued = runner.queued;
      model.slots = runner.slots;
      model.loading = runner.loading;
      all.push_back(std::move(model));
    }
  }
  return all;
}

io::Task<void> ClusterScheduler::stop() {
  co_await remote_.stop();
  co_await local_.stop();
}

}  // namespace om::scheduler
