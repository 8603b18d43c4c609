#include "sim/path_run_for_test.h"

#include "base/check.h"
#include "sim/client_for_test.h"
#include "sim/node_for_test.h"

namespace om::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

// Less than this, and the run proves nothing.
constexpr size_t kTokensMin = 50, kAnswersMin = 3;
constexpr auto kSettleTime = minutes(2);  // Longer than a slow client is kept, and any backoff.
constexpr auto kLookInterval = milliseconds(500);
constexpr int kRoundsMax = 12;  // Of all clients, until there was enough traffic.
// Between rounds, longer than a failed load is remembered: without it clients that do not pause
// spend all rounds on one failure.
constexpr auto kRoundPause = minutes(2);
constexpr int kCopiesMax = 100;  // Of models, meanwhile.

std::vector<io::Endpoint> gateways() {
  return {io::Endpoint::tcp(std::string(SimNode::kHost), SimNode::kPort)};
}

class PathRun {
 public:
  explicit PathRun(uint64_t seed)
      : scenario_(draw_scenario(seed)), sim_(seed), random_(sim_.random().next()) {}
  PathReport run();

 private:
  io::Task<void> drive();
  io::Task<void> trouble();
  io::Task<void> watch_bounds(io::CancelToken stop);
  io::Task<void> kill_runners(io::CancelToken stop);
  io::Task<void> copy_models(io::CancelToken stop);
  io::Task<void> administer(http::Client& client, std::string method, std::string target,
                            std::string body);
  io::Task<void> liveness();
  bool had_traffic() const;
  void judge_all();
  void check_rest(std::string_view when);
  void complain(std::string text) { report_.complaints.push_back(std::move(text)); }

  Scenario scenario_;
  World sim_;
  SimRandom random_;
  std::unique_ptr<SimNode> node_;
  Exchanges seen_;
  PathReport report_;
};

PathReport PathRun::run() {
  sim_.network().faults = scenario_.network;
  node_ = std::make_unique<SimNode>(sim_, scenario_);
  sim_.run(drive(), std::chrono::hours(100));
  if (sim_.processes().running() != 0) complain("a child outlived the node");
  node_.reset();
  if (!sim_.is_idle()) complain("a task or a timer outlived the node");
  if (sim_.network().streams_open() != 0) {
    complain(fmt::format("{} connections are still open", sim_.network().streams_open()));
  }
  judge_all();
  report_.trace = sim_.network().trace();
  return std::move(report_);
}

io::Task<void> PathRun::drive() {
  const auto started = co_await node_->start();
  if (!started) {
    complain("the node did not start: " + started.error().what);
    co_return;
  }
  co_await trouble();
  node_->heal();
  auto slept = co_await sim_.clock().sleep_for(kSettleTime);
  check_rest("after the last client");
  co_await liveness();
  slept = co_await sim_.clock().sleep_for(kSettleTime);
  check_rest("at the end");
  const std::string store = co_await node_->inspect_store();
  if (!store.empty()) complain("the store: " + store);
  co_await node_->stop();
}

// All clients at once, and what goes wrong around them.
io::Task<void> PathRun::trouble() {
  io::TaskGroup around(sim_.world().executor, sim_.clock());
  around.spawn(watch_bounds(around.token()));
  around.spawn(kill_runners(around.token()));
  around.spawn(copy_models(around.token()));
  for (int round = 0; round < kRoundsMax; round++) {
    std::vector<std::unique_ptr<SimClient>> clients;
    io::TaskGroup asking(sim_.world().executor, sim_.clock());
    for (int i = 0; i < scenario_.clients; i++) {
      const int number = round * scenario_.clients + i;
      clients.push_back(std::make_unique<SimClient>(sim_, scenario_, number, seen_, gateways()));
      asking.spawn(clients.back()->run());
    }
    co_await asking.wait();
    if (had_traffic()) break;
    const auto slept = co_await sim_.clock().sleep_for(kRoundPause);
    CHECK(slept.has_value());
  }
  co_await around.stop();
  if (!had_traffic()) complain("void: too little traffic to prove anything");
}

bool PathRun::had_traffic() const {
  size_t tokens = 0, answers = 0;
  for (const Exchange& exchange : seen_) {
    tokens += exchange.text.size();
    if (exchange.is_done()) answers++;
  }
  return tokens >= kTokensMin && answers >= kAnswersMin;
}

