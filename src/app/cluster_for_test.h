// A cluster of real nodes on simulated machines, over facts that let voters in as etcd does.
#pragma once

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "app/node.h"
#include "base/check.h"
#include "http/client.h"
#include "io/co_assert_for_test.h"
#include "io/name_service.h"
#include "metadata/sqlite/sqlite_metadata.h"
#include "sim/machine.h"
#include "sim/metadata.h"

namespace om::app::testing {

using std::chrono::minutes;
using std::chrono::seconds;

inline constexpr uint16_t kApiPort = 11434, kPeerPort = 11435;
inline constexpr uint64_t kAnswerBytesMax = 16 << 20;

// One that comes is let in by its address, as a learner, which refuses reads and watches; it has a
// name once it has begun, and a vote once it was promoted. No other comes before it has begun.
class VotersForTest final : public VoterMaker {
 public:
  VotersForTest(sim::World& world, sim::SharedMetadata& its_facts) : sim(world), facts(its_facts) {}

  std::unique_ptr<Voter> make(VoterParts parts) override;
  io::Task<Result<std::unique_ptr<metadata::Metadata>>> open_own(io::World& world,
                                                                 io::Path) override {
    return metadata::open_sqlite(world, ":memory:");
  }
  io::Task<Result<void>> remove(io::World&, const security::IdentityStore&,
                                std::vector<io::Endpoint>, std::string name, io::Call) override {
    members.erase(name);
    co_return Result<void>{};
  }
  io::Task<Result<void>> remove_unbegun(io::World&, const security::IdentityStore&,
                                        std::vector<io::Endpoint>, io::Endpoint peer,
                                        io::Call) override {
    if (unbegun == peer.host) unbegun.clear();
    co_return Result<void>{};
  }

  sim::World& sim;
  sim::SharedMetadata& facts;
  std::set<std::string> members, learners;
  std::string unbegun;         // Where one was let in that has not begun.
  std::string without_etcd;    // A node.
  std::set<std::string> gone;  // Nodes whose etcd does not run any more.
  std::map<std::string, std::string> life_of;
  std::function<void()> when_joined, when_resumed;  // Once.
  int tries = 0;                                    // Of the node without etcd.
  int lives = 0;
};

// One node's share in them.
class VoterForTest final : public Voter {
 public:
  VoterForTest(VotersForTest& all, const VoterParts& parts)
      : all_(all),
        world_(parts.world),
        name_(parts.state.name),
        life_(fmt::format("{}#{}", name_, all.lives++)),
        file_(voter_directory(parts.directory) + "/member.json"),
        at_(parts.state.advertise) {}
  ~VoterForTest() override { CHECK(!metadata_, "a voter is destroyed before stop()"); }

  io::Task<Result<void>> begin(io::Call) override { co_return start(); }
  io::Task<Result<void>> resume(io::Call) override {
    if (!all_.members.contains(name_)) co_return fail(Errc::forbidden, "{} was removed", name_);
    CO_TRY_VOID(start());
    if (all_.when_resumed) std::exchange(all_.when_resumed, nullptr)();
    co_return Result<void>{};
  }
  io::Task<Result<void>> join(std::vector<io::Endpoint>, io::Call) override {
    if (!all_.unbegun.empty() && all_.unbegun != at_.host) {
      co_return fail(Errc::overloaded, "too many learner members in cluster");
    }
    all_.unbegun = at_.host;
    if (all_.without_etcd == name_) {
      all_.tries++;
      co_return fail(Errc::unavailable, "etcd ends again and again");
    }
    all_.unbegun.clear();
    CO_TRY_VOID(start());
    if (all_.when_joined) std::exchange(all_.when_joined, nullptr)();
    co_return Result<void>{};
  }
  io::Task<Result<void>> finish_join(std::vector<io::Endpoint> others, io::Call) override {
    CHECK(!others.empty(), "nobody to ask");
    if (all_.learners.erase(name_) > 0) all_.facts.heal(life_);
    co_return Result<void>{};
  }
  bool has_begun() const override { return world_.files.exists(file_); }
  bool was_removed() const override {
    return metadata_ && !all_.members.contains(name_) && !all_.gone.contains(name_);
  }
  metadata::Metadata& metadata() override { return *metadata_; }
  std::string client_url() const override { return "https://" + at_.str(); }
  std::string peer_url() const override { return "https://" + at_.str(); }
  io::Task<void> stop() override {
    if (metadata_) co_await metadata_->stop();
    metadata_.reset();
  }

