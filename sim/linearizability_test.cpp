// The search itself, on one register.
#include "sim/linearizability.h"

#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <numeric>

namespace om::sim {
namespace {

using Kind = LinearizabilityVerdict::Kind;

struct Access {
  bool writes = false;
  int value = 0;
  Interval when;
};

class Register final : public SequentialModel {
 public:
  explicit Register(std::vector<Access> accesses) : accesses_(std::move(accesses)) {}
  bool apply(size_t index) override {
    if (accesses_[index].writes) value_ = accesses_[index].value;
    return value_ == accesses_[index].value;
  }
  std::string state() const override { return std::to_string(value_); }
  void restore(const std::string& state) override { value_ = std::stoi(state); }

 private:
  std::vector<Access> accesses_;
  int value_ = 0;
};

Access write(int value, uint64_t called, uint64_t answered = Interval::kOpen) {
  return {true, value, {called, answered}};
}
Access read(int value, uint64_t called, uint64_t answered) {
  return {false, value, {called, answered}};
}

LinearizabilityVerdict check(std::vector<Access> accesses, size_t steps_max = 10'000) {
  std::ranges::sort(accesses, {}, [](const Access& one) { return one.when.called; });
  std::vector<Interval> intervals;
  for (const Access& one : accesses) intervals.push_back(one.when);
  Register model(std::move(accesses));
  return check_linearizable(model, intervals, steps_max);
}

TEST(Linearizability, HoldsForOneAfterTheOther) {
  EXPECT_EQ(check({}).kind, Kind::holds);
  EXPECT_EQ(check({read(0, 1, 2), write(5, 3, 4), read(5, 5, 6)}).kind, Kind::holds);
}

TEST(Linearizability, FindsAStaleReadAndALostWrite) {
  const auto stale = check({write(5, 1, 2), write(6, 3, 4), read(5, 5, 6)});
  EXPECT_EQ(stale.kind, Kind::broken);
  EXPECT_EQ(stale.misfit, 2U);
  EXPECT_EQ(check({write(5, 1, 2), read(0, 3, 4)}).kind, Kind::broken);
}

TEST(Linearizability, LetsWhatOverlapsComeInEitherOrder) {
  EXPECT_EQ(check({write(5, 1, 6), read(0, 2, 3), read(5, 4, 5)}).kind, Kind::holds);
  EXPECT_EQ(check({write(5, 1, 6), read(5, 2, 3), read(0, 4, 5)}).kind, Kind::broken);
}

TEST(Linearizability, LetsAnUnansweredWriteBeDoneLateOrNever) {
  EXPECT_EQ(check({write(5, 1), read(0, 2, 3)}).kind, Kind::holds);
  EXPECT_EQ(check({write(5, 1), read(0, 2, 3), read(5, 4, 5)}).kind, Kind::holds);
  EXPECT_EQ(check({write(5, 1), write(6, 2, 3), read(5, 4, 5)}).kind, Kind::holds);
  EXPECT_EQ(check({write(5, 1), read(5, 2, 3), read(0, 4, 5)}).kind, Kind::broken);
  EXPECT_EQ(check({write(5, 1), write(6, 2, 3), read(5, 4, 5), read(6, 6, 7), read(5, 8, 9)}).kind,
            Kind::broken);
}

TEST(Linearizability, IsVoidWhereTheSearchIsCutShort) {
  std::vector<Access> accesses;
  for (int i = 0; i < 30; i++) accesses.push_back(write(i + 1, static_cast<uint64_t>(i) + 1));
  accesses.push_back(read(99, 100, 101));
  EXPECT_EQ(check(accesses, 1'000).kind, Kind::void_);
  EXPECT_EQ(check(accesses, 1'000).steps, 1'001U);
}

// By trying all orders.
bool holds(const std::vector<Access>& accesses) {
  std::vector<size_t> order(accesses.size());
  std::iota(order.begin(), order.end(), 0);
  do {
    // Those that were not answered may also be left out: all that come after the last answer.
    int value = 0;
    size_t answered = 0, all_answered = 0;
    for (const Access& one : accesses) all_answered += one.when.answered != Interval::kOpen;
    bool fits = true;
    for (size_t i = 0; i < order.size() && fits && answered < all_answered; i++) {
      const Access& one = accesses[order[i]];
      for (size_t j = i + 1; j < order.size(); j++) {
        fits = fits && accesses[order[j]].when.answered > one.when.called;
      }
      if (one.writes) value = one.value;
      fits = fits && value == one.value;
      answered += one.when.answered != Interval::kOpen;
    }
    if (fits) return true;
  } while (std::ranges::next_permutation(order).found);
  return false;
}

RC_GTEST_PROP(Linearizability, IsFoundWhereverSomeOrderFits, ()) {
  const int count = *rc::gen::inRange(1, 7);
  std::vector<uint64_t> moments(static_cast<size_t>(count) * 2);
  std::iota(moments.begin(), moments.end(), 1);
  for (size_t i = moments.size(); i > 1; i--) {
    std::swap(moments[i - 1], moments[*rc::gen::inRange<size_t>(0, i)]);
  }
  std::vector<Access> accesses;
  for (size_t i = 0; i < static_cast<size_t>(count); i++) {
    const auto [called, answered] = std::minmax(moments[2 * i], moments[2 * i + 1]);
    const int value = *rc::gen::inRange(0, 3);
    const int kind = *rc::gen::inRange(0, 5);
    if (kind < 3) accesses.push_back(read(value, called, answered));
    if (kind == 3) accesses.push_back(write(value, called, answered));
    if (kind == 4) accesses.push_back(write(value, called));
  }
  RC_ASSERT((check(accesses).kind == Kind::holds) == holds(accesses));
}

}  // namespace
}  // namespace om::sim
