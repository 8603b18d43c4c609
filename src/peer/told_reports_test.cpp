// A large cluster, where most nodes are told of all others by one: real PeerServers, which die and
// come back while a gate follows only the two aggregators "n0" and "n1".
#include "peer/nodes_for_test.h"

namespace om::peer {
namespace {

using cluster::NodeState;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Nodes;
using testing::Script;

constexpr size_t kNodes = 6;

// What an aggregator has by following each node itself.
class Aggregator {
 public:
  Aggregator(Nodes& nodes, size_t number)
      : world_(nodes.world()),
        node_(*nodes.nodes[number]),
        client_(world_),
        reports_(world_, client_, [this] { return node_.self; }) {
    std::vector<engine::PeerLink> links;
    for (const auto& other : nodes.nodes) {
      if (other.get() != &node_) links.push_back(other->link());
    }
    reports_.set_peers(std::move(links));
    node_.tells = [this] { return reports_.view(); };
  }
  io::Task<void> stop() {
    node_.tells = [] { return cluster::View(); };
    co_await reports_.stop();
    client_.close_idle();
  }

 private:
  io::World& world_;
  testing::PeerNode& node_;
  http::Client client_;
  cluster::Reports reports_;
};

class ToldReports : public ::testing::Test {
 public:
  ToldReports() {
    for (size_t i = 0; i < kNodes; i++) nodes_.add(script_);
    nodes_.reports().on_lost([this](const std::string& node) { lost_.push_back(node); });
  }
  // The gate follows each node until the first aggregator has told.
  void run(io::Task<void> body) { nodes_.run(with_aggregators(std::move(body))); }
  bool all_are(NodeState state, size_t from = 0) {
    for (size_t i = from; i < kNodes; i++) {
      if (nodes_.state_of(fmt::format("n{}", i)) != state) return false;
    }
    return true;
  }
  // How many streams of reports a node serves: nothing else is asked here.
  size_t streams(size_t node) { return nodes_.nodes[node]->requests(); }
  size_t questions() { return nodes_.nodes[0]->asked_for_all + nodes_.nodes[1]->asked_for_all; }
  // The gate hears that these are in the cluster.
  void set_members(size_t count) {
    std::vector<engine::PeerLink> links;
    for (size_t i = 0; i < count; i++) links.push_back(nodes_.nodes[i]->link());
    nodes_.reports().set_peers(std::move(links), {"n0", "n1"});
  }
  io::Task<void> sleep(io::Duration time) { return nodes_.sleep(time); }

  Script script_;
  Nodes nodes_;
  std::vector<std::string> lost_;
  size_t members_ = kNodes;  // At first.

