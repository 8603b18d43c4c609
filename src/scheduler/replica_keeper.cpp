#include "scheduler/replica_keeper.h"

#include "base/log.h"
#include "base/measured_rate.h"
#include "scheduler/metrics.h"

namespace om::scheduler {
namespace {

// With fewer requests, faded, and no runner too many a model is forgotten.
constexpr double kRequestsKept = 0.05;
constexpr std::chrono::seconds kStageRest{20};
// With OLLAMA_KEEP_ALIVE=0 a runner would end as soon as it is there, before it has served anybody.
constexpr std::chrono::minutes kKeepAliveMin{5};

}  // namespace

ReplicaKeeper::ReplicaKeeper(io::World& world, NodeChooser& chooser, NodeLinks& nodes,
                             Scheduler& local, std::string self, ReplicaOptions options)
    : world_(world),
      chooser_(chooser),
      nodes_(nodes),
      local_(local),
      self_(std::move(self)),
      options_(options),
      tasks_(world.executor, world.clock) {}

void ReplicaKeeper::start() { tasks_.spawn(run()); }

io::Task<void> ReplicaKeeper::stop() { co_await tasks_.stop(); }

void ReplicaKeeper::note_request(const Target& target, uint64_t load_bytes, io::Duration waited,
                                 bool lost_hit) {
  const Digest key = target.key();
  if (!models_.contains(key) && models_.size() >= kModelsWatchedMax) return;
  Model& model = models_[key];
  model.target = target;
  model.load_bytes = load_bytes;
  const io::TimePoint now = world_.clock.now();
  model.pressure.add_request(waited, now);
  if (!lost_hit) return;
  lost_hits.add();
  model.pressure.add_lost_hit(now);
}

std::vector<cluster::ModelDemand> ReplicaKeeper::demand() const {
  std::vector<cluster::ModelDemand> list;
  for (const auto& [key, model] : models_) {
    cluster::ModelDemand demand = model.pressure.at(world_.clock.now());
    demand.key = key;
    demand.requests = in_steps(demand.requests);
    demand.wait_seconds = in_steps(demand.wait_seconds);
    demand.lost_hits = in_steps(demand.lost_hits);
    list.push_back(demand);
  }
  return list;
}

io::Task<void> ReplicaKeeper::run() {
  while (!tasks_.token().cancelled()) {
    const auto slept =
        co_await world_.clock.sleep_for(kReplicaInterval, {io::kNever, tasks_.token()});
    if (!slept) break;
    look();
  }
}

void ReplicaKeeper::look() {
  const io::TimePoint now = world_.clock.now();
  if (models_.empty()) return;
  chooser_.observe(nodes_.view());
  std::erase_if(models_, [&](const auto& item) {
    const auto& [key, model] = item;
    return !model.changing && model.pressure.at(now).requests < kRequestsKept &&
           chooser_.cluster().with_runner(key).size() <= 1;
  });
  for (auto& [key, model] : models_) {
    if (model.changing || !owns(chooser_.cluster(), key, self_)) continue;
    const ReplicaTarget wanted{
        .weights = model.target.weights, .own_key = key, .load_bytes = model.load_bytes};
    const auto change = decide_replicas(
        chooser_.cluster(), wanted, demand_of(chooser_.cluster(), key), model.state, options_, now);
    if (change) carry_out(model, *change);
  }
}

void ReplicaKeeper::carry_out(Model& model, const ReplicaChange& change) {
  const Digest key = model.target.key();
  if (change.kind == ReplicaChange::Kind::shrink) {
    replica_changes.with({"shrunk"}).add();
    log_info("one runner less", field("model", model.target.name), field("node", change.node));
    if (change.node == self_) {
      local_.unload(key);
    } else {
      nodes_.unload(change.node, key);
    }
    return;
  }
  if (change.stage_files) return stage(model.target);
  log_info("one runner more", field("model", model.target.name), field("node", change.node));
  model.changing = true;
  tasks_.spawn(grow(key, change.node));
}

void ReplicaKeeper::stage(const Target& target) {
  const auto known = models_.find(target.key());
  const io::TimePoint now = world_.clock.now();
  if (!stage_ || known == models_.end() || now - known->second.staged < kStageRest) return;
  known->second.staged = now;
  replica_changes.with({"staged"}).add();
  stage_(target, chooser_.cluster().with_blob(target.weights).size());
}

io::Task<void> ReplicaKeeper::grow(Digest key, std::string node) {
  const Target target = models_.at(key).target;  // It is kept while it changes.
  AcquireOptions options;
  options.priority = Priority::batch;
  options.may_evict = false;
  options.keep_alive_min = kKeepAliveMin;
  // It waits for no room. A load ends by itself when it makes no progress, and may take long.
  const io::Call call{io::kNever, tasks_.token()};
  Result<std::unique_ptr<Lease>> lease;
  if (node == self_) {
    lease = co_await local_.acquire(target, options, call);
  } else {
    lease = co_await nodes_.acquire(node, target, options, call);
  }
  models_.at(key).changing = false;
  replica_changes.with({lease ? "grown" : "failed"}).add();
  if (!lease) {
    log_warn("no further runner", field("model", target.name), field("node", node),
             field("error", lease.error()));
  }
}

}  // namespace om::scheduler
