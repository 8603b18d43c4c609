#include "base/metrics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <thread>
#include <vector>

namespace om {
namespace {

TEST(Metrics, CounterIsRenderedWithHelpAndType) {
  MetricsRegistry registry;
  Counter refused{"ollamamax_requests_refused_total", "Requests answered 429 or 503.", registry};
  refused.add();
  refused.add(41);
  EXPECT_EQ(registry.render(),
            "# HELP ollamamax_requests_refused_total Requests answered 429 or 503.\n"
            "# TYPE ollamamax_requests_refused_total counter\n"
            "ollamamax_requests_refused_total 42\n");
}

TEST(Metrics, HelpEscapesBackslashAndNewline) {
  MetricsRegistry registry;
  Gauge gauge{"g", "a\\b\nc \"d\"", registry};
  EXPECT_EQ(registry.render(), "# HELP g a\\\\b\\nc \"d\"\n# TYPE g gauge\ng 0\n");
}

TEST(Metrics, GaugePrintsFractionsAndInfinities) {
  MetricsRegistry registry;
  Gauge gauge{"g", "h", registry};
  gauge.set(1.5);
  gauge.add(2);
  gauge.subtract(0.25);
  EXPECT_TRUE(registry.render().ends_with("\ng 3.25\n"));
  gauge.set(std::numeric_limits<double>::infinity());
  EXPECT_TRUE(registry.render().ends_with("\ng +Inf\n"));
  gauge.set(-std::numeric_limits<double>::infinity());
  EXPECT_TRUE(registry.render().ends_with("\ng -Inf\n"));
  gauge.set(std::numeric_limits<double>::quiet_NaN());
  EXPECT_TRUE(registry.render().ends_with("\ng NaN\n"));
}

TEST(Metrics, HistogramBucketsAreCumulativeAndBoundsBelongToTheirBucket) {
  MetricsRegistry registry;
  const double bounds[] = {0.1, 1, 10};
  Histogram wait{"wait_seconds", "Time in the queue.", bounds, registry};
  for (const double value : {0.1, 0.5, 1.0, 5.0, 100.0}) wait.observe(value);
  EXPECT_EQ(registry.render(),
            "# HELP wait_seconds Time in the queue.\n"
            "# TYPE wait_seconds histogram\n"
            "wait_seconds_bucket{le=\"0.1\"} 1\n"
            "wait_seconds_bucket{le=\"1\"} 3\n"
            "wait_seconds_bucket{le=\"10\"} 4\n"
            "wait_seconds_bucket{le=\"+Inf\"} 5\n"
            "wait_seconds_sum 106.6\n"
            "wait_seconds_count 5\n");
}

TEST(Metrics, FamilyRendersOneSampleForEachSetOfLabels) {
  MetricsRegistry registry;
  CounterFamily requests{"requests_total", "By path and code.", {"path", "code"}, registry};
  requests.with({"/api/chat", "200"}).add(3);
  requests.with({"/api/chat", "503"}).add();
  requests.with({"/api/chat", "200"}).add();
  EXPECT_EQ(registry.render(),
            "# HELP requests_total By path and code.\n"
            "# TYPE requests_total counter\n"
            "requests_total{path=\"/api/chat\",code=\"200\"} 4\n"
            "requests_total{path=\"/api/chat\",code=\"503\"} 1\n");
}

TEST(Metrics, LabelValuesCannotBreakOutOfTheirQuotes) {
  MetricsRegistry registry;
  GaugeFamily gauge{"g", "h", {"model"}, registry};
  gauge.with({"a\"} 1\nevil{x=\"\\\xff"}).set(7);
  EXPECT_EQ(registry.render(),
            "# HELP g h\n# TYPE g gauge\n"
            "g{model=\"a\\\"} 1\\nevil{x=\\\"\\\\\xEF\xBF\xBD\"} 7\n");
}

TEST(Metrics, HistogramFamilyPutsTheBoundAfterTheLabels) {
  MetricsRegistry registry;
  const double bounds[] = {1};
  HistogramFamily wait{"w", "h", {"model"}, bounds, registry};
  wait.with({"m"}).observe(0.5);
  EXPECT_EQ(registry.render(),
            "# HELP w h\n# TYPE w histogram\n"
            "w_bucket{model=\"m\",le=\"1\"} 1\n"
            "w_bucket{model=\"m\",le=\"+Inf\"} 1\n"
            "w_sum{model=\"m\"} 0.5\n"
            "w_count{model=\"m\"} 1\n");
}

TEST(Metrics, FamilyNeverGrowsBeyondItsBoundAndCountsTheRestTogether) {
  MetricsRegistry registry;
  CounterFamily requests{"r_total", "h", {"path"}, registry};
  for (size_t i = 0; i < 2 * CounterFamily::kSeriesMax; i++) {
    requests.with({std::to_string(i)}).add();
  }
  EXPECT_EQ(requests.size(), CounterFamily::kSeriesMax);
  EXPECT_EQ(requests.with({"other"}).value(), CounterFamily::kSeriesMax + 1);
  EXPECT_EQ(&requests.with({"not seen before"}), &requests.with({"other"}));
}

TEST(Metrics, RemovedSeriesDisappears) {
  MetricsRegistry registry;
  GaugeFamily gauge{"g", "h", {"model"}, registry};
  gauge.with({"m"}).set(1);
  gauge.remove({"m"});
  EXPECT_EQ(registry.render(), "# HELP g h\n# TYPE g gauge\n");
}

TEST(Metrics, SampledMetricAsksAtRenderTime) {
  MetricsRegistry registry;
  double now = 1;
  SampledMetric metric{SampledMetric::Type::gauge, "s", "h",
                       [&] { return std::vector{SampledMetric::Sample{"{a=\"b\"}", now}}; },
                       registry};
  now = 2;
  EXPECT_EQ(registry.render(), "# HELP s h\n# TYPE s gauge\ns{a=\"b\"} 2\n");
}

TEST(Metrics, MetricsAreOrderedByNameAndLeaveWhenDestroyed) {
  MetricsRegistry registry;
  Counter second{"b_total", "h", registry};
  {
    Counter first{"a_total", "h", registry};
    EXPECT_EQ(registry.size(), 2u);
    EXPECT_LT(registry.render().find("a_total"), registry.render().find("b_total"));
  }
  EXPECT_EQ(registry.size(), 1u);
}

// Answers of minutes are usual, and what takes longest is looked at first.
TEST(Metrics, SecondsTellAnAnswerOfFiveMinutesFromOneOfTwenty) {
  HistogramValue histogram(kSecondsBuckets);
  histogram.observe(290);
  histogram.observe(1200);
  EXPECT_EQ(histogram.in_bucket(kSecondsBuckets.size()), 0u);  // Above all bounds.
  const auto bound = std::ranges::lower_bound(kSecondsBuckets, 290.0);
  EXPECT_EQ(histogram.in_bucket(static_cast<size_t>(bound - kSecondsBuckets.begin())), 1u);
}

TEST(MetricsDeathTest, TwoMetricsOfOneNameAreABrokenInvariant) {
  MetricsRegistry registry;
  Counter first{"a_total", "h", registry};
  EXPECT_DEATH(Counter("a_total", "h", registry), "CHECK failed");
  EXPECT_DEATH(Counter("9a", "h", registry), "CHECK failed");
}

TEST(Metrics, ConcurrentAddsAreAllCounted) {
  MetricsRegistry registry;
  Counter counter{"c_total", "h", registry};
  HistogramFamily family{"w", "h", {"l"}, kSecondsBuckets, registry};
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; t++) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; i++) {
        counter.add();
        family.with({"x"}).observe(0.5);
      }
    });
  }
  for (int i = 0; i < 20; i++) EXPECT_FALSE(registry.render().empty());
  threads.clear();
  EXPECT_EQ(counter.value(), 4000u);
  EXPECT_EQ(family.with({"x"}).count(), 4000u);
  EXPECT_DOUBLE_EQ(family.with({"x"}).sum(), 2000.0);
}

}  // namespace
}  // namespace om