 private:
  Result<void> start() {
    TRY_VOID(world_.files.make_directories(io::parent(file_)));
    TRY_VOID(world_.files.write_file(file_, "{}"));
    all_.members.insert(name_);
    metadata_ = all_.facts.node(life_);
    all_.life_of[name_] = life_;
    if (all_.learners.contains(name_) || all_.gone.contains(name_)) all_.facts.cut(life_);
    return {};
  }

  VotersForTest& all_;
  io::World& world_;
  std::string name_, life_;
  io::Path file_;
  io::Endpoint at_;
  std::unique_ptr<metadata::Metadata> metadata_;
};

inline std::unique_ptr<Voter> VotersForTest::make(VoterParts parts) {
  return std::make_unique<VoterForTest>(*this, parts);
}

// There is no DNS.
class NoNames final : public io::NameService {
 public:
  io::Task<Result<std::vector<io::Endpoint>>> lookup(io::Endpoint name, io::Call) override {
    co_return fail(Errc::not_found, "{} is no name here", name.host);
  }
};

// A machine with a node on it; stopped before it is destroyed.
class NodeForTest {
 public:
  NodeForTest(sim::World& world, VotersForTest& voters, int number)
      : disk(world.clock()),
        voters_(voters),
        name_(fmt::format("n{}", number)),
        address_(fmt::format("10.0.0.{}", number)),
        machine_(world, sim::SimHost::Place{name_, address_}, disk),
        settings_(Config().settings()) {
    settings_.node_name = name_;
    settings_.state_directory = "/state";
    settings_.models_directory = "/models";
    settings_.llama_directory = "/opt/llama";
    settings_.listen = {fmt::format("{}:{}", address_, kApiPort)};
    settings_.cluster_listen = fmt::format("{}:{}", address_, kPeerPort);
    settings_.threads = 2;
    for (const auto& [path, text] :
         {std::pair("/proc/meminfo", "MemTotal: 8000000 kB\nMemAvailable: 8000000 kB\n"),
          std::pair("/opt/llama/llama-server", "")}) {
      CHECK(disk.make_directories(io::parent(path)) && disk.write_file(path, text));
    }
    CHECK(disk.make_directories("/state"));
  }

  void start() {
    has_ended_ = stopping_ = false;
    io::spawn_detached(machine_.world().executor, live());
  }
  void stop() {
    stopping_ = true;
    if (node_) node_->stop();
  }
  bool has_ended() const { return has_ended_; }
  Settings& settings() { return settings_; }  // For the next start.
  ClusterParts* parts() { return node_ && node_->serves() ? node_->cluster() : nullptr; }
  bool serves() const { return node_ && node_->serves(); }
  bool has_authority() { return disk.exists("/state/cluster/ca.key"); }
  const std::string& name() const { return name_; }
  io::Endpoint api() const { return io::Endpoint::tcp(address_, kApiPort); }

  sim::SimFilesystem disk;

 private:
  io::Task<void> live() {
    bool again = true;
    while (again && !stopping_) {
      Node node(machine_.world(), names_, settings_, voters_);
      node_ = &node;
      const auto ran = co_await node.run([] {});
      EXPECT_TRUE(ran.has_value()) << name_ << ": " << ran.error().what;
      node_ = nullptr;
      again = ran && node.wants_restart();
    }
    has_ended_ = true;
  }

