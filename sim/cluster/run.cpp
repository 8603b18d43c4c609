#include "sim/cluster/run.h"

#include "base/check.h"
#include "base/log.h"
#include "cluster/metrics.h"
#include "generation/metrics.h"
#include "scheduler/metrics.h"

namespace om::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr size_t kTokensMin = 50, kAnswersMin = 3;  // Less, and the run proves nothing.
constexpr int kRoundsMax = 30;                      // Of all clients.
constexpr auto kLookInterval = milliseconds(500);
constexpr auto kRestartPause = seconds(2);  // Of the nodes' supervisor.
constexpr auto kReadyMax = seconds(60);
// Longer than a model is left alone whose load failed (backoff_max of its node).
constexpr auto kHealTime = seconds(70);
constexpr auto kSettleTime = seconds(20);  // Longer than a lease nobody uses is kept.
constexpr auto kStopMax = minutes(2);
constexpr int kCopiesMax = 100;

// What nodes do only where something seems to be lost; of all that ran in this process.
uint64_t disturbances() {
  return generation::resumed.value() + generation::retried.value() + cluster::nodes_lost.value();
}

// The cluster could not begin it: it will not be done later, either.
bool changed_nothing(const std::string& error) {
  return error.contains("Connection refused") || error.contains("no majority of the");
}

}  // namespace

ClusterRun::ClusterRun(uint64_t seed, PlantedBug bug)
    : scenario_(draw_cluster(seed)),
      sim_(seed),
      random_(sim_.random().next()),
      facts_(sim_),
      history_(facts_),
      voters_(sim_, facts_, history_),
      operator_(sim_.world()),
      copies_(parts()) {
  copy_.is_there = false;
  sim_.network().faults = scenario_.base.network;
  voters_.bug = bug;
  for (int i = 0; i < scenario_.nodes; i++) {
    nodes_.push_back(std::make_unique<ClusterNode>(sim_, voters_, scenario_.base, i));
    nodes_.back()->skew = scenario_.skews[static_cast<size_t>(i)];
  }
  if (!scenario_.foreign.servers.empty()) foreign_ = std::make_unique<ForeignServers>(parts());
  if (!scenario_.pulls.sizes.empty()) pulls_ = std::make_unique<Pulls>(parts());
}

ClusterRun::~ClusterRun() = default;

RunParts ClusterRun::parts() {
  RunParts parts{sim_, scenario_, nodes_, facts_, seen_, report_, {}, {}, {}, {}};
  parts.complain = [this](std::string text) { complain(std::move(text)); };
  parts.ask = [this](const ClusterNode& node, std::string method, std::string target,
                     std::string body) {
    return ask(node, std::move(method), std::move(target), std::move(body));
  };
  parts.ask_until_done = [this](size_t node, std::string method, std::string target,
                                std::string body, std::string_view what) {
    return ask_until_done(node, std::move(method), std::move(target), std::move(body), what);
  };
  parts.wait_for = [this](std::function<bool()> condition, io::Duration at_most,
                          std::string_view what) {
    return wait_for(std::move(condition), at_most, what);
  };
  return parts;
}

std::string ClusterRun::now() {
  const auto since = sim_.world().clock.now().time_since_epoch() - std::chrono::hours(1);
  return fmt::format("{:9.4f} {:3}", std::chrono::duration<double>(since).count(), sim_.running());
}

void ClusterRun::complain(std::string text) {
  log_error("complaint", field("text", text));
  report_.complaints.push_back(std::move(text));
}

// What still runs would be destroyed under its feet.
void ClusterRun::end_at_once(const std::string& who) {
  complain(who + " does not end");
  fmt::print(stderr, "{}\n", report_.complaints.back());
  std::fflush(nullptr);
  std::_Exit(3);
}

PathReport ClusterRun::run() {
  const uint64_t resumed = generation::resumed.value(), moved = generation::moved.value();
  const uint64_t read_ahead = scheduler::read_ahead_tokens.value();
  sim_.run(drive(), std::chrono::hours(10));
  report_.counts["answers resumed"] += static_cast<int>(generation::resumed.value() - resumed);
  report_.counts["answers moved"] += static_cast<int>(generation::moved.value() - moved);
  report_.counts["prompt tokens read ahead"] +=
      static_cast<int>(scheduler::read_ahead_tokens.value() - read_ahead);
  for (const auto& node : nodes_) {
    if (!node->has_all_ended()) end_at_once(node->name());
  }
  if (foreign_ && !foreign_->has_all_ended()) end_at_once("a backend");
  for (const auto& node : nodes_) {
    if (!node->is_idle()) complain("something of " + node->name() + " outlived it");
  }
  nodes_.clear();
  facts_.end_all_leases();
  if (!sim_.is_idle()) complain("a client or a backend did not end");
  if (sim_.network().streams_open() != 0) {
    complain(fmt::format("{} connections are still open", sim_.network().streams_open()));
  }
  judge_all();
  if (foreign_) foreign_->judge_all();
  judge_history();
  report_.trace = sim_.network().trace();
  return std::move(report_);
}

