// Records of several nodes, one of which is slow.
#include <gmock/gmock.h>

#include <deque>

#include "base/rendezvous.h"
#include "generation/node_records_for_test.h"
#include "io/co_assert_for_test.h"

namespace om::generation {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Five nodes that reach each other; the first one answers.
class SlowRecords : public ::testing::Test {
 protected:
  using Member = RecordsNodeForTest;

  SlowRecords() {
    for (const char* name : {"n1", "n2", "n3", "n4", "n5"}) members_.emplace_back(world_, name);
    for (Member& member : members_) {
      for (const Member& other : members_) {
        if (&other != &member) member.others.push_back(other.link);
      }
    }
    for (size_t i = 1; i < members_.size(); i++) keepers_.push_back(&members_[i]);
    std::ranges::sort(keepers_, std::greater(),
                      [](const Member* member) { return rendezvous("a", member->link.node); });
  }
  void run(io::Task<void> test) {
    world_.run(std::move(test));
    for (Member& member : members_) world_.run(member.server.stop({}));
  }
  // How long that took.
  io::Task<io::Duration> add(Recording& recording, std::string lines) {
    const io::TimePoint before = world_.clock().now();
    EXPECT_TRUE(co_await recording.add(std::move(lines), {}));
    co_return world_.clock().now() - before;
  }

  io::Task<void> replace_a_slow_keeper() {
    const auto begun = co_await members_[0].take();
    EXPECT_LE(co_await add(*begun, "1\n"), milliseconds(100));
    keepers_[0]->delay = seconds(1);
    EXPECT_GE(co_await add(*begun, "2\n"), seconds(1)) << "once may be chance";
    EXPECT_GE(co_await add(*begun, "3\n"), seconds(1));
    for (const char* line : {"4\n", "5\n", "6\n"}) {
      EXPECT_LE(co_await add(*begun, line), milliseconds(100));
    }
    members_[0].others.clear();
    for (Member* keeper : keepers_) {  // It died.
      std::erase_if(keeper->others, [](const auto& link) { return link.node == "n1"; });
    }
    EXPECT_EQ((co_await keepers_[2]->take())->take_past(), "1\n2\n3\n4\n5\n6\n");
  }

  io::Task<void> keep_the_only_one() {
    members_[0].others = {keepers_[0]->link};
    const auto begun = co_await members_[0].take();
    keepers_[0]->delay = milliseconds(400);
    for (int i = 0; i < 6; i++) {
      EXPECT_LE(co_await add(*begun, "x\n"), milliseconds(500)) << "it is told all of it once";
    }
  }

  io::Task<void> give_up_a_silent_keeper_once() {
    const auto begun = co_await members_[0].take();
    EXPECT_LE(co_await add(*begun, "1\n"), milliseconds(100));
    keepers_[0]->delay = seconds(10);
    EXPECT_LE(co_await add(*begun, "2\n"), kRecordAnswerMax + milliseconds(100));
    EXPECT_LE(co_await add(*begun, "3\n"), milliseconds(100));
  }

  io::Task<io::Duration> time_of_take() {
    const io::TimePoint before = world_.clock().now();
    (void)co_await members_[0].take();
    co_return world_.clock().now() - before;
  }
  io::Task<void> pass_over_who_was_late() {
    keepers_[3]->delay = seconds(10);
    EXPECT_GE(co_await time_of_take(), kRecordAnswerMax);
    EXPECT_LE(co_await time_of_take(), milliseconds(100));
    const auto slept = co_await world_.clock().sleep_for(kLateRest);
    EXPECT_TRUE(slept);
    EXPECT_GE(co_await time_of_take(), kRecordAnswerMax) << "it may be well again";
    keepers_[2]->delay = seconds(10);
    (void)co_await time_of_take();
    EXPECT_GE(co_await time_of_take(), kRecordAnswerMax) << "it may have one of the first's";
  }

  sim::World world_{1};
  std::deque<Member> members_;
  std::vector<Member*> keepers_;  // In the order in which they are to keep "a".
};

TEST_F(SlowRecords, AreKeptElsewhereWhereTheirKeeperIsSlow) { run(replace_a_slow_keeper()); }
TEST_F(SlowRecords, StayWithTheOnlyOther) { run(keep_the_only_one()); }
TEST_F(SlowRecords, WaitOnceForAKeeperThatIsSilent) { run(give_up_a_silent_keeper_once()); }
TEST_F(SlowRecords, AreNotAskedForAtWhoWasLate) { run(pass_over_who_was_late()); }

}  // namespace
}  // namespace om::generation
