// How nodes enter and leave a cluster, and how they are found again where they have moved.
#include <gmock/gmock.h>

#include "app/cluster_for_test.h"
#include "app/own_address.h"
#include "cluster/backend_table.h"
#include "transfer/metrics.h"

namespace om::app {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using testing::NodeForTest;

constexpr uint16_t kOtherPort = 12435;

class Membership : public testing::ClusterOfNodes {
 protected:
  // As if its address had changed while it was off: the port is a part of it.
  io::Task<void> move(NodeForTest& node, std::string host) {
    co_await stop(node);
    node.settings().cluster_listen = fmt::format("{}:{}", host, kOtherPort);
    node.start();
    co_await until([&node] { return node.parts() != nullptr; });
  }
  static bool sees(NodeForTest& by, const std::string& name, uint16_t port) {
    if (!by.parts() || !by.parts()->members().facts().following()) return false;
    const cluster::Member* member = by.parts()->members().find(name);
    const cluster::View view = by.parts()->reports().view();
    const cluster::NodeInfo* node = view.find(name);
    return member && member->peer.port == port && node && node->state == cluster::NodeState::ready;
  }

  io::Task<void> follows_a_voter_that_moves();
  io::Task<void> follows_the_only_voter();
  io::Task<void> follows_the_setting();
  io::Task<void> begins_without_what_was_left_behind();
  io::Task<void> changes_one_at_a_time();
  io::Task<void> leave(const NodeForTest& node, std::vector<int>& statuses);
  io::Task<void> takes_no_keys_along();
  io::Task<void> joins_again_after_a_full_disk();
  io::Task<void> looks_elsewhere_in_time();
  io::Task<void> is_ready_in_a_cluster_only();
  io::Task<void> reads_its_blobs_again();
  io::Task<void> heeds_its_rates();
  io::Task<void> refuses_without_memory();
  io::Task<void> keeps_what_a_newer_version_wrote();
  io::Task<bool> is_ready(const NodeForTest& node) {
    const std::string status = co_await ask(node, "GET", "", "");
    co_return boost::json::parse(status).at("ready").as_bool();
  }
};

io::Task<void> Membership::follows_a_voter_that_moves() {
  co_await wait_for_voters({"n1", "n2", "n3"});
  co_await move(*nodes_[1], "10.0.0.2");
  for (const auto& node : nodes_) {
    if (node != nodes_[1]) {
      co_await until([&node] { return sees(*node, "n2", kOtherPort); });
    }
  }
  co_await wait_for_voters({"n1", "n2", "n3"});
  co_await until([this] {
    return nodes_[0]->parts()->members().find("n2")->etcd_peer == "https://10.0.0.2:12435";
  });
}
TEST_F(Membership, AVoterThatHasMovedIsFollowed) { run(3, follows_a_voter_that_moves()); }

io::Task<void> Membership::keeps_what_a_newer_version_wrote() {
  const auto facts = facts_.node("somebody");
  const std::string key = std::string(cluster::kNodesPrefix) + "n2";
  auto entry = co_await facts->get(key, {});
  boost::json::object record = boost::json::parse((*entry)->value).as_object();
  record["zone"] = "cellar";
  metadata::Transaction put;
  put.operations = {metadata::Operation::put(key, boost::json::serialize(record))};
  EXPECT_TRUE((co_await facts->commit(std::move(put), {})).has_value());
  co_await ask(*nodes_[0], "POST", "nodes/n2/drain", "{}");
  entry = co_await facts->get(key, {});
  record = boost::json::parse((*entry)->value).as_object();
  EXPECT_EQ(record.at("zone").as_string(), "cellar");
  EXPECT_TRUE(record.at("draining").as_bool());
  co_await facts->stop();
}
TEST_F(Membership, WhatANewerVersionWroteOfANodeStays) {
  run(2, keeps_what_a_newer_version_wrote());
}

// Where the facts are, nobody else knows: it tells.
io::Task<void> Membership::follows_the_only_voter() {
  co_await move(*nodes_[0], "10.0.0.1");
  co_await until([this] { return sees(*nodes_[1], "n1", kOtherPort); });
  co_await move(*nodes_[1], "10.0.0.2");
  co_await until([this] { return sees(*nodes_[0], "n2", kOtherPort); });
}
TEST_F(Membership, TheOnlyVoterThatHasMovedIsFollowed) { run(2, follows_the_only_voter()); }

io::Task<void> Membership::follows_the_setting() {
  nodes_[1]->settings().cluster_listen = fmt::format("10.0.0.2:{}", kOtherPort);
  nodes_[1]->settings().cluster_advertise = "10.0.0.2:11435";
  co_await stop(*nodes_[1]);
  nodes_[1]->start();
  co_await until([this] { return nodes_[1]->parts() != nullptr; });
  EXPECT_EQ(nodes_[1]->parts()->state().advertise, io::Endpoint::tcp("10.0.0.2", 11435));
  co_await stop(*nodes_[1]);
  nodes_[1]->settings().cluster_advertise = fmt::format("10.0.0.2:{}", kOtherPort);
  nodes_[1]->start();
  co_await until([this] { return sees(*nodes_[0], "n2", kOtherPort); });
}
TEST_F(Membership, ANodeIsWhereItsSettingSays) { run(2, follows_the_setting()); }

// An init that was killed leaves an etcd behind that has facts of its own.
io::Task<void> Membership::begins_without_what_was_left_behind() {
  nodes_.push_back(std::make_unique<NodeForTest>(sim_, voters_, 2));
  NodeForTest& node = *nodes_.back();
  const std::string left[] = {"/state/cluster/etcd/member.json", "/state/cluster/ca.key",
                              "/state/cluster/models.json"};
  for (const std::string& file : left) {
    CHECK(node.disk.make_directories(io::parent(file)) && node.disk.write_file(file, "{}"));
  }
  node.start();
  co_await until([&node] { return node.serves(); });
  const std::string token = co_await ask(*nodes_[0], "POST", "token", "{}");
  co_await ask(node, "POST", "join", token);
  co_await until([&node] { return node.parts() != nullptr; });
  EXPECT_FALSE(node.disk.exists(left[0]));
  EXPECT_FALSE(node.disk.exists(left[1]));
}
TEST_F(Membership, WhatAnEarlierClusterLeftBehindIsNoPartOfThis) {
  run(1, begins_without_what_was_left_behind());
}

io::Task<void> Membership::leave(const NodeForTest& node, std::vector<int>& statuses) {
  const auto answer = co_await answer_of(node, "POST", "leave", R"({"force":true})");
  statuses.push_back(answer.status);
}

io::Task<void> Membership::changes_one_at_a_time() {
  std::vector<int> statuses;
  io::TaskGroup tasks(sim_.world().executor, sim_.clock());
  for (int i = 0; i < 3; i++) tasks.spawn(leave(*nodes_[1], statuses));
  co_await tasks.wait();
  EXPECT_EQ(statuses, (std::vector<int>{503, 503, 200}));
  co_await until([this] { return nodes_[1]->serves() && !nodes_[1]->parts(); });
}
TEST_F(Membership, IsChangedOnceAtATime) { run(2, changes_one_at_a_time()); }

io::Task<void> Membership::takes_no_keys_along() {
  const std::string key = "/state/backend-keys/far";
  engine::BackendSpec spec;
  spec.name = "far";
  spec.url = "http://10.0.0.9:8000";
  spec.key_digest = Digest::of("secret").hex();
  CHECK(nodes_[1]->disk.make_directories(io::parent(key)) &&
        nodes_[1]->disk.write_file(key, "secret"));
  // As an earlier version kept it.
  CHECK(nodes_[1]->disk.write_file("/state/cluster-backends.json", "{}"));
  co_await stop(*nodes_[1]);
  nodes_[1]->start();
  co_await until([this] { return nodes_[1]->parts() != nullptr; });
  EXPECT_FALSE(nodes_[1]->disk.exists("/state/cluster-backends.json"));
  const auto facts = facts_.node("somebody");
  metadata::Transaction transaction;
  transaction.operations = {metadata::Operation::put(
      std::string(cluster::kBackendsPrefix) + spec.name, engine::write_backend(spec))};
  EXPECT_TRUE((co_await facts->commit(std::move(transaction), {})).has_value());
  co_await facts->stop();
  co_await pass(seconds(20));
  EXPECT_TRUE(nodes_[1]->disk.exists(key));
  EXPECT_TRUE(nodes_[1]->disk.exists("/state/cluster/backends.json"));
  co_await ask(*nodes_[1], "POST", "leave", R"({"force":true})");
  co_await until([this] { return nodes_[1]->serves() && !nodes_[1]->parts(); });
  EXPECT_FALSE(nodes_[1]->disk.exists(key));
}
TEST_F(Membership, KeysOfTheClustersBackendsStayWithIt) { run(2, takes_no_keys_along()); }

// The cluster has let it in, and it could not keep its certificate.
io::Task<void> Membership::joins_again_after_a_full_disk() {
  co_await ask(*nodes_[1], "POST", "leave", R"({"force":true})");
  co_await until([this] { return nodes_[1]->serves() && !nodes_[1]->parts(); });
  const std::string token = co_await ask(*nodes_[0], "POST", "token", "{}");
  sim::SimFilesystem& disk = nodes_[1]->disk;
  int failed = 0;
  // Each time one write further.
  for (uint64_t room = 0; room < 20'000 && !nodes_[1]->parts(); room += 500) {
    const auto space = disk.space("/state");
    disk.set_space(space->total - space->available + room);
    const auto answer = co_await answer_of(*nodes_[1], "POST", "join", token);
    disk.set_space(uint64_t{64} << 30);
    if (answer.status == 200) {
      co_await until([this] { return nodes_[1]->parts() != nullptr; });
    } else {
      failed++;
    }
  }
  EXPECT_GT(failed, 1);
  EXPECT_NE(nodes_[1]->parts(), nullptr);
  co_await until([this] { return sees(*nodes_[0], "n2", testing::kPeerPort); });
}
TEST_F(Membership, AJoinThatFailedLateIsDoneWithTheSameToken) {
  run(2, joins_again_after_a_full_disk());
}

// What the token's addresses are sent is swallowed; they must leave time for those that are found.
io::Task<void> Membership::looks_elsewhere_in_time() {
  for (const int number : {2, 3}) {
    nodes_.push_back(std::make_unique<NodeForTest>(sim_, voters_, number));
  }
  nodes_[1]->start();
  co_await until([this] { return nodes_[1]->serves(); });
  const std::string answer = co_await ask(*nodes_[0], "POST", "token", "{}");
  const std::string text(boost::json::parse(answer).at("token").as_string());
  security::JoinToken token = security::parse_join_token(text).value();
  token.endpoints.clear();
  for (uint16_t port = 1; port <= security::JoinToken::kEndpointsMax; port++) {
    token.endpoints.push_back(io::Endpoint::tcp("10.0.0.3", port));
  }
  sim_.network().cut("n2", "n3", sim::Word::none);
  const boost::json::object body{{"token", security::join_token_text(token)},
                                 {"discover", boost::json::array{"10.0.0.1"}}};
  co_await ask(*nodes_[1], "POST", "join", boost::json::serialize(body));
  co_await until([this] { return nodes_[1]->parts() != nullptr; });
}
TEST_F(Membership, WhoeverIsDiscoveredIsAskedInTime) { run(1, looks_elsewhere_in_time()); }

io::Task<void> Membership::is_ready_in_a_cluster_only() {
  NodeForTest& node = *nodes_[0];
  co_await ask(node, "POST", "leave", "{}");
  co_await until([&node] { return node.serves() && !node.parts(); });
  EXPECT_TRUE(co_await is_ready(node));
  co_await stop(node);
  node.settings().cluster_required = true;
  node.start();
  co_await until([&node] { return node.serves(); });
  EXPECT_FALSE(co_await is_ready(node));
  co_await ask(node, "POST", "init", "{}");
  co_await until([&node] { return node.parts() && node.parts()->knows_facts(); });
  EXPECT_TRUE(co_await is_ready(node));
}
TEST_F(Membership, ANodeThatIsToBeInAClusterIsReadyInOneOnly) {
  run(1, is_ready_in_a_cluster_only());
}

io::Task<void> Membership::reads_its_blobs_again() {
  NodeForTest& node = *nodes_[0];
  const std::string blob = "weights";
  const io::Path at = fmt::format("/models/blobs/sha256-{}", Digest::of(blob).hex());
  co_await stop(node);
  // As if the last time had been long ago.
  CHECK(node.disk.write_file("/state/cluster/scrub.json", R"({"done":0})") &&
        node.disk.write_file(at, blob));
  node.settings().prune = false;  // No model names it.
  const uint64_t before = transfer::scrubbed_bytes.value();
  node.start();
  // It rests for ten minutes behind a start.
  co_await until([&] { return transfer::scrubbed_bytes.value() == before + blob.size(); },
                 minutes(15));
}
TEST_F(Membership, ItsNodesReadTheirBlobsAgain) { run(1, reads_its_blobs_again()); }

io::Task<void> Membership::heeds_its_rates() {
  NodeForTest& node = *nodes_[0];
  co_await stop(node);
  node.settings().receive_rate_max = 2 << 20;
  node.settings().send_rate_max = 1 << 20;
  node.start();
  co_await until([&node] { return node.parts() != nullptr; });
  EXPECT_EQ(node.parts()->distribution().receiving().rate(), 2U << 20);
  EXPECT_EQ(node.parts()->distribution().sending().rate(), 1U << 20);
}
TEST_F(Membership, ANodeCopiesNoFasterThanItsSettingsSay) { run(1, heeds_its_rates()); }

io::Task<void> Membership::refuses_without_memory() {
  NodeForTest& node = *nodes_[0];
  co_await until([&node] { return node.parts()->knows_facts(); });
  const auto before = co_await answer_at(node, "GET", "/readyz", "");
  EXPECT_EQ(before.status, 200) << before.text;
  CHECK(node.disk.write_file("/proc/meminfo", "MemTotal: 8000000 kB\nMemAvailable: 8000 kB\n"));
  co_await pass(seconds(3));
  const auto after = co_await answer_at(node, "GET", "/readyz", "");
  EXPECT_EQ(after.status, 503);
  EXPECT_THAT(after.text, ::testing::HasSubstr("short of memory"));
}
TEST_F(Membership, ANodeWithoutMemorySaysThatItRefuses) { run(1, refuses_without_memory()); }

// Whatever is done of it when the power goes out: the node starts, as a member or as none.
TEST(RemoveCluster, LeavesNoHalfAMember) {
  for (uint64_t call = 1; call < 12; call++) {
    sim::World world(1);
    sim::SimFilesystem disk(world.clock());
    ClusterState state{.name = "n1", .advertise = io::Endpoint::tcp("10.0.0.1", 1)};
    ASSERT_TRUE(save_cluster_state(disk, "/cluster", state));
    ASSERT_TRUE(disk.write_file("/cluster/node.pem", "certificate"));
    disk.fail_from_call(call);
    const auto removed = remove_cluster(disk, "/cluster");
    disk.fail_from_call(0);
    const bool is_member = load_cluster_state(disk, "/cluster").has_value();
    EXPECT_FALSE(removed && is_member);
    if (disk.exists("/cluster/node.pem") && !is_member) return;
  }
  FAIL() << "the certificate is never the last to go";
}

TEST(FollowAddress, FollowsWhatIsFoundAndKeepsWhatIsTold) {
  Settings settings = Config().settings();
  settings.cluster_listen = "0.0.0.0:11435";
  ClusterState state{.name = "n1", .advertise = io::Endpoint::tcp("10.0.0.1", 11435)};
  state.listen_port = 11435;
  std::vector<std::string> addresses{"box", "127.0.0.1", "172.17.0.1", "10.0.0.7"};
  std::string outward = "10.0.0.7";
  const auto machine = [&] { return OwnNetwork{addresses, outward}; };
  EXPECT_FALSE(follow_address(state, settings, machine));  // It may be of a router before it.
  state.advertise_found = true;
  EXPECT_TRUE(follow_address(state, settings, machine));
  EXPECT_EQ(state.advertise.host, "10.0.0.7");
  addresses = {"127.0.0.1", "172.17.0.1"};  // The cable is out; its containers have their network.
  outward.clear();
  EXPECT_FALSE(follow_address(state, settings, machine));
  addresses = {"127.0.0.1", "10.0.0.7", "10.0.0.1"};  // The network is back.
  outward = "10.0.0.7";
  EXPECT_TRUE(follow_address(state, settings, machine));
  EXPECT_EQ(state.advertise.host, "10.0.0.1");
  settings.cluster_advertise = "box.lan";
  EXPECT_TRUE(follow_address(state, settings, machine));
  EXPECT_EQ(state.advertise, io::Endpoint::tcp("box.lan", 11435));
  addresses = {"127.0.0.1", "10.0.0.8"};
  EXPECT_FALSE(follow_address(state, settings, machine));
  settings.cluster_listen = "0.0.0.0:12000";
  EXPECT_TRUE(follow_address(state, settings, machine));
  EXPECT_EQ(state.advertise, io::Endpoint::tcp("box.lan", 12000));
  settings.cluster_advertise = "0.0.0.0";
  follow_address(state, settings, machine);
  EXPECT_EQ(state.advertise.host, "box.lan");
}

}  // namespace
}  // namespace om::app