io::Task<void> ClusterRun::drive() {
  co_await form();
  if (report_.complaints.empty()) {
    co_await trouble();
    co_await heal();
    co_await liveness();
  }
  co_await take_down();
}

io::Task<void> ClusterRun::form() {
  const MetadataFaults later = scenario_.facts;
  const double resets = std::exchange(sim_.network().faults.reset_chance, 0);
  for (size_t i = 0; i < nodes_.size(); i++) {
    const auto put = co_await nodes_[i]->put_models(scenario_.models[i]);
    CHECK(put.has_value());
    nodes_[i]->start();
  }
  const auto all_ready = [this] {
    return std::ranges::all_of(nodes_, [](const auto& node) { return node->node() != nullptr; });
  };
  co_await wait_for(all_ready, kReadyMax, "the nodes start");
  const auto begun = co_await ask(*nodes_[0], "POST", "/api/v1/cluster/init", "{}");
  if (!begun) complain("init: " + begun.error().what);
  for (size_t i = 1; i < nodes_.size() && report_.complaints.empty(); i++) co_await join(i);
  co_await wait_converged("at first");
  if (foreign_ && report_.complaints.empty()) {
    co_await foreign_->add_all();
    co_await wait_converged("with backends");
    co_await foreign_->make_known();
    co_await wait_converged("with known backends");
  }
  facts_.faults = later;
  sim_.network().faults.reset_chance = resets;
  for (const int bad : scenario_.bad_runners) nodes_[static_cast<size_t>(bad)]->runners_fail = true;
}

io::Task<void> ClusterRun::trouble() {
  log_info("the trouble begins");
  const uint64_t disturbed = disturbances();
  voters_.load = scenario_.facts_load || voters_.bug != PlantedBug::none;
  const io::TimePoint end = sim_.clock().now() + scenario_.trouble_lasts;
  io::TaskGroup around(sim_.world().executor, sim_.clock());
  around.spawn(watch_bounds(around.token()));
  around.spawn(look_after(around.token()));
  if (scenario_.base.admin) around.spawn(change_models(around.token()));
  io::TaskGroup suffering(sim_.world().executor, sim_.clock());
  for (int i = 0; i < scenario_.nodes; i++) {
    std::vector<Fault> faults;
    for (const Fault& fault : scenario_.faults) {
      if (fault.node == i) faults.push_back(fault);
    }
    if (!faults.empty()) suffering.spawn(suffer(std::move(faults)));
  }
  if (pulls_) suffering.spawn(pulls_->trouble());
  if (foreign_) suffering.spawn(foreign_->trouble());
  std::vector<io::Endpoint> gateways;
  for (const auto& node : nodes_) gateways.push_back(node->api());
  for (int round = 0; round < kRoundsMax; round++) {
    std::vector<std::unique_ptr<SimClient>> clients;
    io::TaskGroup asking(sim_.world().executor, sim_.clock());
    for (int i = 0; i < scenario_.base.clients; i++) {
      const int number = round * scenario_.base.clients + i;
      clients.push_back(std::make_unique<SimClient>(sim_, scenario_.base, number, seen_, gateways));
      clients.back()->others = scenario_.others();
      asking.spawn(clients.back()->run());
    }
    co_await asking.wait();
    if (had_traffic() && sim_.clock().now() >= end) break;
  }
  co_await suffering.wait();
  co_await around.stop();
  if (!had_traffic()) complain("void: too little traffic to prove anything");
  if (!scenario_.is_calm()) co_return;
  report_.counts["calm runs"]++;
  if (const uint64_t needless = disturbances() - disturbed; needless > 0) {
    complain(fmt::format("nothing was broken, and {} times somebody took it for broken", needless));
  }
}

bool ClusterRun::had_traffic() const {
  size_t tokens = 0, answers = 0;
  for (const Exchange& exchange : seen_) {
    tokens += exchange.text.size();
    if (exchange.is_done()) answers++;
  }
  return tokens >= kTokensMin && answers >= kAnswersMin;
}

io::Task<void> ClusterRun::heal() {
  log_info("everything is healed");
  voters_.load = false;
  sim_.network().faults.reset_chance = 0;
  facts_.faults = {};
  for (const auto& node : nodes_) {
    node->runners_fail = false;
    while (node->kill_runner(0)) {
    }
  }
  io::TaskGroup around(sim_.world().executor, sim_.clock());
  around.spawn(look_after(around.token()));
  if (foreign_) co_await foreign_->settle();
  co_await wait_converged("after healing");
  judge_changes();
  co_await mend_rot();
  co_await sleep(kHealTime);
  co_await around.stop();
  co_await unload_split_model();
  co_await come_to_rest("after the last client");
}