 private:
  io::Task<void> with_aggregators(io::Task<void> body) {
    Aggregator first(nodes_, 0), second(nodes_, 1);
    set_members(members_);
    co_await sleep(seconds(2));
    co_await std::move(body);
    co_await first.stop();
    co_await second.stop();
  }
};

TEST_F(ToldReports, ComeFromOneNodeAlone) {
  run([](ToldReports& test) -> io::Task<void> {
    EXPECT_TRUE(test.all_are(NodeState::ready));
    // Those of the two aggregators, and none of the gate.
    for (size_t i = 2; i < kNodes; i++) EXPECT_EQ(test.streams(i), 2U) << i;
    EXPECT_EQ(test.streams(0) + test.streams(1), 3U);
    const auto* node = test.nodes_.reports().view().find("n5");
    CO_ASSERT(node && node->blobs);
    EXPECT_TRUE(node->has_blob(test.nodes_.weights));
    EXPECT_EQ(node->memory_total, testing::kMemory);
    EXPECT_EQ(test.lost_, std::vector<std::string>{});
  }(*this));
}

// What is told of it before the gate knows it is not asked for again.
TEST_F(ToldReports, AreAskedForOnceHoweverManyNodesJoin) {
  members_ = kNodes - 1;
  run([](ToldReports& test) -> io::Task<void> {
    EXPECT_EQ(test.nodes_.reports().view().find("n5"), nullptr);
    test.set_members(kNodes);
    EXPECT_LE(co_await test.nodes_.wait_for("n5", NodeState::ready), seconds(3));
    EXPECT_NE(test.nodes_.reports().view().find("n5")->peer, io::Endpoint());
    EXPECT_EQ(test.questions(), 1U);
    // One that was forgotten: nobody tells of it anew by himself.
    test.set_members(kNodes - 1);
    co_await test.sleep(seconds(3));
    EXPECT_EQ(test.nodes_.reports().view().find("n5"), nullptr);
    test.set_members(kNodes);
    EXPECT_LE(co_await test.nodes_.wait_for("n5", NodeState::ready), seconds(3));
    EXPECT_EQ(test.questions(), 2U);
  }(*this));
}

TEST_F(ToldReports, BringWhatChanges) {
  run([](ToldReports& test) -> io::Task<void> {
    test.nodes_.nodes[3]->self.memory_used = 12345;
    test.nodes_.nodes[4]->self.state = NodeState::draining;
    co_await test.sleep(seconds(2));
    const cluster::View view = test.nodes_.reports().view();
    EXPECT_EQ(view.find("n3")->memory_used, 12345U);
    EXPECT_EQ(view.find("n4")->state, NodeState::draining);
    EXPECT_TRUE(view.find("n3")->has_blob(test.nodes_.weights));
  }(*this));
}

TEST_F(ToldReports, AreFreshWhileNothingChanges) {
  run([](ToldReports& test) -> io::Task<void> {
    co_await test.sleep(std::chrono::minutes(2));
    const cluster::View view = test.nodes_.reports().view();
    for (const cluster::NodeInfo& node : view.nodes()) {
      if (node.name == "gate") continue;
      EXPECT_LE(test.nodes_.clock().now() - node.reported, milliseconds(1500)) << node.name;
    }
  }(*this));
}

TEST_F(ToldReports, TellOfADeathWithinThreeSecondsAndOfAReturn) {
  run([](ToldReports& test) -> io::Task<void> {
    co_await test.nodes_.nodes[3]->kill();
    const io::Duration taken = co_await test.nodes_.wait_for("n3", NodeState::unreachable);
    EXPECT_LE(taken, seconds(3));
    EXPECT_EQ(test.lost_, std::vector<std::string>{"n3"});
    test.nodes_.nodes[3]->start();
    (void)co_await test.nodes_.wait_for("n3", NodeState::ready);
    EXPECT_LT(test.nodes_.reports().view().find("n3")->ramp, 0.5);
    co_await test.sleep(cluster::kRampTime + seconds(2));
    EXPECT_EQ(test.nodes_.reports().view().find("n3")->ramp, 1.0);
  }(*this));
}

TEST_F(ToldReports, GoOnFromAnotherAggregatorAndLoseNobodyElse) {
  run([](ToldReports& test) -> io::Task<void> {
    const size_t asked = test.streams(0) > test.streams(1) ? 0 : 1;
    const std::string name = fmt::format("n{}", asked);
    co_await test.nodes_.nodes[asked]->kill();
    const io::Duration taken = co_await test.nodes_.wait_for(name, NodeState::unreachable);
    EXPECT_LE(taken, seconds(3));
    co_await test.nodes_.nodes[5]->kill();
    EXPECT_LE(co_await test.nodes_.wait_for("n5", NodeState::unreachable), seconds(3));
    EXPECT_EQ(test.lost_, (std::vector<std::string>{name, "n5"}));
    EXPECT_EQ(test.streams(2), 2U) << "the gate follows it although an aggregator tells";
  }(*this));
}

TEST_F(ToldReports, AreAskedOfEachNodeWhileNoAggregatorTells) {
  run([](ToldReports& test) -> io::Task<void> {
    for (const size_t node : {0, 1}) co_await test.nodes_.nodes[node]->kill();
    co_await test.sleep(seconds(10));
    EXPECT_TRUE(test.all_are(NodeState::ready, 2));
    for (const char* node : {"n0", "n1"}) {
      EXPECT_EQ(test.nodes_.state_of(node), NodeState::unreachable);
    }
    co_await test.nodes_.nodes[4]->kill();
    EXPECT_LE(co_await test.nodes_.wait_for("n4", NodeState::unreachable), seconds(3));
    test.nodes_.nodes[0]->start();
    co_await test.sleep(seconds(10));
    EXPECT_EQ(test.nodes_.state_of("n0"), NodeState::ready);
    EXPECT_EQ(test.streams(3), 2U) << "the gate follows it although an aggregator tells";
  }(*this));
}

}  // namespace
}  // namespace om::peer