  VotersForTest& voters_;
  std::string name_, address_;
  sim::Machine machine_;
  Settings settings_;
  NoNames names_;
  Node* node_ = nullptr;
  bool stopping_ = false, has_ended_ = true;
};

// The first of the nodes has founded the cluster; all are in it when a test's body begins.
class ClusterOfNodes : public ::testing::Test {
 protected:
  void run(int count, io::Task<void> body) {
    sim_.run(drive(count, std::move(body)), std::chrono::hours(10));
  }
  io::Task<void> drive(int count, io::Task<void> body) {
    for (int i = 1; i <= count; i++) {
      nodes_.push_back(std::make_unique<NodeForTest>(sim_, voters_, i));
      nodes_.back()->start();
      co_await until([this] { return nodes_.back()->serves(); });
    }
    co_await ask(*nodes_[0], "POST", "init", "{}");
    co_await until([this] { return nodes_[0]->parts() != nullptr; });
    for (size_t i = 1; i < nodes_.size(); i++) {
      const std::string token = co_await ask(*nodes_[0], "POST", "token", "{}");
      co_await ask(*nodes_[i], "POST", "join", token);
      co_await until([this, i] { return nodes_[i]->parts() != nullptr; });
    }
    co_await std::move(body);
    operator_.close_idle();
    for (auto& node : nodes_) co_await stop(*node);
    nodes_.clear();
    facts_.end_all_leases();
  }
  io::Task<void> stop(NodeForTest& node) {
    node.stop();
    co_await until([&node] { return node.has_ended(); });
  }
  io::Task<void> pass(io::Duration time) { (void)co_await sim_.clock().sleep_for(time); }
  io::Task<void> until(std::function<bool()> condition, io::Duration most = minutes(2)) {
    const io::TimePoint end = sim_.clock().now() + most;
    while (!condition() && sim_.clock().now() < end) co_await pass(std::chrono::milliseconds(100));
    EXPECT_TRUE(condition());
  }
  struct Answer {
    int status = 0;
    std::string text;
  };
  io::Task<std::string> ask(const NodeForTest& node, std::string method, std::string what,
                            std::string body) {
    const std::string asked = what;
    auto answer = co_await answer_of(node, std::move(method), std::move(what), std::move(body));
    EXPECT_EQ(answer.status, 200) << asked << ": " << answer.text;
    co_return std::move(answer.text);
  }
  io::Task<Answer> answer_of(const NodeForTest& node, std::string method, std::string what,
                             std::string body) {
    std::string target = "/api/v1/cluster" + (what.empty() ? "" : "/" + what);
    co_return co_await answer_at(node, std::move(method), std::move(target), std::move(body));
  }
  io::Task<Answer> answer_at(const NodeForTest& node, std::string method, std::string target,
                             std::string body) {
    http::ClientRequest request;
    request.method = std::move(method);
    request.target = std::move(target);
    request.endpoint = node.api();
    request.host = request.endpoint.str();
    request.headers.add("Content-Type", "application/json");
    request.body = std::move(body);
    const auto response = co_await operator_.send(std::move(request), {});
    CHECK(response.has_value(), response ? "" : response.error().what);
    auto text = co_await (*response)->read_all(kAnswerBytesMax);
    co_return Answer{(*response)->status(), text ? std::move(*text) : text.error().what};
  }
  // By the records, as the first node knows them.
  std::set<std::string> voting() {
    std::set<std::string> names;
    for (const auto& member : nodes_[0]->parts()->members().list()) {
      if (member.has_vote()) names.insert(member.name);
    }
    return names;
  }
  io::Task<void> wait_for_voters(std::set<std::string> names, io::Duration most = minutes(2)) {
    co_await until([&] { return voting() == names && voters_.members == names; }, most);
    EXPECT_EQ(voting(), names);
    EXPECT_EQ(voters_.members, names);
  }
  // As somebody does who changes a record behind the nodes' back.
  io::Task<void> change_record(std::string node, std::function<void(cluster::Member&)> change) {
    const auto facts = facts_.node("somebody");
    const std::string key = std::string(cluster::kNodesPrefix) + node;
    const auto entry = co_await facts->get(key, {});
    cluster::Member member = cluster::read_member((*entry)->value).value();
    change(member);
    metadata::Transaction transaction;
    transaction.operations = {metadata::Operation::put(key, cluster::write_member(member))};
    EXPECT_TRUE((co_await facts->commit(std::move(transaction), {})).has_value());
    co_await facts->stop();
  }
  void lose_etcd(const std::string& node) {
    voters_.gone.insert(node);
    facts_.cut(voters_.life_of.at(node));
  }
  void bring_etcd_back(const std::string& node) {
    voters_.gone.erase(node);
    facts_.heal(voters_.life_of.at(node));
  }
  bool follows(NodeForTest& node) {
    return node.parts() && node.parts()->members().facts().following();
  }

  sim::World sim_{7};
  sim::SharedMetadata facts_{sim_};
  VotersForTest voters_{sim_, facts_};
  http::Client operator_{sim_.world()};
  std::vector<std::unique_ptr<NodeForTest>> nodes_;
};

}  // namespace om::app::testing
