#include "scheduler/cluster_scheduler.h"

#include <algorithm>

#include "base/log.h"
#include "scheduler/metrics.h"

namespace om::scheduler {
namespace {

constexpr uint64_t kLoadBaseBytes = 256 << 20;
constexpr int kContextDefault = 4096;

// Errors after which another node may do better: it was lost, is full, or lacks the files.
bool is_worth_another(const Error& error) {
  return error.code == Errc::unavailable || error.code == Errc::overloaded ||
         error.code == Errc::not_found || error.code == Errc::internal;
}

// Until it was estimated by the node that loads it: weights, and room for context and batches.
uint64_t load_bytes_of(const Target& target) {
  uint64_t bytes = kLoadBaseBytes;
  for (const Target::File& file : target.files) bytes += file.bytes + file.bytes / 10;
  return bytes;
}

}  // namespace

// A lease that tells the chooser what became of the request.
class RoutedLease final : public Lease {
 public:
  RoutedLease(io::Clock& clock, std::shared_ptr<NodeChooser> chooser, SentRequest sent,
              std::unique_ptr<Lease> lease)
      : clock_(clock),
        chooser_(std::move(chooser)),
        sent_(std::move(sent)),
        node_(sent_.name),
        lease_(std::move(lease)) {}
  ~RoutedLease() override {
    if (lease_->node_lost()) outcome_.result = SentOutcome::Result::node_failed;
    lease_.reset();
    chooser_->end(std::move(sent_), outcome_, clock_.now());
  }
  RoutedLease(const RoutedLease&) = delete;
  RoutedLease& operator=(const RoutedLease&) = delete;

  engine::Engine& engine() override { return lease_->engine(); }
  std::chrono::nanoseconds load_time() const override { return lease_->load_time(); }
  std::chrono::nanoseconds queue_time() const override { return lease_->queue_time(); }
  void report_failure(const Error& error) override {
    outcome_.result = SentOutcome::Result::runner_failed;
    lease_->report_failure(error);
  }
  std::string_view node() const override { return node_; }
  bool node_lost() const override { return lease_->node_lost(); }
  void note_first_token() override {
    chooser_->first_token(sent_);
    lease_->note_first_token();
  }
  void note_prompt(int64_t prompt_tokens, int64_t cached_tokens) override {
    outcome_.prompt_tokens = prompt_tokens;
    outcome_.cached_tokens = cached_tokens;
    if (outcome_.result == SentOutcome::Result::cancelled) {
      outcome_.result = SentOutcome::Result::answered;
    }
    lease_->note_prompt(prompt_tokens, cached_tokens);
  }

