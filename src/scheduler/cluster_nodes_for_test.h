// Several gateways and nodes in one process and simulated time: reports every 200 ms, no network.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <set>

#include "base/log.h"
#include "scheduler/cluster_scheduler.h"
#include "scheduler/local_scheduler.h"
#include "scheduler/scripted_engines_for_test.h"
#include "sim/world.h"

namespace om::scheduler::testing {

inline constexpr uint64_t kModelBytes =
    140;  // Of SimplePlans with one slot and the default context.
inline constexpr std::chrono::milliseconds kReportInterval{200};

inline Target model(const std::string& name) {
  Target target = testing::target(name);
  target.files = {{target.weights, 100}};
  target.load_bytes = kModelBytes;
  return target;
}

// A node: its runners, and its gateway to all of them.
struct Member {
  std::string name;
  Script script;
  std::set<std::string> files;                     // Models whose files it lacks.
  std::function<io::Task<Result<void>>()> before;  // It takes a request, or refuses it.
  cluster::NodeState state = cluster::NodeState::ready;
  std::unique_ptr<LocalScheduler> local;
  std::unique_ptr<Scheduler> own;  // `local`, as the node's own gateway asks it.
  std::unique_ptr<ClusterScheduler> gateway;
  std::vector<std::pair<std::string, size_t>> staged;  // What it asked for.
  ReplicaKeeper* keeper = nullptr;                     // Instead of the gateway's.
};

// A node's own scheduler that has no way to fetch what is not on its disk.
class OnDisk final : public Scheduler {
 public:
  explicit OnDisk(Member& member) : member_(member) {}
  io::Task<Result<std::unique_ptr<Lease>>> acquire(Target target, AcquireOptions options,
                                                   io::Call call) override {
    if (member_.before) CO_TRY_VOID(co_await member_.before());
    if (member_.files.contains(target.name)) co_return fail(Errc::not_found, "no such blob");
    co_return co_await member_.local->acquire(std::move(target), std::move(options),
                                              std::move(call));
  }
  bool unload(const Digest& weights) override { return member_.local->unload(weights); }
  std::vector<LoadedModel> loaded() const override { return member_.local->loaded(); }
  io::Task<void> stop() override { co_await member_.local->stop(); }

 private:
  Member& member_;
};

// The cluster. run() stops it after the body.
class Nodes {
 public:
  explicit Nodes(size_t count, uint64_t memory = kModelBytes + 10, size_t standby = 0,
                 io::Duration keep_alive_of_nodes = std::chrono::seconds(-1))
      : sim(1), keep_alive(keep_alive_of_nodes) {
    replicas.standby = standby;
    set_log_level(LogLevel::off);
    for (size_t i = 0; i < count; i++) add(fmt::format("n{}", i), memory);
  }

  using Body = io::Task<void> (*)(Nodes&);
  void run(Body body) { sim.run(run_and_stop(body)); }

  Member& operator[](size_t index) { return members[index]; }
  io::Task<void> pass(io::Duration time) {
    auto slept = co_await sim.clock().sleep_for(time);
    EXPECT_TRUE(slept);
  }
  cluster::View view(const std::string& self) {
    const io::TimePoint now = sim.clock().now();
    if (now - seen_at_ >= kReportInterval || seen_at_ == io::TimePoint{}) {
      seen_.clear();
      for (Member& member : members) seen_.push_back(report(member));
      seen_at_ = now;
    }
    std::vector<cluster::NodeInfo> nodes = seen_;
    for (cluster::NodeInfo& node : nodes) {
      if (node.name == self) node.peer = {};
    }
    return *cluster::View::of(std::move(nodes));
  }
  std::unique_ptr<NodeLinks> links_of(const std::string& self);
  Member& named(const std::string& name) {
    return *std::ranges::find(members, name, &Member::name);
  }

