#include "scheduler/cluster_scheduler.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>

#include "base/log.h"
#include "base/rendezvous.h"
#include "scheduler/metrics.h"

namespace om::scheduler {
namespace {

constexpr std::chrono::milliseconds kReadAheadPatience{200};

// Errors after which another node may do better: it was lost, is full, lacks the files or has some
// that rotted.
bool is_worth_another(const Error& error) {
  return error.code == Errc::unavailable || error.code == Errc::overloaded ||
         error.code == Errc::not_found || error.code == Errc::internal ||
         error.code == Errc::corrupt;
}

}  // namespace

// A lease that tells the chooser what became of the request.
class RoutedLease final : public Lease {
 public:
  RoutedLease(io::Clock& clock, std::weak_ptr<const ClusterScheduler*> scheduler,
              std::shared_ptr<NodeChooser> chooser, SentRequest sent, std::unique_ptr<Lease> lease,
              bool resumes)
      : clock_(clock),
        scheduler_(std::move(scheduler)),
        chooser_(std::move(chooser)),
        resumes_(resumes),
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
  bool leaving() const override {
    const auto scheduler = scheduler_.lock();
    return scheduler && (*scheduler)->leaving(node_);
  }
  void note_first_token() override {
    chooser_->first_token(sent_, clock_.now());
    lease_->note_first_token();
  }
  void note_prompt_progress(const engine::PromptProgress& progress) override {
    lease_->note_prompt_progress(progress);
  }
  void note_end(const RunTimes& times) override {
    // One that went on elsewhere has what was emitted in its prompt, which the outline has not.
    if (!resumes_) {
      outcome_.prompt_tokens = times.prompt_tokens;
      outcome_.cached_tokens = times.cached_tokens;
      outcome_.output_tokens = times.output_tokens;
    }
    if (outcome_.result == SentOutcome::Result::cancelled) {
      outcome_.result = SentOutcome::Result::answered;
    }
    lease_->note_end(times);
  }

