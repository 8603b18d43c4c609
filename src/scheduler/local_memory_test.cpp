// Main memory and graphics cards of one node, as other programs come and go.
#include <gmock/gmock.h>

#include "scheduler/local_node_for_test.h"

namespace om::scheduler::testing {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;

io::Task<void> lends_what_is_left(Node& node) {
  node.scheduler.note_memory_left(100);
  auto refused = co_await node.acquire(target("a"));
  CO_ASSERT(!refused);
  EXPECT_THAT(refused.error().what, HasSubstr("needs"));
  node.scheduler.note_memory_left(10'000);
  EXPECT_EQ(node.scheduler.memory_total(), 1000u) << "as much as is meant for models";
  auto lease = co_await node.acquire(target("a"));  // 140 bytes, 40 of which are no file's.
  CO_ASSERT(lease);
  node.scheduler.note_memory_left(400);
  EXPECT_EQ(node.scheduler.memory_total(), 140u + 380 - 100);
  node.scheduler.note_memory_left(404);
  EXPECT_EQ(node.scheduler.memory_total(), 140u + 380 - 100) << "no news";
}
TEST(LocalMemory, LendsNoMemoryThatOtherProgramsTook) {
  LocalSchedulerOptions options;
  options.memory_total = 1000;
  Node node(options);
  node.script.anonymous_bytes = 40;
  node.run(lends_what_is_left);
}

io::Task<void> counts_a_shared_card_once(Node& node) {
  auto lease = co_await node.acquire(target("a"));  // 140 bytes, 100 of which the card has.
  CO_ASSERT(lease);
  node.scheduler.note_memory_left(400);
  EXPECT_EQ(node.scheduler.memory_total(), 140u + 380);
}
TEST(LocalMemory, SubtractsNotTwiceWhatACardTookOfTheMachinesMemory) {
  LocalSchedulerOptions options;
  options.memory_total = 1000;
  Node node(options);
  node.script.anonymous_bytes = 40;
  node.script.graphics_bytes = 100;
  node.run(counts_a_shared_card_once);
}

io::Task<void> drains_with_split_models(Node& node) {
  Target split = target("a");
  split.split.emplace().parts.push_back({.node = "n1"});
  for (Target wanted : {split, target("b")}) {
    Client& client = node.start(std::move(wanted), {.keep_alive = {seconds(-1)}});
    co_await node.pass(seconds(10));
    CO_ASSERT(client.lease);
  }
  node.scheduler.end_split();
  co_await node.pass(seconds(10));
  EXPECT_EQ(node.scheduler.loaded().size(), 2u) << "one of them answers";
  node.clients.clear();
  co_await node.pass(seconds(10));
  const auto loaded = node.scheduler.loaded();
  CO_ASSERT(loaded.size() == 1);
  EXPECT_EQ(loaded[0].name, "b");
}
TEST(LocalMemory, SplitModelsOfANodeThatDrainsEndOnceTheyAreIdle) {
  Node().run(drains_with_split_models);
}

io::Task<void> reserves_of_what_is_left(Node& node) {
  node.scheduler.note_memory_left(1000);
  EXPECT_EQ(node.scheduler.memory_total(), 650u);
  node.scheduler.note_memory_left(200);
  EXPECT_EQ(node.scheduler.memory_total(), 0u);
  co_return;
}
TEST(LocalMemory, LeavesTheReserveOfWhatIsLeft) {
  LocalSchedulerOptions options;
  options.memory_total = 700;
  options.memory_reserve = 300;
  Node(options).run(reserves_of_what_is_left);
}

// Cards that have so much left whenever they are asked.
class FakeCards final : public GraphicsMemory {
 public:
  FakeCards(uint64_t& left, int& asked) : left_(left), asked_(asked) {}
  io::Task<Result<uint64_t>> left() override {
    asked_++;
    co_return left_;
  }

 private:
  uint64_t& left_;
  int& asked_;
};

// 1000 bytes of main memory and 200 on cards; a model takes 140 bytes.
struct NodeWithCards : Node {
  NodeWithCards() : Node(options()) {
    scheduler.use_graphics(std::make_unique<FakeCards>(left, asked), left);
  }
  static LocalSchedulerOptions options() {
    LocalSchedulerOptions options;
    options.memory_total = 1000;
    return options;
  }
  uint64_t left = 200;
  int asked = 0;
};

io::Task<void> counts_both(Node& node) {
  EXPECT_EQ(node.scheduler.memory_total(), 1200u);
  node.script.graphics_bytes = 120;
  Client& client = node.start(target("a"));
  co_await node.pass(seconds(1));
  EXPECT_EQ(node.scheduler.node_info("n").graphics_used, 140u) << "as expected while it loads";
  co_await node.pass(seconds(2));
  CO_ASSERT(client.lease);
  const cluster::NodeInfo info = node.scheduler.node_info("n");
  EXPECT_EQ(info.memory_total, 1200u);
  EXPECT_EQ(info.memory_used, 140u);
  EXPECT_EQ(info.graphics_total, 200u);
  EXPECT_EQ(info.graphics_used, 120u) << "as it told";
  EXPECT_EQ(info.runners.front().graphics_bytes, 120u);
  EXPECT_EQ(node.scheduler.loaded().front().graphics_bytes, 120u);
  client.lease.reset();
}
TEST(LocalMemory, CountsCardsAndMainMemory) { NodeWithCards().run(counts_both); }

io::Task<void> goes_before_idle(Node& node) {
  node.script.graphics_bytes = 140;
  (co_await node.acquire(target("a")))->reset();
  const auto second = co_await node.acquire(target("b"));
  CO_ASSERT(second);
  EXPECT_EQ(node.script.find("a"), nullptr) << "it left the card";
  const auto third = co_await node.acquire(target("c"));
  CO_ASSERT(third);
  EXPECT_NE(node.script.find("b"), nullptr) << "busy: the third lies in main memory";
}
TEST(LocalMemory, GivesTheCardsToTheLatestWhileOthersAreIdle) {
  NodeWithCards().run(goes_before_idle);
}

io::Task<void> stays_off(Node& node) {
  node.script.graphics_bytes = 140;
  const auto on_card = co_await node.acquire(target("a"));
  CO_ASSERT(on_card);
  node.script.graphics_bytes = 0;
  Target off = target("b", 32000);  // 420 bytes.
  off.runner.num_gpu = 0;
  CO_ASSERT(co_await node.acquire(off));
  Target large = target("c", 32768);  // 427 bytes.
  large.runner.num_gpu = 0;
  node.scheduler.note_memory_left(300);
  const auto refused = co_await node.acquire(large);
  CO_ASSERT(!refused);
  EXPECT_THAT(refused.error().what, HasSubstr("needs"));
}
TEST(LocalMemory, LendsNoCardToWhoWantsNone) { NodeWithCards().run(stays_off); }

TEST(LocalMemory, AsksCardsAgainBeforeALoad) {
  NodeWithCards node;
  node.run([](Node& plain) -> io::Task<void> {
    auto& with_cards = static_cast<NodeWithCards&>(plain);
    plain.script.graphics_bytes = 100;
    co_await plain.pass(seconds(20));
    with_cards.left = 150;  // Another program takes some.
    (co_await plain.acquire(target("a")))->reset();
    EXPECT_EQ(with_cards.asked, 1);
    EXPECT_EQ(plain.scheduler.node_info("n").graphics_total, 150u);
    (co_await plain.acquire(target("a")))->reset();
    EXPECT_EQ(with_cards.asked, 1) << "nothing to load";
    co_await plain.pass(seconds(20));
    with_cards.left = 60;
    (co_await plain.acquire(target("b")))->reset();
    EXPECT_EQ(with_cards.asked, 2);
    EXPECT_EQ(plain.scheduler.node_info("n").graphics_total, 100u + 60);
  });
}

TEST(LocalMemory, LeavesAMarginOnEachCard) {
  const uint64_t gigabyte = uint64_t{1} << 30;
  const std::vector<engine::GraphicsCard> cards{
      {.name = "a", .total_bytes = 8 * gigabyte, .free_bytes = 7 * gigabyte},
      {.name = "b", .total_bytes = 8 * gigabyte, .free_bytes = gigabyte / 2},
      {.name = "c", .integrated = true, .total_bytes = 8 * gigabyte, .free_bytes = 8 * gigabyte}};
  EXPECT_EQ(memory_left(cards, kCardMargin), 6 * gigabyte);
  EXPECT_EQ(memory_left(cards, kCardMargin + 2 * gigabyte), 4 * gigabyte);
}

}  // namespace
}  // namespace om::scheduler::testing
