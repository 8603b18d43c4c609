// A voter's facts while its own etcd is gone. Both engines have the same facts, as voters do.
#include "cluster/voter_metadata.h"

#include <gtest/gtest.h>

#include "cluster/metadata_for_test.h"
#include "io/co_assert_for_test.h"
#include "sim/metadata.h"

namespace om::cluster {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class VoterFacts : public ::testing::Test {
 protected:
  void run(io::Task<void> body) { sim_.run(drive(std::move(body))); }
  io::Task<void> drive(io::Task<void> body) {
    co_await std::move(body);
    co_await facts_.stop();
    co_await own_->stop();
    shared_.end_all_leases();
  }
  void lose_own(bool others_too = false) {
    shared_.cut("own");
    if (others_too) shared_.cut("others");
    others_are_well_ = !others_too;
  }
  io::Task<Result<metadata::Commit>> put(std::string value) {
    metadata::Transaction transaction;
    transaction.operations = {metadata::Operation::put("/a", std::move(value))};
    return facts_.commit(std::move(transaction), {});
  }
  io::Task<void> put_and_hear(metadata::Watch& watch, std::string value) {
    const auto done = co_await put(value);
    CO_ASSERT(done.has_value());
    const auto events = co_await watch.next(sim_.clock().call_within(seconds(10)));
    CO_ASSERT(events.has_value());
    EXPECT_EQ(events->size(), 1U);
    EXPECT_EQ(events->back().entry.value, value);
  }
  io::Task<void> goes_on();
  io::Task<void> is_refused();
  io::Task<void> asks_the_other_one();
  io::Task<void> follows();
  io::Task<void> ends();
  io::Task<void> stays();

  sim::World sim_{7};
  sim::SharedMetadata shared_{sim_};
  bool others_are_well_ = true;
  std::unique_ptr<testing::BreakableMetadata> own_ =
      std::make_unique<testing::BreakableMetadata>(shared_.node("own"));
  VoterMetadata facts_{sim_.world(), *own_, shared_.node("others"),
                       [this] { return others_are_well_; }};
};

io::Task<void> VoterFacts::goes_on() {
  lose_own();
  const io::TimePoint begun = sim_.clock().now();
  const auto done = co_await put("1");
  CO_ASSERT(done.has_value());
  EXPECT_TRUE(done->done);
  const auto got = co_await facts_.get("/a", {});
  CO_ASSERT(got.has_value());
  EXPECT_EQ((*got)->value, "1");
  const auto lease = co_await facts_.grant(seconds(60), {});
  CO_ASSERT(lease.has_value());
  EXPECT_TRUE((co_await facts_.keep_alive(*lease, {})).has_value());
  EXPECT_TRUE((co_await facts_.revoke(*lease, {})).has_value());
  EXPECT_TRUE(facts_.healthy());
  EXPECT_LT(sim_.clock().now() - begun, seconds(1));  // Its own etcd was not waited for.
}
TEST_F(VoterFacts, AreChangedAndReadThroughOthers) { run(goes_on()); }

io::Task<void> VoterFacts::is_refused() {
  lose_own(true);
  const io::TimePoint begun = sim_.clock().now();
  const auto done = co_await put("1");
  CO_ASSERT(!done.has_value());
  EXPECT_EQ(done.error().code, Errc::not_leader);
  EXPECT_FALSE(facts_.healthy());
  EXPECT_LT(sim_.clock().now() - begun, seconds(2));
}
TEST_F(VoterFacts, AreNotChangedWhereNobodyHasAMajority) { run(is_refused()); }

// What is known of an engine may be of a moment ago.
io::Task<void> VoterFacts::asks_the_other_one() {
  own_->says_healthy = true;
  own_->away = true;
  const auto through_others = co_await put("1");
  CO_ASSERT(through_others.has_value());
  EXPECT_TRUE(through_others->done);
  own_->says_healthy = false;
  own_->away = false;
  shared_.cut("others");
  const auto through_own = co_await put("2");
  CO_ASSERT(through_own.has_value());
  EXPECT_TRUE(through_own->done);
  EXPECT_EQ(shared_.all().entries.back().value, "2");
}
TEST_F(VoterFacts, AreChangedThroughTheOtherWhereTheFirstHasNoMajority) {
  run(asks_the_other_one());
}

io::Task<void> VoterFacts::follows() {
  const auto watch = facts_.watch("/", 1);
  co_await put_and_hear(*watch, "before");
  lose_own();
  co_await put_and_hear(*watch, "meanwhile");
  co_await put_and_hear(*watch, "and again");
  shared_.heal("own");
  co_await put_and_hear(*watch, "afterwards");
  (void)co_await sim_.clock().sleep_for(seconds(10));
  shared_.cut("others");
  others_are_well_ = false;
  co_await put_and_hear(*watch, "alone");  // It has come back.
}
TEST_F(VoterFacts, AreFollowedThroughOthersAndBack) { run(follows()); }

// For an election, however much changed before it and however long ago it was quiet.
io::Task<void> VoterFacts::stays() {
  const auto watch = facts_.watch("/", 1);
  for (int i = 0; i < 6; i++) {
    co_await put_and_hear(*watch, fmt::format("{}", i));
    (void)co_await sim_.clock().sleep_for(milliseconds(900));
  }
  own_->says_healthy = false;
  const auto quiet = co_await watch->next(sim_.clock().call_within(milliseconds(1100)));
  EXPECT_FALSE(quiet.has_value());
  lose_own();
  const auto done = co_await put("meanwhile");
  CO_ASSERT(done.has_value());
  const auto events = co_await watch->next(sim_.clock().call_within(milliseconds(500)));
  EXPECT_FALSE(events.has_value()) << "it has moved already";
}
TEST_F(VoterFacts, AreFollowedWhereTheyAreDuringAnElection) { run(stays()); }

io::Task<void> VoterFacts::ends() {
  lose_own();
  const auto watch = facts_.watch("/", 1);
  const auto quiet = co_await watch->next(sim_.clock().call_within(seconds(8)));
  EXPECT_EQ(quiet.error().code, Errc::deadline_exceeded);
  io::CancelSource source;
  const auto timer =
      sim_.clock().start_timer(sim_.clock().now() + seconds(5), [&source] { source.cancel(); });
  const auto ended = co_await watch->next({io::kNever, source.token()});
  EXPECT_EQ(ended.error().code, Errc::cancelled);
  sim_.clock().cancel_timer(timer);
}
TEST_F(VoterFacts, OfAWatchThatIsNotWantedEnd) { run(ends()); }

}  // namespace
}  // namespace om::cluster
