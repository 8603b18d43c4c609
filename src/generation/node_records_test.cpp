#include "generation/node_records.h"

#include <gmock/gmock.h>

#include "generation/node_records_for_test.h"
#include "io/co_assert_for_test.h"

namespace om::generation {
namespace {

// One node, without others.
class NodeRecordsTest : public ::testing::Test {
 protected:
  io::Task<std::unique_ptr<Recording>> take(std::string name) {
    auto taken = co_await records_.take(std::move(name), "f", {}, {});
    EXPECT_TRUE(taken);
    co_return std::move(*taken);
  }
  io::Task<void> pass(io::Duration time) {
    const auto slept = co_await world_.clock().sleep_for(time);
    EXPECT_TRUE(slept);
  }

  io::Task<void> outlive_its_record() {
    const auto slow = co_await take("slow");
    EXPECT_TRUE(co_await slow->add("one\n", {}));
    co_await pass(kRecordAgeMax + std::chrono::seconds(1));
    const auto other = co_await take("other");  // It makes room.
    EXPECT_TRUE(co_await slow->add("two\n", {}));
    EXPECT_TRUE(co_await slow->add("three\n", {}));
    EXPECT_FALSE(slow->superseded().cancelled());
    EXPECT_EQ((co_await take("slow"))->take_past(), "") << "half an answer is none";
    EXPECT_TRUE(co_await slow->add("four\n", {}));
  }

  io::Task<void> be_taken() {
    const auto first = co_await take("a");
    EXPECT_TRUE(co_await first->add("one\n", {}));
    const auto second = co_await take("a");
    EXPECT_EQ(second->take_past(), "one\n");
    const auto added = co_await first->add("two\n", {});
    CO_ASSERT(!added);
    EXPECT_EQ(added.error().code, Errc::cancelled);
  }

  sim::World world_{1};
  http::Client client_{world_.world()};
  NodeRecords records_{world_.world(), client_, [] { return std::vector<engine::PeerLink>(); }};
};

TEST_F(NodeRecordsTest, LetAnAnswerGoOnWhoseRecordMadeRoomForOthers) {
  world_.run(outlive_its_record());
}

TEST_F(NodeRecordsTest, EndAnAnswerThatIsTakenElsewhere) { world_.run(be_taken()); }

// Two nodes, each of which keeps what the other one's clients get.
class TwoNodesRecords : public ::testing::Test {
 protected:
  using Member = RecordsNodeForTest;

  void reach_each_other() {
    one_.others = {two_.link};
    two_.others = {one_.link};
  }
  void run(io::Task<void> test) {
    world_.run(std::move(test));
    for (Member* member : {&one_, &two_}) world_.run(member->server.stop({}));
  }

  io::Task<void> go_on_at_the_other() {
    const auto begun = co_await one_.take();
    EXPECT_TRUE(co_await begun->add("one\n", {}));
    EXPECT_TRUE(co_await begun->add("two\n", {}));
    two_.others.clear();  // The first is dead.
    EXPECT_EQ((co_await two_.take())->take_past(), "one\ntwo\n");
  }

  io::Task<void> be_stopped_by_its_keeper() {
    const auto begun = co_await one_.take();
    EXPECT_TRUE(co_await begun->add("one\n", {}));
    two_.others.clear();  // The first hears nothing of it.
    const auto taken = co_await two_.take();
    const auto added = co_await begun->add("two\n", {});
    CO_ASSERT(!added);
    EXPECT_EQ(added.error().code, Errc::cancelled);
    EXPECT_EQ(taken->take_past(), "one\n");
  }

  io::Task<void> keep_what_the_newest_owner_said() {
    const auto begun = co_await one_.take();
    EXPECT_TRUE(co_await begun->add("one\n", {}));
    // The first says more than its keeper hears, and so than its client gets.
    one_.others.clear();
    two_.others.clear();
    const auto taken = co_await two_.take();
    EXPECT_EQ(taken->take_past(), "one\n");
    EXPECT_TRUE(co_await taken->add("and two\n", {}));
    EXPECT_FALSE(co_await begun->add("and something else that was never told\n", {}));
    reach_each_other();
    EXPECT_EQ((co_await one_.take())->take_past(), "one\nand two\n");
  }

  io::Task<void> forget_what_does_not_fit() {
    const auto begun = co_await one_.take();
    EXPECT_TRUE(co_await begun->add("a long line of another model\n", {}));
    Records::Fits none = [](std::string_view) { return false; };
    const auto anew = co_await two_.take(std::move(none));
    EXPECT_EQ(anew->take_past(), "");
    EXPECT_TRUE(begun->superseded().cancelled());
    one_.others.clear();
    two_.others.clear();  // The first keeps the long line.
    EXPECT_TRUE(co_await anew->add("new\n", {}));
    reach_each_other();
    EXPECT_EQ((co_await one_.take())->take_past(), "new\n");
  }

  sim::World world_{1};
  Member one_{world_, "n1"}, two_{world_, "n2"};
};

TEST_F(TwoNodesRecords, LetAnAnswerGoOnWhereItsNodeDied) {
  reach_each_other();
  run(go_on_at_the_other());
}

TEST_F(TwoNodesRecords, EndAnAnswerWhoseKeeperGaveItToAnother) {
  reach_each_other();
  run(be_stopped_by_its_keeper());
}

TEST_F(TwoNodesRecords, ForgetForGoodWhatAnAnswerCannotGoOnFrom) {
  reach_each_other();
  run(forget_what_does_not_fit());
}

TEST_F(TwoNodesRecords, GoOnFromWhatTheNewestOwnerSaidHoweverShort) {
  reach_each_other();
  run(keep_what_the_newest_owner_said());
}

}  // namespace
}  // namespace om::generation
