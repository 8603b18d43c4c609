// Our placement against the others on small seeded traces, in virtual time.
#include <gtest/gtest.h>

#include "sim/placement_lab/lab.h"

namespace om::lab {
namespace {

// Small traces are noisy: a p99 of a few hundred requests hangs on three of them.
constexpr double kNoise = 1.1, kNoiseSeconds = 0.1;

struct Setting {
  TraceKind kind = TraceKind::chat;
  size_t gateways = 1;
};

LabResult mean_of(const Setting& setting, PolicyKind policy) {
  constexpr uint64_t kSeeds = 3;
  LabResult mean;
  for (uint64_t seed = 1; seed <= kSeeds; seed++) {
    const Trace trace = make_trace({.kind = setting.kind, .requests_per_node = 40, .seed = seed});
    const LabOptions options{.gateways = setting.gateways, .seed = seed};
    const LabResult one = play(trace, policy, options);
    mean.first_token_p50 += one.first_token_p50 / kSeeds;
    mean.first_token_p99 += one.first_token_p99 / kSeeds;
    mean.makespan += one.makespan / kSeeds;
    mean.hit_rate += one.hit_rate / kSeeds;
    mean.slow_share += one.slow_share / kSeeds;
  }
  return mean;
}

class PlacementLab : public ::testing::TestWithParam<Setting> {};

TEST_P(PlacementLab, OursIsNotWorseThanAnyOther) {
  const LabResult ours = mean_of(GetParam(), PolicyKind::ours);
  for (PolicyKind policy : kPolicyKinds) {
    if (policy == PolicyKind::ours) continue;
    const LabResult other = mean_of(GetParam(), policy);
    const std::string_view name = to_string(policy);
    EXPECT_LE(ours.first_token_p50, other.first_token_p50 * kNoise + kNoiseSeconds) << name;
    EXPECT_LE(ours.first_token_p99, other.first_token_p99 * kNoise + kNoiseSeconds) << name;
    EXPECT_LE(ours.makespan, other.makespan * 1.03) << name;
  }
}

std::vector<Setting> settings() {
  std::vector<Setting> all;
  for (TraceKind kind : kTraceKinds) {
    for (size_t gateways : {1, 4}) all.push_back({kind, gateways});
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Traces, PlacementLab, ::testing::ValuesIn(settings()),
                         [](const auto& info) {
                           std::string name(to_string(info.param.kind));
                           std::erase_if(name, [](char c) { return !std::isalpha(c); });
                           return fmt::format("{}{}", name, info.param.gateways);
                         });

TEST(PlacementLabRun, IsTheSameForTheSameSeed) {
  const Trace trace = make_trace({.kind = TraceKind::mixed, .requests_per_node = 20});
  const LabResult once = play(trace, PolicyKind::ours, {});
  const LabResult again = play(trace, PolicyKind::ours, {});
  EXPECT_EQ(once.first_token_p99, again.first_token_p99);
  EXPECT_EQ(once.makespan, again.makespan);
  EXPECT_EQ(once.hit_rate, again.hit_rate);
}

TEST(PlacementLabRun, ASlowNodeGetsAtMostAQuarterOfItsShare) {
  EXPECT_LE(mean_of({TraceKind::slow_node, 1}, PolicyKind::ours).slow_share, 0.25);
}

TEST(PlacementLabRun, NodesFindWhatTheyEvaluatedBefore) {
  // With one node every rule is the same, and a conversation's turns share what came before.
  const Trace trace = make_trace({.kind = TraceKind::chat, .nodes = 1});
  const double hits = play(trace, PolicyKind::round_robin, {}).hit_rate;
  EXPECT_GT(hits, 0.5);
  EXPECT_LT(hits, 1);
  EXPECT_EQ(play(trace, PolicyKind::ours, {}).hit_rate, hits);
}

}  // namespace
}  // namespace om::lab