 private:
  io::Clock& clock_;
  std::shared_ptr<NodeChooser> chooser_;
  SentRequest sent_;
  std::string node_;
  SentOutcome outcome_{SentOutcome::Result::cancelled, 0, 0};  // Until the runner told more.
  std::unique_ptr<Lease> lease_;
};

ClusterScheduler::ClusterScheduler(io::World& world, http::Client& client, Scheduler& local,
                                   cluster::Reports& reports, std::string self)
    : world_(world),
      local_(local),
      reports_(reports),
      self_(std::move(self)),
      remote_(world, client),
      chooser_(std::make_shared<NodeChooser>(world.random)) {}

ClusterScheduler::~ClusterScheduler() = default;

PlacementRequest ClusterScheduler::placement_request(const Target& target,
                                                     const AcquireOptions& options) {
  PlacementRequest request;
  request.weights = target.weights;
  for (const Target::File& file : target.files) request.files.push_back({file.digest, file.bytes});
  request.load_bytes = load_bytes_of(target);
  if (split_planner_) {
    if (const auto bytes = split_planner_->whole_bytes(target)) request.load_bytes = *bytes;
  }
  request.context = target.runner.num_ctx.value_or(kContextDefault);
  request.outline = options.outline;
  if (request.outline.model == 0) request.outline.model = model_key(target.weights);
  request.prompt_tokens =
      chooser_->token_ratio().tokens(model_key(target.weights), options.outline.bytes);
  request.priority = options.priority;
  return request;
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
  PlacementRequest request = placement_request(target, options);
  Error last{Errc::unavailable, fmt::format("no node that can be reached can run {}", target.name)};
  while (request.excluded.size() < kNodesTriedMax) {
    // Anew each time: what was asked of a node may have taken long.
    chooser_->observe(reports_.view());
    const io::TimePoint now = world_.clock.now();
    const PlacementDecision decision = chooser_->decide(request, now);
    remember(options.id, decision.to_json());
    const NodeCandidate* best = decision.best();
    if (!best) break;
    SentRequest sent = chooser_->begin(request, *best, now);
    const std::string node = best->name;
    auto lease = co_await acquire_on(node, target, options, call);
    if (lease) {
      co_return std::make_unique<RoutedLease>(world_.clock, chooser_, std::move(sent),
                                              std::move(*lease));
    }
    last = std::move(lease).error();
    const bool away = last.code == Errc::unavailable && node != self_;
    const SentOutcome outcome{
        away ? SentOutcome::Result::node_failed : SentOutcome::Result::cancelled, 0, 0};
    chooser_->end(std::move(sent), outcome, world_.clock.now());
    if (!is_worth_another(last)) break;
    log_info("asking another node", field("id", options.id), field("node", node),
             field("model", target.name), field("error", last));
    passed_on.add();
    request.excluded.push_back(node);
  }
  if (last.code == Errc::unavailable && split_planner_) {
    auto lease = co_await acquire_split(target, options, std::move(call));
    if (lease || lease.error().code != Errc::not_found) co_return lease;
  }
  co_return fail(std::move(last));
}

io::Task<Result<std::unique_ptr<Lease>>> ClusterScheduler::acquire_split(
    const Target& target, const AcquireOptions& options, io::Call call) {
  auto choice = split_planner_->choose(target);
  if (!choice && choice.error().code == Errc::unsupported) co_return fail(Errc::not_found, "");
  if (!choice) co_return fail(std::move(choice).error());
  const std::string main = choice->main;
  log_info("splitting a model", field("id", options.id), field("model", target.name),
           field("node", main), field("parts", choice->plan.parts.size()));
  remember(options.id, fmt::format(R"({{"split":{}}})", choice->to_json()));
  const io::TimePoint now = world_.clock.now();
  const PlacementRequest request = placement_request(target, options);
  NodeCandidate candidate;
  candidate.name = main;
  const auto number = chooser_->cluster().find(main);
  if (!number) co_return fail(Errc::unavailable, "node {} has left", main);
  candidate.node = *number;
  SentRequest sent = chooser_->begin(request, candidate, now);
  Target split = target;
  Result<std::unique_ptr<Lease>> lease = fail(Errc::internal, "not asked");
  if (main == self_) {
    auto plan = co_await split_planner_->plan_here(target, call);
    if (plan) {
      split.split = std::move(*plan);
      lease = co_await local_.acquire(std::move(split), options, std::move(call));
    } else {
      lease = fail(std::move(plan).error());
    }
  } else {
    split.wants_split = true;
    lease = co_await acquire_on(main, split, options, std::move(call));
  }
  if (!lease) {
    chooser_->end(std::move(sent), {SentOutcome::Result::cancelled, 0, 0}, world_.clock.now());
    co_return lease;
  }
  co_return std::make_unique<RoutedLease>(world_.clock, chooser_, std::move(sent),
                                          std::move(*lease));
}

void ClusterScheduler::remember(const std::string& id, std::string decision) {
  if (id.empty()) return;
  if (!explained_.contains(id)) explained_order_.push_back(id);
  explained_[id] = std::move(decision);
  if (explained_order_.size() <= kExplainedMax) return;
  explained_.erase(explained_order_.front());
  explained_order_.pop_front();
}

std::string ClusterScheduler::explain(const std::string& request_id) const {
  const auto found = explained_.find(request_id);
  return found == explained_.end() ? std::string() : found->second;
}

std::string ClusterScheduler::dry_run(const Target& target, const AcquireOptions& options) {
  chooser_->observe(reports_.view());
  const PlacementDecision decision =
      chooser_->decide(placement_request(target, options), world_.clock.now());
  std::string text = decision.to_json();
  if (decision.best() || !split_planner_) return text;
  const auto split = split_planner_->choose(target);
  if (!split) return text;
  text.pop_back();
  return text + fmt::format(R"(,"split":{}}})", split->to_json());
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
      model.pinned = runner.pinned;
      model.part_of = runner.part_of;
      for (const auto& part : runner.parts) model.parts.push_back({part.node, part.bytes});
      all.push_back(std::move(model));
    }
  }
  return all;
}

io::Task<void> ClusterScheduler::stop() {
  co_await local_.stop();  // Gives back its models' parts.
  co_await remote_.stop();
}

}  // namespace om::scheduler