 private:
  io::Clock& clock_;
  std::weak_ptr<const ClusterScheduler*> scheduler_;
  std::shared_ptr<NodeChooser> chooser_;
  const bool resumes_;
  SentRequest sent_;
  std::string node_;
  SentOutcome outcome_{.result = SentOutcome::Result::cancelled};  // Until the runner told more.
  std::unique_ptr<Lease> lease_;
};

ClusterScheduler::ClusterScheduler(io::World& world, std::unique_ptr<NodeLinks> nodes,
                                   Scheduler& local, std::string self, ReplicaOptions replicas)
    : world_(world),
      nodes_(std::move(nodes)),
      local_(local),
      self_(std::move(self)),
      standby_(replicas.standby),
      chooser_(std::make_shared<NodeChooser>(world.random)),
      keeper_(world, *chooser_, *nodes_, local, self_, replicas),
      alive_(std::make_shared<const ClusterScheduler*>(this)) {}

ClusterScheduler::~ClusterScheduler() = default;

PlacementRequest ClusterScheduler::placement_request(const Target& target,
                                                     const AcquireOptions& options) {
  PlacementRequest request = chooser_->request(target, options);
  if (split_planner_) {
    if (const auto bytes = split_planner_->whole_bytes(target)) request.load_bytes = *bytes;
  }
  return request;
}

io::Task<Result<std::unique_ptr<Lease>>> ClusterScheduler::acquire_on(const std::string& node,
                                                                      const Target& target,
                                                                      const AcquireOptions& options,
                                                                      io::Call call) {
  if (node == self_) co_return co_await local_.acquire(target, options, std::move(call));
  co_return co_await nodes_->acquire(node, target, options, std::move(call));
}

io::Task<Result<std::unique_ptr<Lease>>> ClusterScheduler::acquire(Target target,
                                                                   AcquireOptions options,
                                                                   io::Call call) {
  const io::TimePoint since = world_.clock.now();
  const io::Duration patience = options.resumes ? kResumePatience : kReturnPatience;
  io::TimePoint until = since + patience;
  for (bool waited = false;;) {
    const io::TimePoint begun = world_.clock.now();
    auto lease = co_await acquire_on_any(target, options, since, call);
    if (lease) co_return lease;
    // What waited for room until a load failed has not had a second try yet.
    const bool took_long = world_.clock.now() - begun > patience / 2;
    if (took_long && !std::exchange(waited, true)) until = world_.clock.now() + patience;
    // A runner that could not be started may be able to in a moment; whose answer has begun waits.
    const Errc code = lease.error().code;
    const bool may_pass = code == Errc::unavailable || (options.resumes && code == Errc::internal);
    if (!may_pass) co_return lease;
    if (world_.clock.now() > until) co_return lease;
    if (options.patience && world_.clock.now() - since >= *options.patience) co_return lease;
    CO_TRY_VOID(co_await world_.clock.sleep_for(kReturnInterval, call));
  }
}

// What a refused or failed request tells of who was asked.
SentOutcome::Result ClusterScheduler::outcome_of(const Error& error, bool own_node) {
  if (error.code == Errc::internal || error.code == Errc::corrupt) {
    return SentOutcome::Result::runner_failed;
  }
  if (error.code != Errc::unavailable) return SentOutcome::Result::cancelled;
  return own_node ? SentOutcome::Result::runner_failed : SentOutcome::Result::node_failed;
}

// Else a node is chosen that has to copy what another one could have loaded at once.
io::Task<Result<void>> ClusterScheduler::wait_for_word_of_files(
    const PlacementRequest& request, std::optional<io::Duration> patience, io::TimePoint since,
    io::Call call) {
  const ClusterIndex& known = chooser_->cluster();
  const auto drains_with_it = [&](NodeNumber number) {
    const cluster::NodeInfo& node = known.node(number);
    return node.state == cluster::NodeState::draining && node.has_blob(request.weights);
  };
  const auto is_unknown = [&] {
    return !request.files.empty() && known.with_blob(request.weights).empty() &&
           known.with_runner(request.key()).empty() &&
           std::ranges::none_of(known.all(), drains_with_it);
  };
  io::Duration most = kFilesWordMax;
  if (patience) most = std::min(most, *patience / 2);
  while (is_unknown() && world_.clock.now() - since < most) {
    chooser_->observe(nodes_->view());
    if (!is_unknown()) break;
    CO_TRY_VOID(co_await world_.clock.sleep_for(kReturnInterval / 2, call));
  }
  co_return Result<void>{};
}

io::Task<Result<std::unique_ptr<Lease>>> ClusterScheduler::acquire_on_any(
    const Target& target, const AcquireOptions& options, io::TimePoint since, io::Call call) {
  PlacementRequest request = placement_request(target, options);
  CO_TRY_VOID(co_await wait_for_word_of_files(request, options.patience, since, call));
  auto lease = co_await ask_nodes(request, target, options, since, call);
  if (lease || !is_worth_another(lease.error())) co_return lease;
  // Also where a node said that it is too large for it: a split one that was there a moment ago.
  if (split_planner_) {
    auto split = co_await acquire_split(target, options, call);
    if (split || split.error().code != Errc::not_found) lease = std::move(split);
  }
  // Where others are only busy, who drains is left alone; where none is left, a node that is to
  // take nothing new is better than a refusal.
  if (lease || options.moves || lease.error().code == Errc::overloaded) co_return lease;
  request.may_disturb = true;
  chooser_->observe(nodes_->view());
  if (!chooser_->decide(request, world_.clock.now()).best()) co_return lease;
  co_return co_await ask_nodes(std::move(request), target, options, since, std::move(call));
}

io::Task<Result<std::unique_ptr<Lease>>> ClusterScheduler::ask_nodes(PlacementRequest request,
                                                                     const Target& target,
                                                                     const AcquireOptions& options,
                                                                     io::TimePoint since,
                                                                     io::Call call) {
  Error last{Errc::unavailable, fmt::format("no node that can be reached can run {}", target.name)};
  bool may_evict = false, crowded = false;
  for (size_t tried = 0; tried < kNodesTriedMax; tried++) {
    // Anew each time: what was asked of a node may have taken long.
    chooser_->observe(nodes_->view());
    const io::TimePoint now = world_.clock.now();
    const PlacementDecision decision = chooser_->decide(request, now);
    remember(options.id, decision.to_json());
    const NodeCandidate* best = decision.best();
    if (!best && !crowded) break;
    if (!best) {
      // Everywhere other models were faster: then one of them has to go.
      request.excluded.clear();
      crowded = false;
      may_evict = true;
      continue;
    }
    SentRequest sent = chooser_->begin(request, *best, now);
    const std::string node = best->name;
    AcquireOptions asked = options;
    asked.may_evict = may_evict || best->loaded || !best->evictions.empty();
    if (asked.patience) {
      asked.patience = std::max(io::Duration{}, *asked.patience - (now - since));
    }
    asked.prompt_tokens = std::llround(request.prompt_tokens - best->sure_tokens);
    auto lease = co_await acquire_on(node, target, asked, call);
    if (lease) {
      keeper_.note_request(target, request.load_bytes, (*lease)->queue_time(), decision.lost_hit);
      co_return std::make_unique<RoutedLease>(world_.clock, alive_, chooser_, std::move(sent),
                                              std::move(*lease), options.resumes);
    }
    Error refused = std::move(lease).error();
    const SentOutcome outcome{.result = outcome_of(refused, node == self_)};
    chooser_->end(std::move(sent), outcome, world_.clock.now());
    if (!is_worth_another(refused)) co_return fail(std::move(refused));
    if (refused.code == Errc::not_found) keeper_.stage(target);
    crowded = crowded || (!asked.may_evict && refused.code == Errc::overloaded);
    log_info("asking another node", field("id", options.id), field("node", node),
             field("model", target.name), field("error", refused));
    // That a node lacks the files says nothing of those that have them and are away just now.
    if (refused.code != Errc::not_found) last = std::move(refused);
    if (options.patience && world_.clock.now() - since >= *options.patience) break;
    passed_on.add();
    request.excluded.push_back(node);
  }
  co_return fail(std::move(last));
}

std::optional<NodeCandidate> ClusterScheduler::candidate(const std::string& node) const {
  const auto number = chooser_->cluster().find(node);
  if (!number) return std::nullopt;
  NodeCandidate known;
  known.name = node;
  known.node = *number;
  return known;
}

std::string ClusterScheduler::standby_for(const Target& target, std::string_view busy,
                                          uint64_t answer) {
  const Digest key = target.key();
  std::string best;
  uint64_t weight = 0;
  const cluster::View view = nodes_->view();
  for (const cluster::NodeInfo& node : view.nodes()) {
    if (node.name == busy || node.state != cluster::NodeState::ready) continue;
    const bool has_room = std::ranges::any_of(node.runners, [&](const auto& runner) {
      return runner.key == key && !runner.loading && !runner.stopping && runner.part_of.empty() &&
             runner.queued == 0 && runner.running < runner.slots;
    });
    if (!has_room || (!best.empty() && rendezvous(answer, node.name) <= weight)) continue;
    best = node.name;
    weight = rendezvous(answer, node.name);
  }
  return best;
}

io::Task<Result<void>> ClusterScheduler::read_ahead(Target target, AcquireOptions options,
                                                    engine::CompletionRequest request,
                                                    std::string busy, io::Call call) {
  if (!wants_read_ahead()) co_return fail(Errc::unsupported, "no standby runners are wanted");
  if (busy.empty()) busy = self_;
  const uint64_t answer = std::hash<std::string>()(options.id);
  const std::string node = standby_for(target, busy, answer);
  if (node.empty()) co_return fail(Errc::not_found, "no standby runner has room");
  chooser_->observe(nodes_->view());
  const auto chosen = candidate(node);
  if (!chosen) co_return fail(Errc::not_found, "node {} has left", node);
  options.priority = Priority::batch;
  options.keep_alive = {};  // What its client says of that is not said of a standby.
  options.may_evict = false;
  options.patience = kReadAheadPatience;
  const io::TimePoint now = world_.clock.now();
  SentRequest sent = chooser_->begin(placement_request(target, options), *chosen, now);
  auto lease = co_await acquire_on(node, target, options, call);
  if (!lease) {
    chooser_->end(std::move(sent), {.result = SentOutcome::Result::cancelled}, world_.clock.now());
    co_return fail(std::move(lease).error());
  }
  // What was said so far is in the prompt, and not in the outline, as when an answer goes on.
  RoutedLease routed(world_.clock, alive_, chooser_, std::move(sent), std::move(*lease), true);
  CO_TRY(const auto completion, co_await routed.engine().complete(std::move(request), call));
  while (true) {
    CO_TRY(const engine::Piece piece, co_await completion->next());
    if (!piece.done) continue;
    routed.note_end({.prompt_tokens = piece.prompt_tokens,
                     .cached_tokens = piece.cached_tokens,
                     .prompt_time = piece.prompt_time});
    read_ahead_tokens.add(static_cast<uint64_t>(piece.prompt_tokens - piece.cached_tokens));
    co_return Result<void>{};
  }
}

bool ClusterScheduler::leaving(std::string_view node) const {
  const cluster::View view = nodes_->view();
  const cluster::NodeInfo* info = view.find(node);
  return info && info->state == cluster::NodeState::draining;
}

io::Task<Result<std::unique_ptr<Lease>>> ClusterScheduler::acquire_split(
    const Target& target, const AcquireOptions& options, io::Call call) {
  auto choice = split_planner_->choose(target, !options.moves);
  if (!choice && choice.error().code == Errc::unsupported) co_return fail(Errc::not_found, "");
  if (!choice) co_return fail(std::move(choice).error());
  const auto main = candidate(choice->main);
  if (!main) co_return fail(Errc::unavailable, "node {} has left", choice->main);
  log_info("splitting a model", field("id", options.id), field("model", target.name),
           field("node", main->name), field("parts", choice->plan.parts.size()));
  remember(options.id, fmt::format(R"({{"split":{}}})", choice->to_json()));
  SentRequest sent = chooser_->begin(placement_request(target, options), *main, world_.clock.now());
  auto lease = co_await acquire_on_main(main->name, target, options, std::move(call));
  if (lease) {
    co_return std::make_unique<RoutedLease>(world_.clock, alive_, chooser_, std::move(sent),
                                            std::move(*lease), options.resumes);
  }
  Error error = std::move(lease).error();
  const SentOutcome outcome{.result = outcome_of(error, main->name == self_)};
  chooser_->end(std::move(sent), outcome, world_.clock.now());
  // A part may have been lost meanwhile: the next plan does without it.
  if (error.code == Errc::internal) error.code = Errc::unavailable;
  co_return fail(std::move(error));
}

io::Task<Result<std::unique_ptr<Lease>>> ClusterScheduler::acquire_on_main(
    const std::string& main, Target target, const AcquireOptions& options, io::Call call) {
  if (main == self_) {
    CO_TRY(target.split, co_await split_planner_->plan_here(target, call));
  } else {
    target.wants_split = true;
  }
  co_return co_await acquire_on(main, target, options, std::move(call));
}

void ClusterScheduler::remember(const std::string& id, std::string decision) {
  log_debug("request placed", field("id", id), field("decision", decision));
  decisions_.put(id, std::move(decision));
}

std::string ClusterScheduler::explain(const std::string& request_id) const {
  return decisions_.find(request_id);
}

std::shared_ptr<PlacementDecision> ClusterScheduler::dry_run(const Target& target,
                                                             const AcquireOptions& options) {
  chooser_->observe(nodes_->view());
  const io::TimePoint now = world_.clock.now();
  PlacementRequest request = placement_request(target, options);
  auto decision = std::make_shared<PlacementDecision>(chooser_->decide(request, now));
  if (decision->best()) return decision;
  if (split_planner_) {
    const auto split = split_planner_->choose(target);
    if (split) {
      decision->split = split->to_json();
      return decision;
    }
    decision->split_refused = split.error().what;
  }
  request.may_disturb = true;
  PlacementDecision disturbing = chooser_->decide(request, now);
  if (disturbing.best()) *decision = std::move(disturbing);
  return decision;
}

bool ClusterScheduler::unload(const Digest& key) {
  bool was_loaded = local_.unload(key);
  const cluster::View view = nodes_->view();
  for (const cluster::NodeInfo* node : view.nodes_running(key)) {
    if (node->name != self_ && nodes_->unload(node->name, key)) was_loaded = true;
  }
  return was_loaded;
}

std::vector<LoadedModel> ClusterScheduler::loaded() const {
  std::vector<LoadedModel> all = local_.loaded();
  for (LoadedModel& model : all) model.node = self_;
  const cluster::View view = nodes_->view();
  for (const cluster::NodeInfo& node : view.nodes()) {
    if (node.name == self_ || !node.is_reachable()) continue;
    for (const cluster::RunnerInfo& runner : node.runners) {
      LoadedModel model;
      model.name = runner.model;
      model.node = node.name;
      model.key = runner.key;
      model.manifest = runner.manifest;
      model.stopping = runner.stopping;
      if (runner.expires_ms) {
        const io::Duration since = world_.clock.now() - node.reported;
        model.expires_at =
            world_.clock.wall_now() + std::chrono::milliseconds(*runner.expires_ms) - since;
      }
      model.size_bytes = runner.size_bytes;
      model.graphics_bytes = runner.graphics_bytes;
      model.on_card = runner.on_card;
      model.context_length = runner.context_length;
      model.running = runner.running;
      model.queued = runner.queued;
      model.slots = runner.slots;
      model.loading = runner.loading;
      model.load_progress = runner.loading ? runner.load_progress : 1;
      model.pinned = runner.pinned;
      model.part_of = runner.part_of;
      for (const auto& part : runner.parts) model.parts.push_back({part.node, part.bytes});
      all.push_back(std::move(model));
    }
  }
  return all;
}

io::Task<void> ClusterScheduler::stop() {
  alive_.reset();
  co_await keeper_.stop();
  co_await local_.stop();  // Gives back its models' parts.
  co_await nodes_->stop();
}

}  // namespace om::scheduler
