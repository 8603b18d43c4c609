// Counters, gauges and histograms, and their text for Prometheus (exposition format 0.0.4,
// https://prometheus.io/docs/instrumenting/exposition_formats/).
//
// Each room declares its metrics once, as inline globals in its metrics.h:
//
//   inline Counter refused{"ollamamax_requests_refused_total", "Requests answered 429 or 503."};
//   inline CounterFamily requests{"ollamamax_requests_total", "Requests by path and code.",
//                                 {"path", "code"}};
//   inline Histogram wait{"ollamamax_queue_wait_seconds", "Time in the queue.", kSecondsBuckets};
//
//   refused.add();   requests.with({"/api/chat", "200"}).add();   wait.observe(seconds);
//
// A metric belongs to a registry (the process's own unless told otherwise) from construction to
// destruction; two metrics of one name are a broken invariant. Everything may be called from any
// thread; add(), set() and observe() are relaxed atomics without locks. with() takes a lock: hot
// paths keep the reference.
#pragma once

#include <array>
#include <atomic>
#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace om {

class MetricsRegistry;
MetricsRegistry& metrics_registry();  // The process's own; never destroyed.

// What a registry can render.
class Metric {
 public:
  Metric(const Metric&) = delete;
  Metric& operator=(const Metric&) = delete;

  const std::string& name() const { return name_; }
  void render(std::string& out) const;  // HELP, TYPE and the samples.

 protected:
  enum class Kind { counter, gauge, histogram };
  Metric(Kind kind, std::string_view name, std::string_view help);
  virtual ~Metric() = default;
  // Called last in the constructor and first in the destructor of the final class, so that nobody
  // renders a half-built object.
  void join(MetricsRegistry& registry);
  void leave();
  virtual void render_samples(std::string& out) const = 0;

 private:
  friend class MetricsRegistry;
  const Kind kind_;
  const std::string name_;
  const std::string help_;
  MetricsRegistry* registry_ = nullptr;
};

// A room's or the process's catalogue of metrics.
class MetricsRegistry {
 public:
  std::string render() const;  // All metrics, ordered by name.
  size_t size() const;

 private:
  friend class Metric;
  mutable std::mutex mutex_;
  std::map<std::string, const Metric*, std::less<>> metrics_;
};

inline constexpr std::string_view kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";

// The numbers themselves, without name: what families hand out.
class CounterValue {
 public:
  void add(uint64_t count = 1) { value_.fetch_add(count, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// A number that goes up and down, such as requests running; any thread.
class GaugeValue {
 public:
  void set(double value) { value_.store(value, std::memory_order_relaxed); }
  void add(double amount = 1) { value_.fetch_add(amount, std::memory_order_relaxed); }
  void subtract(double amount = 1) { add(-amount); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

// How many observations fell into each range of values, and their sum; any thread.
class HistogramValue {
 public:
  // Upper bounds, rising, without +Inf.
  explicit HistogramValue(std::span<const double> bounds);
  void observe(double value);
  uint64_t count() const;
  double sum() const { return sum_.load(std::memory_order_relaxed); }
  std::span<const double> bounds() const { return bounds_; }
  // How many observations fell in bucket `index` alone; index bounds().size() is above all bounds.
  uint64_t in_bucket(size_t index) const { return counts_[index].load(std::memory_order_relaxed); }

 private:
  std::vector<double> bounds_;
  std::vector<std::atomic<uint64_t>> counts_;
  std::atomic<double> sum_{0};
};

// Up to what a long answer, a large model's load and a wait for either take.
inline constexpr std::array kSecondsBuckets = {0.001, 0.0025, 0.005, 0.01,  0.025, 0.05, 0.1,
                                               0.25,  0.5,    1.0,   2.5,   5.0,   10.0, 30.0,
                                               60.0,  120.0,  300.0, 600.0, 1800.0};

// A counter with its name in the registry.
class Counter final : public Metric, public CounterValue {
 public:
  Counter(std::string_view name, std::string_view help,
          MetricsRegistry& registry = metrics_registry());
  ~Counter() override { leave(); }

 private:
  void render_samples(std::string& out) const override;
};

// A gauge with its name in the registry.
class Gauge final : public Metric, public GaugeValue {
 public:
  Gauge(std::string_view name, std::string_view help,
        MetricsRegistry& registry = metrics_registry());
  ~Gauge() override { leave(); }

 private:
  void render_samples(std::string& out) const override;
};

// A histogram with its name in the registry.
class Histogram final : public Metric, public HistogramValue {
 public:
  Histogram(std::string_view name, std::string_view help, std::span<const double> bounds,
            MetricsRegistry& registry = metrics_registry());
  ~Histogram() override { leave(); }

 private:
  void render_samples(std::string& out) const override;
};

// Asks a function for its samples whenever it is rendered. The function is called under the
// registry's lock: it must be quick, thread-safe, and must not make or destroy metrics.
class SampledMetric final : public Metric {
 public:
  struct Sample {
    std::string labels;  // Ready to print: format_labels(), or empty.
    double value = 0;
  };
  using Sampler = std::function<std::vector<Sample>()>;
  enum class Type { counter, gauge };

  SampledMetric(Type type, std::string_view name, std::string_view help, Sampler sampler,
                MetricsRegistry& registry = metrics_registry());
  ~SampledMetric() override { leave(); }

 private:
  void render_samples(std::string& out) const override;
  Sampler sampler_;
};

// {path="/api/chat",code="200"}, values escaped.
std::string format_labels(std::span<const std::string> names,
                          std::span<const std::string_view> values);

// One name with several series, told apart by labels. At most kSeriesMax series are kept: further
// ones share the series whose labels are all "other", so foreign input cannot fill the memory.
template <class Value>
class Family final : public Metric {
 public:
  static constexpr size_t kSeriesMax = 256;

  Family(std::string_view name, std::string_view help,
         std::initializer_list<std::string_view> labels,
         MetricsRegistry& registry = metrics_registry())
    requires(!std::same_as<Value, HistogramValue>);
  Family(std::string_view name, std::string_view help,
         std::initializer_list<std::string_view> labels, std::span<const double> bounds,
         MetricsRegistry& registry = metrics_registry())
    requires(std::same_as<Value, HistogramValue>);
  ~Family() override { leave(); }

  // The series with these label values, made on first use; as many values as labels. The
  // reference is good until remove() of the same values, or the family's end.
  Value& with(std::initializer_list<std::string_view> values);
  // Forgets a series whose subject is gone (an unloaded model, a node that left).
  void remove(std::initializer_list<std::string_view> values);
  size_t size() const;

 private:
  void render_samples(std::string& out) const override;
  std::unique_ptr<Value> make_value() const;

  const std::vector<std::string> labels_;
  const std::vector<double> bounds_;
  mutable std::mutex mutex_;
  std::map<std::string, std::unique_ptr<Value>, std::less<>> series_;
};

using CounterFamily = Family<CounterValue>;
using GaugeFamily = Family<GaugeValue>;
using HistogramFamily = Family<HistogramValue>;

extern template class Family<CounterValue>;
extern template class Family<GaugeValue>;
extern template class Family<HistogramValue>;

}  // namespace om