  struct Client {
    std::unique_ptr<Lease> lease;
    std::optional<Error> error;
    bool done = false;
  };
  Client& start(size_t gateway, Target target, AcquireOptions options = {}) {
    Client& client = clients.emplace_back();
    io::spawn_detached(sim.world().executor,
                       fetch(gateway, std::move(target), std::move(options), client));
    return client;
  }
  // Nodes that have it in memory.
  std::vector<std::string> holders(const std::string& name) {
    std::vector<std::string> result;
    for (Member& member : members) {
      if (member.script.find(name) != nullptr) result.push_back(member.name);
    }
    return result;
  }

  sim::World sim;
  std::deque<Member> members;
  std::deque<Client> clients;
  std::vector<std::string> models{"a", "b", "c", "d"};
  ReplicaOptions replicas;
  const io::Duration keep_alive;

 private:
  class Links;
  void add(std::string name, uint64_t memory);
  cluster::NodeInfo report(Member& member) {
    cluster::NodeInfo info = member.local->node_info(member.name);
    info.state = member.state;
    info.peer = io::Endpoint::tcp(member.name, 1);
    info.disk_free = 1 << 30;
    info.demand = member.keeper != nullptr ? member.keeper->demand() : member.gateway->demand();
    std::vector<Digest> blobs;
    for (const std::string& one : models) {
      if (!member.files.contains(one)) blobs.push_back(Digest::of(one));
    }
    std::ranges::sort(blobs);
    info.blobs = std::make_shared<const std::vector<Digest>>(std::move(blobs));
    return info;
  }
  io::Task<void> fetch(size_t gateway, Target target, AcquireOptions options, Client& client) {
    const io::Call call = sim.clock().call_within(std::chrono::minutes(10));
    auto lease =
        co_await members[gateway].gateway->acquire(std::move(target), std::move(options), call);
    client.done = true;
    if (lease) {
      client.lease = std::move(*lease);
    } else {
      client.error = lease.error();
    }
  }
  io::Task<void> run_and_stop(Body body) {
    co_await body(*this);
    clients.clear();
    for (Member& member : members) co_await member.gateway->stop();
  }

  std::vector<cluster::NodeInfo> seen_;
  io::TimePoint seen_at_{};
};

// What a gateway sees of them.
class Nodes::Links final : public NodeLinks {
 public:
  Links(Nodes& nodes, std::string self) : nodes_(nodes), self_(std::move(self)) {}
  cluster::View view() override { return nodes_.view(self_); }
  io::Task<Result<std::unique_ptr<Lease>>> acquire(const std::string& node, const Target& target,
                                                   const AcquireOptions& options,
                                                   io::Call call) override {
    Member& member = nodes_.named(node);
    if (member.state == cluster::NodeState::unreachable) {
      co_return fail(Errc::unavailable, "node {} is lost", node);
    }
    auto lease = co_await member.own->acquire(target, options, std::move(call));
    if (!lease && lease.error().code == Errc::unavailable) {
      co_return fail(Errc::internal, "{}", lease.error().what);
    }
    co_return lease;
  }
  bool unload(const std::string& node, const Digest& weights) override {
    return nodes_.named(node).local->unload(weights);
  }
  io::Task<void> stop() override { co_return; }

 private:
  Nodes& nodes_;
  std::string self_;
};

inline std::unique_ptr<NodeLinks> Nodes::links_of(const std::string& self) {
  return std::make_unique<Links>(*this, self);
}

inline void Nodes::add(std::string name, uint64_t memory) {
  Member& member = members.emplace_back();
  member.name = name;
  LocalSchedulerOptions options;
  options.memory_total = memory;
  options.keep_alive = keep_alive;
  member.local = std::make_unique<LocalScheduler>(
      sim.world(), options, scripted_engines(sim.clock(), member.script),
      std::make_unique<SimplePlans>(std::vector<int>{1}));
  member.own = std::make_unique<OnDisk>(member);
  member.gateway = std::make_unique<ClusterScheduler>(
      sim.world(), std::make_unique<Links>(*this, name), *member.own, name, replicas);
  member.gateway->stage_with([&member](const Target& target, size_t copies) {
    member.staged.emplace_back(target.name, copies);
  });
  member.gateway->start();
}

}  // namespace om::scheduler::testing