// What rotted and nobody asked for is found when the blobs are read again, which happens daily.
io::Task<void> ClusterRun::mend_rot() {
  if (report_.counts[std::string(to_string(FaultKind::bit_rot))] == 0) co_return;
  for (const auto& node : nodes_) {
    if (!node->node() || !node->node()->cluster()) continue;
    auto& scrubber = node->node()->cluster()->distribution().scrubber();
    const auto found = co_await scrubber.pass({});
    if (!found) {
      complain(fmt::format("{} cannot read its blobs: {}", node->name(), found.error().what));
    } else {
      report_.counts["rotten blobs put aside at last"] += static_cast<int>(*found);
    }
  }
}

// Each node must answer a fresh request for each model, exactly.
io::Task<void> ClusterRun::liveness() {
  std::vector<io::Endpoint> gateways;
  for (const auto& node : nodes_) gateways.push_back(node->api());
  SimClient client(sim_, scenario_.base, -1, seen_, gateways);
  std::vector<int> models = scenario_.others();
  for (int model = 0; model < scenario_.base.models; model++) models.push_back(model);
  for (size_t gateway = 0; gateway < nodes_.size(); gateway++) {
    for (const int model : models) {
      co_await client.ask(model, gateway);
      const Exchange& last = seen_.back();
      if (last.is_done()) continue;
      complain(fmt::format("m{} is not answered by {} after healing: status {} {}{}", model,
                           nodes_[gateway]->name(), last.status, last.error, last.broken));
    }
  }
  if (pulls_) co_await pulls_->pull_again();
  co_await copies_.wait();
  if (pulls_) co_await pulls_->ask_all();
  if (foreign_) co_await foreign_->judge_healed(client);
  co_await sleep(kSettleTime);
  history_.expect_told(sim_.clock().now() - kSettleTime);
  co_await unload_split_model();
  co_await come_to_rest("at the end");
  for (const auto& node : nodes_) co_await judge_blobs(*node);
  if (pulls_) co_await pulls_->judge_at_rest();
}

io::Task<void> ClusterRun::take_down() {
  operator_.close_idle();
  for (const auto& node : nodes_) node->stop();
  const auto all_ended = [this] {
    return std::ranges::all_of(nodes_, [](const auto& node) { return node->has_all_ended(); });
  };
  co_await wait_for(all_ended, kStopMax, "the nodes stop");
  if (pulls_) co_await pulls_->stop();
  if (!foreign_) co_return;
  foreign_->stop();
  co_await wait_for([this] { return foreign_->has_all_ended(); }, kStopMax, "backends stop");
}

io::Task<void> ClusterRun::look_after(io::CancelToken stop) {
  while (true) {
    const auto slept = co_await sim_.clock().sleep_for(kRestartPause, {io::kNever, stop});
    if (!slept) co_return;
    for (const auto& node : nodes_) node->look_after();
  }
}

io::Task<void> ClusterRun::watch_bounds(io::CancelToken stop) {
  while (true) {
    copies_.look();
    for (const auto& node : nodes_) {
      if (!node->node()) continue;
      const auto& scheduler = node->node()->local_scheduler();
      const cluster::NodeInfo info = scheduler.node_info(node->name());
      if (info.memory_used > info.memory_total) {
        complain(fmt::format("{} uses {} bytes of {}", node->name(), info.memory_used,
                             info.memory_total));
      }
      if (scheduler.waiting() > scenario_.base.queue_max) {
        complain(fmt::format("{} wait at {}", scheduler.waiting(), node->name()));
      }
      for (const auto& runner : info.runners) {
        if (runner.running <= runner.slots || runner.loading) continue;
        complain(
            fmt::format("{} run in {} slots of {}", runner.running, runner.slots, node->name()));
      }
    }
    const auto slept = co_await sim_.clock().sleep_for(kLookInterval, {io::kNever, stop});
    if (!slept) co_return;
  }
}

// Somebody copies and deletes a model meanwhile, through any node; some of it may be refused.
io::Task<void> ClusterRun::change_models(io::CancelToken stop) {
  for (int i = 0; i < kCopiesMax; i++) {
    const auto pause = milliseconds(random_.between(1, 3'000));
    const auto slept = co_await sim_.clock().sleep_for(pause, io::Call{io::kNever, stop});
    if (!slept) co_return;
    ClusterNode& node = *nodes_[random_.below(nodes_.size())];
    const bool copies = random_.chance(0.5);
    std::string body = copies ? R"({"source":"m0","destination":"copy"})" : R"({"model":"copy"})";
    // On a connection of its own: a deletion that is sent twice on kept ones finds nothing then.
    operator_.close_idle();
    bool alone = node.is_alone();
    const auto done = co_await ask(node, copies ? "POST" : "DELETE",
                                   copies ? "/api/copy" : "/api/delete", std::move(body));
    report_.counts[done ? "changes" : "changes refused"]++;
    // Who finds no such model has changed nothing.
    if (!done && done.error().what.contains("status 404")) continue;
    if (!done && changed_nothing(done.error().what)) continue;
    alone |= node.is_alone();
    if (done && !alone) {
      copy_.is_there = copies;
    } else {  // On its own, it changes what it brings along when it joins.
      (copies ? copy_.may_come : copy_.may_go) = true;
    }
  }
}

}  // namespace om::sim
