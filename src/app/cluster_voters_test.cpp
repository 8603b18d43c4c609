// Who votes.
#include "app/cluster_for_test.h"
#include "metadata/backup.h"

namespace om::app {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

class Voters : public testing::ClusterOfNodes {
 protected:
  io::Task<void> heals_a_learner();
  io::Task<void> heals_a_record();
  io::Task<void> survives_a_full_disk();
  io::Task<void> gives_up_one_without_etcd();
  io::Task<void> has_one_vote_of_two();
  io::Task<void> goes_back_to_an_odd_number();
  io::Task<void> waits_for_a_third_one();
  io::Task<void> keeps_a_vote_that_was_asked_for();
  io::Task<void> does_without_an_etcd();
  io::Task<void> drain_through(testing::NodeForTest& node, bool on);
  io::Task<void> starts_without_its_etcd();
  io::Task<void> replaces_one_without_etcd();
  io::Task<void> forgives_one_that_was_back();
  io::Task<void> gives_up_one_that_lost_its_etcd();
  io::Task<void> hears_of_its_removal_as_it_starts();
  io::Task<void> reads_of_its_removal_as_it_starts();
  bool is_draining_everywhere(bool on);
  bool is_ready(std::string_view node, bool reaches_majority);
  io::Task<void> restores_large_facts();
  io::Task<void> reads_large_facts();
};

io::Task<void> Voters::heals_a_learner() {
  co_await wait_for_voters({"n1", "n2", "n3"});
  co_await stop(*nodes_[1]);
  voters_.learners.insert("n2");
  nodes_[1]->start();
  co_await until([this] { return follows(*nodes_[1]) && voters_.learners.empty(); });
}
TEST_F(Voters, ALearnerThatIsRecordedAsAVoterBecomesOne) { run(3, heals_a_learner()); }

io::Task<void> Voters::heals_a_record() {
  co_await wait_for_voters({"n1", "n2", "n3"});
  co_await stop(*nodes_[1]);
  co_await change_record("n2", [](cluster::Member& member) {
    member.etcd_client.clear();
    member.etcd_peer.clear();
  });
  co_await until([this] { return voting() == std::set<std::string>{"n1", "n3"}; });
  nodes_[1]->start();
  co_await wait_for_voters({"n1", "n2", "n3"});
}
TEST_F(Voters, AVoterThatWasNeverRecordedIsRecorded) { run(3, heals_a_record()); }

// Its etcd votes when the disk fills up, before the node has written down that it is a voter.
io::Task<void> Voters::survives_a_full_disk() {
  co_await wait_for_voters({"n1"});
  voters_.when_joined = [this] { nodes_[1]->disk.set_space(0); };
  co_await ask(*nodes_[0], "POST", "nodes/n2/promote", "{}");
  co_await until([this] { return voters_.members.contains("n2"); });
  co_await pass(seconds(20));
  EXPECT_FALSE(nodes_[1]->has_ended());
  EXPECT_EQ(voting(), std::set<std::string>{"n1"});
  nodes_[1]->disk.set_space(uint64_t{64} << 30);
  co_await wait_for_voters({"n1", "n2"});
  EXPECT_TRUE(nodes_[1]->parts()->state().voter);
  co_await stop(*nodes_[1]);
  nodes_[1]->start();
  co_await until([this] { return follows(*nodes_[1]) && nodes_[1]->parts()->state().voter; });
}
TEST_F(Voters, ADiskThatFillsUpOnTheWayToAVoteEndsNoNode) { run(2, survives_a_full_disk()); }

io::Task<void> Voters::gives_up_one_without_etcd() {
  co_await until([this] { return voters_.tries > 0; });
  co_await wait_for_voters({"n1", "n3", "n4"}, minutes(8));
  EXPECT_EQ(voters_.unbegun, "");
  EXPECT_FALSE(nodes_[0]->parts()->members().find("n2")->voter);
  co_await until([this] { return !nodes_[1]->has_authority(); });
  EXPECT_TRUE(nodes_[2]->has_authority());
  // It is not chosen again at once, though a voter more is needed.
  const int tries = voters_.tries;
  co_await stop(*nodes_[3]);
  co_await pass(minutes(10));
  EXPECT_EQ(voters_.tries, tries);
}
TEST_F(Voters, ANodeWithoutEtcdKeepsNoOtherFromVoting) {
  voters_.without_etcd = "n2";
  run(4, gives_up_one_without_etcd());
}

io::Task<void> Voters::has_one_vote_of_two() {
  co_await wait_for_voters({"n1", "n2", "n3"});
  EXPECT_TRUE(nodes_[1]->has_authority());
  co_await ask(*nodes_[2], "POST", "leave", R"({"force":true})");
  co_await wait_for_voters({"n1", "n2"});
  co_await wait_for_voters({"n1"}, minutes(3));
  // Whoever has no vote gives nobody a certificate.
  co_await until([this] { return nodes_[1]->parts() && !nodes_[1]->parts()->state().voter; });
  EXPECT_FALSE(nodes_[1]->has_authority());
  EXPECT_TRUE(nodes_[0]->has_authority());
  const std::string token = co_await ask(*nodes_[0], "POST", "token", "{}");
  co_await ask(*nodes_[2], "POST", "join", token);
  co_await wait_for_voters({"n1", "n2", "n3"}, minutes(3));
  EXPECT_TRUE(nodes_[1]->has_authority());
}
TEST_F(Voters, TwoNodesThatAreLeftOfThreeHaveOneVote) { run(3, has_one_vote_of_two()); }

// The third one was chosen, and gets no vote.
io::Task<void> Voters::goes_back_to_an_odd_number() {
  co_await until([this] { return voters_.tries > 0; });
  co_await wait_for_voters({"n1", "n2"});
  co_await wait_for_voters({"n1"}, minutes(8));
  co_await pass(minutes(30));
  co_await wait_for_voters({"n1"});
}
TEST_F(Voters, TwoVotersAreNotKeptWhereNoThirdOneCanVote) {
  voters_.without_etcd = "n3";
  run(3, goes_back_to_an_odd_number());
}

io::Task<void> Voters::waits_for_a_third_one() {
  co_await stop(*nodes_[2]);
  co_await pass(minutes(5));
  co_await wait_for_voters({"n1"}, minutes(5));
  co_await pass(minutes(5));
  co_await wait_for_voters({"n1"});
  nodes_[2]->start();
  co_await wait_for_voters({"n1", "n2", "n3"}, minutes(3));
}
TEST_F(Voters, OneVotesAsLongAsTheThirdNodeIsOff) { run(3, waits_for_a_third_one()); }

io::Task<void> Voters::keeps_a_vote_that_was_asked_for() {
  co_await ask(*nodes_[0], "POST", "nodes/n2/promote", "{}");
  co_await wait_for_voters({"n1", "n2"});
  co_await pass(minutes(10));
  co_await wait_for_voters({"n1", "n2"});
}
TEST_F(Voters, AVoteThatWasAskedForStays) { run(2, keeps_a_vote_that_was_asked_for()); }

bool Voters::is_draining_everywhere(bool on) {
  return std::ranges::all_of(nodes_, [on](const auto& node) {
    return node->parts()->members().find("n4")->draining == on;
  });
}

io::Task<void> Voters::drain_through(testing::NodeForTest& node, bool on) {
  const io::TimePoint begun = sim_.clock().now();
  const auto change = [on](cluster::Member& member) { member.draining = on; };
  const auto changed = co_await node.parts()->members().update("n4", change, {});
  EXPECT_TRUE(changed) << node.name() << ": " << changed.error().what;
  EXPECT_LT(sim_.clock().now() - begun, seconds(1)) << node.name();
}

// Whichever it is: changes are made through all nodes, none takes longer for it, and all hear.
io::Task<void> Voters::does_without_an_etcd() {
  co_await wait_for_voters({"n1", "n2", "n3"});
  for (const char* gone : {"n1", "n2", "n3"}) {
    lose_etcd(gone);
    co_await pass(seconds(10));
    for (auto& node : nodes_) {
      for (const bool on : {true, false}) {
        co_await drain_through(*node, on);
        co_await until([this, on] { return is_draining_everywhere(on); }, seconds(2));
      }
    }
    bring_etcd_back(gone);
    co_await pass(seconds(10));
    EXPECT_TRUE(voters_.members.contains(gone));
  }
}
TEST_F(Voters, NobodyIsHeldUpByOneWhoseEtcdIsGone) { run(4, does_without_an_etcd()); }

// As the first node sees it.
bool Voters::is_ready(std::string_view node, bool reaches_majority) {
  const cluster::View view = nodes_[0]->parts()->reports().view();
  const cluster::NodeInfo* told = view.find(node);
  return told && told->state == cluster::NodeState::ready &&
         told->reaches_majority == reaches_majority;
}

io::Task<void> Voters::starts_without_its_etcd() {
  co_await wait_for_voters({"n1", "n2", "n3"});
  co_await stop(*nodes_[1]);
  voters_.gone.insert("n2");
  nodes_[1]->start();
  co_await until([this] { return follows(*nodes_[1]); }, seconds(20));
  co_await until([this] { return is_ready("n2", false); });
  const std::string status = co_await ask(*nodes_[0], "GET", "", "");
  EXPECT_NE(status.find(R"("state":"ready","majority":false)"), status.npos) << status;
  bring_etcd_back("n2");
  co_await wait_for_voters({"n1", "n2", "n3"});
  co_await until([this] { return is_ready("n2", true); });
}
TEST_F(Voters, OneStartsWithoutItsEtcdAndSaysSo) { run(3, starts_without_its_etcd()); }

// The first by name, which would decide.
io::Task<void> Voters::replaces_one_without_etcd() {
  co_await wait_for_voters({"n1", "n2", "n3"});
  lose_etcd("n1");
  co_await pass(minutes(9));
  EXPECT_TRUE(voters_.members.contains("n1"));
  co_await pass(minutes(1));
  co_await wait_for_voters({"n2", "n3", "n4"});
  co_await until([this] { return nodes_[0]->parts() && !nodes_[0]->parts()->state().voter; });
  EXPECT_FALSE(nodes_[0]->has_authority());
}
TEST_F(Voters, OneWhoseEtcdIsGoneIsReplacedAndKnowsIt) { run(4, replaces_one_without_etcd()); }

// As long as it is well it decides itself, and who decided meanwhile does not see it come back.
io::Task<void> Voters::forgives_one_that_was_back() {
  co_await wait_for_voters({"n1", "n2", "n3"});
  for (int times = 0; times < 2; times++) {
    lose_etcd("n1");
    co_await pass(seconds(10));
    bring_etcd_back("n1");
    co_await pass(minutes(11));
    EXPECT_TRUE(voters_.members.contains("n1"));
  }
  co_await wait_for_voters({"n1", "n2", "n3"});
}
TEST_F(Voters, OneWhoseEtcdIsGoneNowAndThenVotesOn) { run(4, forgives_one_that_was_back()); }

// On its way to a vote: its disk fills up, and etcd ends there. The node itself can be reached.
io::Task<void> Voters::gives_up_one_that_lost_its_etcd() {
  co_await until([this] { return voters_.gone.contains("n2"); });
  co_await until([this] { return !nodes_[0]->parts()->members().find("n2")->voter; }, minutes(3));
  nodes_[1]->disk.set_space(uint64_t{64} << 30);
  bring_etcd_back("n2");
  co_await pass(minutes(10));
  EXPECT_EQ(voting(), std::set<std::string>{"n1"});  // It is not chosen again at once.
}
TEST_F(Voters, OneThatLosesItsEtcdBeforeItVotesIsNotChosenAgainAtOnce) {
  voters_.when_joined = [this] {
    nodes_[1]->disk.set_space(0);
    lose_etcd("n2");
  };
  run(3, gives_up_one_that_lost_its_etcd());
}

// By its etcd, before the node has opened all of its parts.
io::Task<void> Voters::hears_of_its_removal_as_it_starts() {
  co_await wait_for_voters({"n1", "n2", "n3"});
  co_await stop(*nodes_[1]);
  voters_.when_resumed = [this] { voters_.members.erase("n2"); };
  nodes_[1]->start();
  co_await until([this] { return !voters_.when_resumed; });
  co_await wait_for_voters({"n1", "n2", "n3"});
}
TEST_F(Voters, OneThatIsRemovedWhileItStartsBecomesAVoterAnew) {
  run(3, hears_of_its_removal_as_it_starts());
}

// From the others, as its etcd does not run; what it waits for as it starts is another node's word.
io::Task<void> Voters::reads_of_its_removal_as_it_starts() {
  co_await wait_for_voters({"n1", "n2", "n3"});
  co_await stop(*nodes_[0]);
  co_await change_record("n1", [](cluster::Member& member) {
    member.voter = false;
    member.etcd_client.clear();
    member.etcd_peer.clear();
  });
  co_await stop(*nodes_[3]);
  voters_.gone.insert("n1");
  nodes_[0]->start();
  const auto serves_without = [this] {
    return nodes_[0]->parts() && !nodes_[0]->parts()->state().voter;
  };
  co_await until(serves_without, seconds(30));
}
TEST_F(Voters, OneThatLostItsVoteWhileItWasOffServesWithoutOne) {
  run(4, reads_of_its_removal_as_it_starts());
}

io::Task<void> Voters::restores_large_facts() {
  metadata::Snapshot snapshot;
  for (int i = 0; i < 60; i++) {
    const std::string key = fmt::format("/large/{:02}", i);
    snapshot.entries.push_back({.key = key, .value = std::string(100'000, 'v')});
  }
  co_await ask(*nodes_[0], "POST", "restore", metadata::write_backup(snapshot));
  const auto facts = facts_.all();
  const auto is_large = [](const auto& entry) { return entry.key.starts_with("/large/"); };
  EXPECT_EQ(std::ranges::count_if(facts.entries, is_large), 60);
}
TEST_F(Voters, ABackupOfLargeFactsIsRestoredWhole) { run(1, restores_large_facts()); }

io::Task<void> Voters::reads_large_facts() {
  const auto facts = facts_.node("somebody");
  for (int i = 0; i < 24; i++) {
    metadata::Transaction transaction;
    transaction.operations = {
        metadata::Operation::put(fmt::format("/large/{:02}", i), std::string(800'000, '"'))};
    EXPECT_TRUE((co_await facts->commit(std::move(transaction), {})).has_value());
  }
  co_await facts->stop();
  EXPECT_FALSE(nodes_[1]->parts()->state().voter);
  const auto read = co_await nodes_[1]->parts()->metadata().list("/large/", {});
  CO_ASSERT(read.has_value());
  EXPECT_EQ(read->entries.size(), 24u);
  EXPECT_EQ(read->entries.back().value, std::string(800'000, '"'));
  EXPECT_EQ(read->revision, facts_.revision());
}
TEST_F(Voters, ANodeWithoutAVoteReadsLargeFacts) { run(2, reads_large_facts()); }

}  // namespace
}  // namespace om::app
