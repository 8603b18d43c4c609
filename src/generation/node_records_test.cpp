#include "generation/node_records.h"

#include <gmock/gmock.h>

#include "io/co_assert_for_test.h"
#include "sim/world.h"

namespace om::generation {
namespace {

// One node, without others.
class NodeRecordsTest : public ::testing::Test {
 protected:
  io::Task<std::unique_ptr<Recording>> take(std::string name) {
    auto taken = co_await records_.take(std::move(name), "f", {});
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

}  // namespace
}  // namespace om::generation
