// Some nodes of a cluster in one simulated world: each serves its peers with scripted engines, and
// one of them, which has no models, asks the others.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cluster/reports.h"
#include "generation/scripted_for_test.h"
#include "io/co_assert_for_test.h"
#include "peer/peer_server.h"
#include "scheduler/cluster_scheduler.h"
#include "scheduler/remote_lease.h"

namespace om::peer::testing {

using generation::testing::ModelShelf;
using generation::testing::Script;
using generation::testing::ScriptedScheduler;

inline constexpr uint64_t kMemory = 8ULL << 30, kModelBytes = 1 << 20;

// A node that has the shelf's models and answers its peers. stop() before it is destroyed.
class PeerNode {
 public:
  PeerNode(io::World& world, std::string name, ModelShelf& shelf, Script& script)
      : world_(world), scheduler_(script), server_(dependencies(shelf)) {
    self.name = std::move(name);
    self.memory_total = kMemory;
    server_.start();
    start();
  }

  cluster::NodeInfo self;    // What its reports tell.
  size_t asked_for_all = 0;  // How often.
  // To who asks about all nodes.
  std::function<cluster::View()> tells = [] { return cluster::View(); };
  // How it splits a model over several nodes; null: it is not asked to.
  std::function<io::Task<Result<void>>(scheduler::Target&, io::Call)> plan_split;

  engine::PeerLink link() const {
    engine::PeerLink link;
    link.node = self.name;
    link.endpoint = at_;
    return link;
  }
  void start() {
    http_ = std::make_unique<http::Server>(world_, http::ServerLimits{}, server_.handler());
    auto at = http_->listen(at_);
    CHECK(at.has_value());
    at_ = *at;
  }
  // As kill -9 does for those who see it from outside; start() brings it back.
  io::Task<void> kill() {
    if (http_) co_await http_->stop({});
    http_.reset();
  }
  io::Task<void> stop() {
    co_await kill();
    co_await server_.stop();
  }
  bool alive() const { return http_ != nullptr; }
  size_t requests() const { return http_ ? http_->requests_running() : 0; }
  PeerServer& server() { return server_; }

 private:
  Dependencies dependencies(ModelShelf& shelf) {
    return {world_,
            shelf,
            scheduler_,
            [this] { return self; },
            [this] { return tells(); },
            [this](const http::Request& request) {
              if (request.path == "/peer/v1/reports") asked_for_all++;
              return Result<void>{};
            },
            [](std::string_view) { return false; },
            [this](scheduler::Target& target, io::Call call) {
              return plan_split(target, std::move(call));
            }};
  }

  io::World& world_;
  ScriptedScheduler scheduler_;
  PeerServer server_;
  io::Endpoint at_ = io::Endpoint::tcp("127.0.0.1", 0);
  std::unique_ptr<http::Server> http_;
};

// The nodes "n0", "n1"... and the one that asks them, "gate".
class Nodes {
  sim::World sim_;  // First: all the rest lives in it.

 public:
  explicit Nodes(uint64_t seed = 1)
      : sim_(seed),
        client_(sim_.world()),
        local_(gate_script),
        reports_(sim_.world(), client_, [this] { return gate; }),
        scheduler_(sim_.world(),
                   std::make_unique<scheduler::RemoteLeases>(sim_.world(), client_, reports_),
                   local_, "gate") {
    weights = shelf.add("m").weights;
    gate.name = "gate";
  }

  ModelShelf shelf;
  Digest weights;
  std::vector<std::unique_ptr<PeerNode>> nodes;
  cluster::NodeInfo gate;  // What the one that asks knows of itself.
  Script gate_script;

  io::World& world() { return sim_.world(); }
  io::Clock& clock() { return sim_.clock(); }
  sim::World& simulated() { return sim_; }
  http::Client& client() { return client_; }
  cluster::Reports& reports() { return reports_; }
  scheduler::ClusterScheduler& scheduler() { return scheduler_; }

  PeerNode& add(Script& script) {
    auto name = fmt::format("n{}", nodes.size());
    nodes.push_back(std::make_unique<PeerNode>(sim_.world(), std::move(name), shelf, script));
    nodes.back()->self.blobs =
        std::make_shared<const std::vector<Digest>>(std::vector<Digest>{weights});
    std::vector<engine::PeerLink> links;
    for (const auto& node : nodes) links.push_back(node->link());
    reports_.set_peers(std::move(links));
    return *nodes.back();
  }
  scheduler::Target target() {
    scheduler::Target target;
    target.name = "m";
    target.weights = weights;
    target.weights_path = shelf.blob_path(weights);
    target.files.push_back({weights, kModelBytes});
    return target;
  }
  std::optional<cluster::NodeState> state_of(std::string_view name) {
    const cluster::View view = reports_.view();
    const cluster::NodeInfo* node = view.find(name);
    return node ? std::optional(node->state) : std::nullopt;
  }
  io::Task<void> sleep(io::Duration duration) {
    const auto slept = co_await sim_.clock().sleep_for(duration);
    EXPECT_TRUE(slept.has_value());
  }
  // Until it is in that state, looked at every 10 ms; how long it took.
  io::Task<io::Duration> wait_for(std::string name, cluster::NodeState state) {
    const io::TimePoint since = sim_.clock().now();
    while (state_of(name) != state && sim_.clock().now() - since < std::chrono::minutes(5)) {
      co_await sleep(std::chrono::milliseconds(10));
    }
    EXPECT_EQ(state_of(name), state) << name;
    co_return sim_.clock().now() - since;
  }

  // When all nodes have told that they are there; stops them afterwards.
  void run(io::Task<void> body) { sim_.run(run_and_stop(std::move(body))); }

 private:
  io::Task<void> run_and_stop(io::Task<void> body) {
    for (const auto& node : nodes) {
      (void)co_await wait_for(node->self.name, cluster::NodeState::ready);
    }
    co_await std::move(body);
    co_await scheduler_.stop();
    co_await reports_.stop();
    client_.close_idle();
    for (const auto& node : nodes) co_await node->stop();
  }

  http::Client client_;
  ScriptedScheduler local_;
  cluster::Reports reports_;
  scheduler::ClusterScheduler scheduler_;
};

}  // namespace om::peer::testing