io::Task<void> PathRun::watch_bounds(io::CancelToken stop) {
  while (true) {
    const size_t waiting = node_->scheduler().waiting();
    if (waiting > scenario_.queue_max) {
      complain(fmt::format("{} wait where {} may", waiting, scenario_.queue_max));
    }
    for (const auto& model : node_->scheduler().loaded()) {
      if (model.running > model.slots && !model.loading) {
        complain(fmt::format("{} run in {} slots", model.running, model.slots));
      }
    }
    const auto slept = co_await sim_.clock().sleep_for(kLookInterval, io::Call{io::kNever, stop});
    if (!slept) co_return;
  }
}

io::Task<void> PathRun::kill_runners(io::CancelToken stop) {
  while (true) {
    const auto slept =
        co_await sim_.clock().sleep_for(scenario_.kill_interval, io::Call{io::kNever, stop});
    if (!slept) co_return;
    if (random_.chance(scenario_.kill_chance) && node_->kill_runner(random_.next())) {
      report_.counts["killed"]++;
    }
  }
}

io::Task<void> PathRun::copy_models(io::CancelToken stop) {
  http::Client client(sim_.world());
  for (int i = 0; scenario_.admin && i < kCopiesMax; i++) {
    const auto slept = co_await sim_.clock().sleep_for(milliseconds(random_.between(1, 5'000)),
                                                       io::Call{io::kNever, stop});
    if (!slept) break;
    co_await administer(client, "POST", "/api/copy", R"({"source":"m0","destination":"copy"})");
    co_await administer(client, "GET", "/api/tags", "");
    co_await administer(client, "GET", "/api/ps", "");
    co_await administer(client, "DELETE", "/api/delete", R"({"model":"copy"})");
  }
  client.close_idle();
}

io::Task<void> PathRun::administer(http::Client& client, std::string method, std::string target,
                                   std::string body) {
  http::ClientRequest request;
  request.method = std::move(method);
  request.target = target;
  request.endpoint = io::Endpoint::tcp(std::string(SimNode::kHost), SimNode::kPort);
  request.host = "localhost";
  request.body = std::move(body);
  const io::Call call = sim_.clock().call_within(minutes(10));
  auto response = co_await client.send(std::move(request), call);
  std::string trouble;
  if (!response) {
    trouble = response.error().what;
  } else {
    const auto read = co_await (*response)->read_all(1 << 20);
    if (!read) trouble = read.error().what;
    if (read && (*response)->status() != 200) trouble = *read;
  }
  if (trouble.empty()) report_.counts["administered"]++;
  if (!trouble.empty() && scenario_.network.reset_chance == 0) complain(target + ": " + trouble);
}

// Faults are off: each model must answer a fresh request, exactly.
io::Task<void> PathRun::liveness() {
  SimClient client(sim_, scenario_, scenario_.clients, seen_, gateways());
  for (int model = 0; model < scenario_.models; model++) {
    co_await client.ask(model);
    const Exchange& last = seen_.back();
    if (last.is_done()) continue;
    complain(fmt::format("not answered after healing: status {} {}{}", last.status, last.error,
                         last.broken));
  }
}

void PathRun::check_rest(std::string_view when) {
  const auto& scheduler = node_->scheduler();
  if (scheduler.waiting() != 0) complain(fmt::format("{}: somebody waits", when));
  for (const auto& model : scheduler.loaded()) {
    if (model.running != 0) complain(fmt::format("{}: {} is leased", when, model.name));
  }
  if (node_->server().requests_running() != 0) complain(fmt::format("{}: requests run", when));
}

void PathRun::judge_all() {
  Circumstances circumstances{.resets = scenario_.network.reset_chance > 0,
                              .calm = scenario_.is_calm()};
  int tokens = 0, answers = 0;
  for (const Exchange& exchange : seen_) {
    for (std::string& text : judge(exchange, circumstances)) complain(std::move(text));
    tokens += static_cast<int>(exchange.text.size());
    if (exchange.is_done()) answers++;
    if (exchange.left) report_.counts["left"]++;
    if (!exchange.broken.empty()) report_.counts["broken"]++;
    if (exchange.status == 503) report_.counts["refused"]++;
    if (!exchange.error.empty()) report_.counts["errors"]++;
  }
  report_.counts["answers"] = answers;
  report_.counts["tokens"] = tokens;
}

}  // namespace

PathReport run_path(uint64_t seed) {
  PathRun run(seed);
  return run.run();
}

}  // namespace om::sim
