#include "app/node_health.h"

#include <algorithm>

#include "app/metrics.h"
#include "app/revision.h"
#include "base/version.h"
#include "cluster/report_wire.h"

namespace om::app {
namespace {

using cluster::NodeState;

constexpr NodeState kStates[] = {NodeState::joining, NodeState::ready, NodeState::draining,
                                 NodeState::unreachable};

double unix_seconds(io::WallTime time) {
  return std::chrono::duration<double>(time.time_since_epoch()).count();
}

}  // namespace

NodeHealth::NodeHealth(io::World& world, std::string name, Folders folders, ClusterParts* cluster)
    : world_(world),
      name_(std::move(name)),
      folders_(std::move(folders)),
      cluster_(cluster),
      tasks_(world.executor, world.clock) {
  build_info.with({kVersion, kRevision}).set(1);
  if (process_start.value() == 0) process_start.set(unix_seconds(world_.clock.wall_now()));
}

void NodeHealth::start() { tasks_.spawn(watch()); }

io::Task<void> NodeHealth::stop() { co_await tasks_.stop(); }

io::Task<void> NodeHealth::watch() {
  while (true) {
    look();
    const auto slept = co_await world_.clock.sleep_for(kInterval, {io::kNever, tasks_.token()});
    if (!slept) co_return;
  }
}

// By a worker, and beside the rest: a file server that pauses holds up nothing else.
io::Task<void> NodeHealth::measure() {
  measuring_ = true;
  // The models last: they may be on a file server.
  auto read_descriptors = [this] { return world_.files.list("/proc/self/fd"); };
  const auto descriptors = co_await world_.workers.run(read_descriptors);
  if (descriptors) open_descriptors.set(static_cast<double>(descriptors->size()));
  co_await measure_disk(folders_.state, state_disk_free);
  co_await measure_disk(folders_.models, disk_free);
  measuring_ = false;
}

io::Task<void> NodeHealth::measure_disk(const io::Path& folder, Gauge& free) {
  auto read_space = [this, &folder] { return world_.files.space(folder); };
  const auto space = co_await world_.workers.run(read_space);
  // A disk that cannot be asked is in trouble, too.
  free.set(space ? static_cast<double>(space->available) : 0);
}

void NodeHealth::look() {
  if (!measuring_) tasks_.spawn(measure());
  majority.set(!cluster_ || cluster_->metadata().healthy() ? 1 : 0);
  if (cluster_) {
    certificate_end.with({name_}).set(unix_seconds(cluster_->renewal().not_after()));
    count_nodes();
    return;
  }
  certificate_end.remove({name_});  // Of a cluster that was left.
  for (const auto state : kStates) nodes.remove({cluster::to_string(state)});
  voters_cut_off.set(0);
}

void NodeHealth::count_nodes() {
  const cluster::View view = cluster_->reports().view();
  for (const auto state : kStates) {
    const auto count = std::ranges::count(view.nodes(), state, &cluster::NodeInfo::state);
    nodes.with({cluster::to_string(state)}).set(static_cast<double>(count));
  }
  const auto is_cut_off = [](const cluster::NodeInfo& node) {
    return node.is_reachable() && !node.reaches_majority;
  };
  voters_cut_off.set(static_cast<double>(std::ranges::count_if(view.nodes(), is_cut_off)));
}

}  // namespace om::app
