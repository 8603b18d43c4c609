// What must hold for the answers that clients saw, and at rest.
#include "cluster/catalogue.h"
#include "sim/cluster/run.h"

namespace om::sim {
namespace {

// News of a change arrives within, and who was asked before it is not to blame.
constexpr auto kNewsMax = std::chrono::seconds(5);
// After its own faults a node needs so long to be as good as any other.
constexpr auto kRecoveryMax = std::chrono::seconds(10);
constexpr auto kQuickLoad = std::chrono::milliseconds(500);
constexpr auto kSilenceMax = std::chrono::seconds(20);
constexpr auto kRestMax = std::chrono::minutes(1);
constexpr auto kRestLook = std::chrono::milliseconds(500);
constexpr uint64_t kBlobBytesMax = 64 << 20;

// In the midst of an answer if a backend began it.
bool is_refusal(const Exchange& exchange) {
  const bool begun = exchange.status == 200 && exchange.served_by.starts_with("backend/");
  return (exchange.status == 503 || begun) && exchange.error.contains("server busy");
}

// Three runners died or spoke nonsense under one request, or two while it was alone there: who has
// runners of that kind is told so.
bool is_told_of_runners(const Exchange& exchange) {
  return exchange.error.contains("ended the model's runner twice") ||
         exchange.error.contains("model runner has unexpectedly stopped") ||
         exchange.error.contains("the runner sent");
}

}  // namespace

bool is_catalogued(const SharedMetadata& facts, std::string_view model) {
  const auto name = model::Name::parse(model);
  const std::string key = std::string(cluster::kModelsPrefix) + cluster::catalogue_key(*name);
  const metadata::Snapshot all = facts.all();
  return std::ranges::any_of(all.entries, [&](const auto& entry) { return entry.key == key; });
}

bool ClusterRun::suffered(const Exchange& exchange, std::initializer_list<FaultKind> kinds) const {
  return std::ranges::any_of(sufferings_, [&](const Suffering& suffering) {
    const bool counts =
        kinds.size() == 0 || std::ranges::find(kinds, suffering.kind) != kinds.end();
    return counts && suffering.node == exchange.gateway && suffering.since <= exchange.ended &&
           (suffering.until == io::kNever || exchange.begun <= suffering.until + kRecoveryMax);
  });
}

// Then it must answer whatever happens to others: an anchor has each model.
bool ClusterRun::gateway_is_sound(const Exchange& exchange) const {
  return scenario_.anchors_hold() && !suffered(exchange, {});
}

void ClusterRun::judge_one(const Exchange& exchange) {
  Circumstances circumstances;
  circumstances.resets = !gateway_is_sound(exchange);
  // By itself it has only what is on its disk.
  circumstances.may_lack_models =
      suffered(exchange, {FaultKind::wipe, FaultKind::leave, FaultKind::remove}) ||
      (foreign_ && foreign_->may_lack(exchange));
  circumstances.may_not_count_prompt = foreign_ && foreign_->may_not_count(exchange);
  circumstances.calm = scenario_.is_calm();
  for (const std::string& text : judge(exchange, circumstances)) {
    complain(fmt::format("{} (m{} by n{}, at {})", text, exchange.model, exchange.gateway,
                         exchange.served_by));
  }
  judge_failure(exchange);
  judge_silence(exchange);
  judge_absences(exchange);
}

bool ClusterRun::is_excused(const Exchange& exchange) const {
  // Fewer ask than may wait anywhere.
  const bool may_be_full = scenario_.base.queue_max < static_cast<size_t>(scenario_.base.clients);
  // A healthy node alone cannot hold it, and others suffer.
  const bool lacks_parts =
      exchange.model == scenario_.base.split_model && !scenario_.faults.empty();
  return (may_be_full && is_refusal(exchange)) || lacks_parts ||
         (foreign_ && foreign_->excuses(exchange)) ||
         (scenario_.has_bad_runners() && is_told_of_runners(exchange));
}

void ClusterRun::judge_failure(const Exchange& exchange) {
  if (!gateway_is_sound(exchange)) return;
  report_.counts["answers that had to come"]++;
  const bool failed = !exchange.error.empty() || (!exchange.broken.empty() && !exchange.left);
  if (!failed || is_excused(exchange)) return;
  complain(
      fmt::format("client {} request {}: m{} by n{} failed while a healthy node had it: {} {}{}",
                  exchange.client, exchange.number, exchange.model, exchange.gateway,
                  exchange.status, exchange.error, exchange.broken));
}

// Where nothing is slow, whoever serves an answer is missed and replaced in time.
void ClusterRun::judge_silence(const Exchange& exchange) {
  const bool has_slow_node = std::ranges::any_of(
      scenario_.faults, [](const Fault& fault) { return fault.kind == FaultKind::slow; });
  const bool waits_long = scenario_.base.load_time_max > kQuickLoad || scenario_.has_bad_runners();
  if (!gateway_is_sound(exchange) || has_slow_node || waits_long || foreign_ ||
      exchange.model == scenario_.base.split_model) {
    return;
  }
  report_.counts["silences judged"]++;
  if (exchange.silence_max <= kSilenceMax) return;
  complain(fmt::format("client {} request {}: m{} by n{} was silent for {:.1f} s", exchange.client,
                       exchange.number, exchange.model, exchange.gateway,
                       std::chrono::duration<double>(exchange.silence_max).count()));
}

void ClusterRun::judge_absences(const Exchange& exchange) {
  const std::string gateway = fmt::format("n{}", exchange.gateway);
  for (const Absence& absence : absences_) {
    if (exchange.begun < absence.since + kNewsMax || exchange.ended > absence.until) continue;
    report_.counts["absences judged"]++;
    if (absence.node != exchange.served_by || absence.node == gateway) continue;
    // Where nobody else can, one that is drained answers, too.
    const bool may_be_last = !gateway_is_sound(exchange) || scenario_.has_bad_runners() ||
                             exchange.model == scenario_.base.split_model;
    if (absence.why == "was drained" && may_be_last) continue;
    complain(fmt::format("client {} request {}: {} answered although it {}", exchange.client,
                         exchange.number, absence.node, absence.why));
  }
}

void ClusterRun::judge_all() {
  for (const Exchange& exchange : seen_) {
    judge_one(exchange);
    report_.counts["tokens"] += static_cast<int>(exchange.text.size());
    if (exchange.is_done()) report_.counts["answers"]++;
    if (exchange.model == scenario_.base.split_model) {
      report_.counts[exchange.is_done() ? "split model: answers" : "split model: others"]++;
    }
    if (exchange.left) report_.counts["left"]++;
    if (!exchange.broken.empty()) report_.counts["broken"]++;
    if (exchange.status == 503) report_.counts["refused"]++;
    if (!exchange.error.empty()) report_.counts["errors"]++;
  }
}

std::vector<std::string> ClusterRun::held_by(ClusterNode& node) {
  std::vector<std::string> held;
  if (!node.node()) return held;
  app::Node& app = *node.node();
  const std::string& name = node.name();
  const cluster::NodeInfo info = app.local_scheduler().node_info(name);
  if (app.local_scheduler().waiting() != 0) held.push_back("somebody waits at " + name);
  uint64_t charged = 0;
  for (const auto& runner : info.runners) {
    charged += runner.size_bytes;
    if (runner.running != 0) held.push_back(fmt::format("{} is leased at {}", runner.model, name));
  }
  if (charged != info.memory_used) {
    held.push_back(
        fmt::format("{} charges {} bytes for runners of {}", name, info.memory_used, charged));
  }
  if (app.server().requests_running() != 0) held.push_back("requests run at " + name);
  if (app.cluster() && app.cluster()->leases_held() != 0) {
    held.push_back(fmt::format("{} has given {} leases", name, app.cluster()->leases_held()));
  }
  for (const auto& backend : app.backends().list()) {
    if (backend->running() != 0) held.push_back(name + " asks " + backend->spec().name);
  }
  return held;
}

// What is shown as complete hashes to its name, and what is told to others is there.
std::vector<std::string> ClusterRun::wrong_blobs(ClusterNode& node) {
  std::vector<std::string> wrong;
  if (!node.node() || !node.node()->cluster()) return wrong;
  const store::Store& store = node.node()->cluster()->store();
  const io::Path folder = io::parent(store.blob_path(Digest::of("")));
  const auto names = node.disk().list(folder);
  if (!names) return {fmt::format("{}: {}", node.name(), names.error().what)};
  std::set<std::string> whole;
  for (const std::string& name : *names) {
    const auto digest = Digest::parse(name);
    if (!digest) continue;
    const auto bytes = node.disk().read_file(io::join(folder, name), kBlobBytesMax);
    const bool is_whole = bytes && Digest::of(*bytes) == *digest;
    if (!is_whole) wrong.push_back(fmt::format("{} of {} is not what it says", name, node.name()));
    if (is_whole) whole.insert(digest->hex());
    report_.counts["blobs"]++;
  }
  const cluster::View view = node.node()->cluster()->reports().view();
  const cluster::NodeInfo* self = view.find(node.name());
  if (!self || !self->blobs) return {node.name() + " tells nothing of its blobs"};
  for (const Digest& digest : *self->blobs) {
    if (whole.contains(digest.hex())) continue;
    wrong.push_back(fmt::format("{} tells of {}, which it has not", node.name(), digest.str()));
  }
  return wrong;
}

// A surplus copy may have gone a moment ago.
io::Task<void> ClusterRun::judge_blobs(ClusterNode& node) {
  std::vector<std::string> wrong = wrong_blobs(node);
  if (!wrong.empty()) {
    co_await sleep(kNewsMax);
    wrong = wrong_blobs(node);
  }
  for (std::string& text : wrong) complain(std::move(text));
}

// An acknowledged write is present at the end.
void ClusterRun::judge_changes() {
  const auto expected = copy_.expected();
  if (!scenario_.base.admin || !expected) return;
  report_.counts["changes judged"]++;
  const bool is_there = is_catalogued(facts_, "copy");
  if (is_there == *expected) return;
  complain(fmt::format("a model that was {} is {}", *expected ? "copied" : "deleted",
                       is_there ? "there" : "gone"));
}

// What nodes asked of the facts, and were told, is one history.
void ClusterRun::judge_history() {
  history_.read_all();
  FactsVerdict verdict = judge_facts(history_);
  for (const std::string& text : history_.complaints()) complain(text);
  for (std::string& text : verdict.complaints) complain(std::move(text));
  report_.counts["facts: calls"] += static_cast<int>(verdict.operations);
  report_.counts["facts: calls without an answer"] += static_cast<int>(verdict.open);
  report_.counts["facts: changes told"] += static_cast<int>(history_.events_told());
  report_.counts["facts: parts judged"] += static_cast<int>(verdict.parts);
  report_.counts["facts: parts void"] += static_cast<int>(verdict.void_);
}

// Of its own accord a cluster still loads one more runner, now and then.
io::Task<void> ClusterRun::come_to_rest(std::string_view when) {
  const io::TimePoint end = sim_.clock().now() + kRestMax;
  std::vector<std::string> held;
  while (true) {
    held.clear();
    for (const auto& node : nodes_) std::ranges::move(held_by(*node), std::back_inserter(held));
    if (foreign_) std::ranges::move(foreign_->held(), std::back_inserter(held));
    if (held.empty() || sim_.clock().now() >= end) break;
    co_await sleep(kRestLook);
  }
  for (const std::string& text : held) complain(fmt::format("{}: {}", when, text));
}

}  // namespace om::sim
