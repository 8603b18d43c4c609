#include "scheduler/fair_queue.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <set>

namespace om::scheduler {
namespace {

using std::chrono::seconds;

constexpr io::TimePoint kNow{std::chrono::hours(1)};

QueuedRequest request(uint64_t id, std::string key = "", double work = 1) {
  return {.id = id, .key = std::move(key), .work = work, .since = kNow};
}

std::vector<uint64_t> served(FairQueue& queue, io::TimePoint now = kNow) {
  std::vector<uint64_t> order;
  while (auto next = queue.peek(now)) {
    EXPECT_TRUE(queue.serve(*next));
    order.push_back(*next);
  }
  return order;
}

TEST(FairQueue, ServesOneKeyInOrder) {
  FairQueue queue;
  for (uint64_t id = 1; id <= 3; id++) queue.push(request(id));
  EXPECT_EQ(queue.peek(kNow), 1u);
  EXPECT_EQ(served(queue), (std::vector<uint64_t>{1, 2, 3}));
  EXPECT_EQ(queue.peek(kNow), std::nullopt);
}

TEST(FairQueue, TakesTurnsBetweenKeysHoweverManyOneHas) {
  FairQueue queue;
  for (uint64_t id = 1; id <= 4; id++) queue.push(request(id, "greedy"));
  queue.push(request(10, "modest"));
  EXPECT_EQ(queue.ahead_of(request(11, "third"), kNow), 2u);
  EXPECT_EQ(served(queue), (std::vector<uint64_t>{1, 10, 2, 3, 4}));
}

TEST(FairQueue, CountsWorkAndWeights) {
  FairQueue queue;
  for (uint64_t id = 0; id < 100; id++) {
    queue.push({.id = id, .key = "a", .weight = 3, .work = 2, .since = kNow});
    queue.push({.id = 1000 + id, .key = "b", .weight = 1, .work = 1, .since = kNow});
  }
  double work_a = 0, work_b = 0;
  for (int i = 0; i < 100; i++) {
    const uint64_t next = *queue.peek(kNow);
    (next < 1000 ? work_a : work_b) += 1;
    queue.serve(next);
  }
  EXPECT_NEAR(work_a * 2 / work_b, 3, 0.3);
}

TEST(FairQueue, LetsPriorityGoFirstUntilTheOthersAreOld) {
  FairQueue queue;
  QueuedRequest batch = request(1);
  batch.priority = 2;
  queue.push(batch);
  QueuedRequest later = request(2);
  later.since = kNow + 3 * FairQueue::kAgeing;
  queue.push(later);
  EXPECT_EQ(queue.peek(kNow), 2u);
  EXPECT_EQ(queue.peek(kNow + 3 * FairQueue::kAgeing), 1u);
}

TEST(FairQueue, LeavesOutWhoseTimeIsOver) {
  FairQueue queue;
  QueuedRequest first = request(1), second = request(2);
  first.deadline = kNow + seconds(1);
  queue.push(first);
  queue.push(second);
  EXPECT_EQ(queue.next_deadline(), kNow + seconds(1));
  EXPECT_EQ(queue.peek(kNow + seconds(1)), 1u);
  EXPECT_EQ(queue.peek(kNow + seconds(2)), 2u);
  EXPECT_EQ(queue.take_expired(kNow + seconds(1)), std::vector<uint64_t>{1});
  EXPECT_EQ(queue.size(), 1u);
  EXPECT_EQ(queue.next_deadline(), std::nullopt);
}

TEST(FairQueue, ForgetsWorkThatWasNotDone) {
  FairQueue queue;
  queue.push(request(1, "a", 1000));
  queue.push(request(2, "b", 10));
  EXPECT_TRUE(queue.remove(1));
  EXPECT_FALSE(queue.remove(1));
  queue.push(request(3, "a"));
  queue.push(request(4, "b"));
  EXPECT_EQ(served(queue), (std::vector<uint64_t>{2, 3, 4}));
}

// Whatever comes, nobody is lost or served twice.
RC_GTEST_PROP(FairQueueProperty, LosesNobody, ()) {
  FairQueue queue;
  std::set<uint64_t> inside;
  io::TimePoint now = kNow;
  const int steps = *rc::gen::inRange(0, 120);
  for (int i = 0; i < steps; i++) {
    now += seconds(*rc::gen::inRange(0, 8));
    switch (*rc::gen::inRange(0, 5)) {
      case 0:
        if (auto next = queue.peek(now)) {
          RC_ASSERT(inside.erase(*next) == 1);
          RC_ASSERT(queue.serve(*next));
        }
        break;
      case 1:
        for (uint64_t id : queue.take_expired(now)) RC_ASSERT(inside.erase(id) == 1);
        break;
      case 2: {
        const uint64_t id = *rc::gen::inRange(0, 120);
        RC_ASSERT(queue.remove(id) == (inside.erase(id) == 1));
        break;
      }
      default: {
        QueuedRequest one{.id = static_cast<uint64_t>(i), .since = now};
        one.key = *rc::gen::element<std::string>("a", "b", "c");
        one.weight = *rc::gen::element(0.5, 1.0, 4.0);
        one.priority = *rc::gen::inRange(0, 4);
        one.work = *rc::gen::inRange(0, 50);
        one.deadline = *rc::gen::element(io::kNever, now + seconds(5));
        queue.push(one);
        inside.insert(one.id);
      }
    }
    RC_ASSERT(queue.size() == inside.size());
  }
}

// A request of the lowest priority is served although better ones never stop coming.
RC_GTEST_PROP(FairQueueProperty, StarvesNobody, ()) {
  FairQueue queue;
  io::TimePoint now = kNow;
  uint64_t id = 1;
  for (int i = 0; i < 20; i++)
    queue.push({.id = id++, .key = "flood", .priority = 0, .since = now});
  queue.push({.id = 0, .key = "old", .weight = 0.1, .priority = 3, .work = 10, .since = now});
  for (int second = 0; second < 300; second++) {
    now += seconds(1);
    const auto next = queue.peek(now);
    RC_ASSERT(next.has_value());
    if (*next == 0) return;
    RC_ASSERT(queue.serve(*next));
    const int more = *rc::gen::inRange(0, 3);
    for (int i = 0; i < more; i++) {
      queue.push({.id = id++,
                  .key = *rc::gen::element<std::string>("flood", "other"),
                  .weight = 100,
                  .priority = 0,
                  .work = 5,
                  .since = now});
    }
    if (queue.size() < 2) queue.push({.id = id++, .key = "flood", .priority = 0, .since = now});
  }
  RC_FAIL("it was never served");
}

}  // namespace
}  // namespace om::scheduler
