#include "base/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "base/utf8.h"

namespace om {
namespace {

bool name_valid(std::string_view name, bool colon_allowed) {
  if (name.empty() || (name[0] >= '0' && name[0] <= '9')) return false;
  return std::ranges::all_of(name, [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (colon_allowed && c == ':');
  });
}

std::string number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return fmt::format("{}", value);
}

void append_escaped(std::string& out, std::string_view text, bool quotes) {
  for (char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && quotes) {
      out += "\\\"";
    } else {
      out += c;
    }
  }
}

void append_sample(std::string& out, std::string_view name, std::string_view labels,
                   const CounterValue& value) {
  fmt::format_to(std::back_inserter(out), "{}{} {}\n", name, labels, value.value());
}

void append_sample(std::string& out, std::string_view name, std::string_view labels,
                   const GaugeValue& value) {
  fmt::format_to(std::back_inserter(out), "{}{} {}\n", name, labels, number(value.value()));
}

void append_sample(std::string& out, std::string_view name, std::string_view labels,
                   const HistogramValue& value) {
  // "{a="b"}" becomes "{a="b",le=...}".
  const std::string before =
      labels.empty() ? "{" : fmt::format("{},", labels.substr(0, labels.size() - 1));
  uint64_t below = 0;
  for (size_t i = 0; i <= value.bounds().size(); i++) {
    below += value.in_bucket(i);
    const auto bound = i < value.bounds().size() ? number(value.bounds()[i]) : "+Inf";
    fmt::format_to(std::back_inserter(out), "{}_bucket{}le=\"{}\"}} {}\n", name, before, bound,
                   below);
  }
  fmt::format_to(std::back_inserter(out), "{}_sum{} {}\n", name, labels, number(value.sum()));
  // The sum of the buckets just printed, so that count and +Inf agree under concurrent adds.
  fmt::format_to(std::back_inserter(out), "{}_count{} {}\n", name, labels, below);
}

}  // namespace

MetricsRegistry& metrics_registry() {
  // Never destroyed: globals of other files leave it while the program ends.
  static auto* registry = new MetricsRegistry();
  return *registry;
}

std::string MetricsRegistry::render() const {
  const std::lock_guard lock(mutex_);
  std::string out;
  for (const auto& [name, metric] : metrics_) metric->render(out);
  return out;
}

size_t MetricsRegistry::size() const {
  const std::lock_guard lock(mutex_);
  return metrics_.size();
}

Metric::Metric(Kind kind, std::string_view name, std::string_view help)
    : kind_(kind), name_(name), help_(help) {
  CHECK(name_valid(name, true), name);
}

void Metric::join(MetricsRegistry& registry) {
  const std::lock_guard lock(registry.mutex_);
  const bool fresh = registry.metrics_.emplace(name_, this).second;
  CHECK(fresh, name_);
  registry_ = &registry;
}

void Metric::leave() {
  const std::lock_guard lock(registry_->mutex_);
  registry_->metrics_.erase(name_);
}

void Metric::render(std::string& out) const {
  static constexpr std::string_view kTypes[] = {"counter", "gauge", "histogram"};
  out += "# HELP " + name_ + ' ';
  append_escaped(out, help_, false);
  fmt::format_to(std::back_inserter(out), "\n# TYPE {} {}\n", name_,
                 kTypes[static_cast<size_t>(kind_)]);
  render_samples(out);
}

HistogramValue::HistogramValue(std::span<const double> bounds)
    : bounds_(bounds.begin(), bounds.end()), counts_(bounds.size() + 1) {
  CHECK(std::ranges::is_sorted(bounds_, std::less_equal<>()) || bounds_.size() < 2);
}

void HistogramValue::observe(double value) {
  // A bound belongs to its own bucket: le means less or equal.
  const auto at = std::ranges::lower_bound(bounds_, value) - bounds_.begin();
  const size_t index = std::isnan(value) ? bounds_.size() : static_cast<size_t>(at);
  counts_[index].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
}

uint64_t HistogramValue::count() const {
  uint64_t total = 0;
  for (const auto& count : counts_) total += count.load(std::memory_order_relaxed);
  return total;
}

Counter::Counter(std::string_view name, std::string_view help, MetricsRegistry& registry)
    : Metric(Kind::counter, name, help) {
  join(registry);
}
void Counter::render_samples(std::string& out) const { append_sample(out, name(), "", *this); }

Gauge::Gauge(std::string_view name, std::string_view help, MetricsRegistry& registry)
    : Metric(Kind::gauge, name, help) {
  join(registry);
}
void Gauge::render_samples(std::string& out) const { append_sample(out, name(), "", *this); }

Histogram::Histogram(std::string_view name, std::string_view help, std::span<const double> bounds,
                     MetricsRegistry& registry)
    : Metric(Kind::histogram, name, help), HistogramValue(bounds) {
  join(registry);
}
void Histogram::render_samples(std::string& out) const { append_sample(out, name(), "", *this); }

SampledMetric::SampledMetric(Type type, std::string_view name, std::string_view help,
                             Sampler sampler, MetricsRegistry& registry)
    : Metric(type == Type::counter ? Kind::counter : Kind::gauge, name, help),
      sampler_(std::move(sampler)) {
  join(registry);
}

void SampledMetric::render_samples(std::string& out) const {
  for (const auto& sample : sampler_()) {
    fmt::format_to(std::back_inserter(out), "{}{} {}\n", name(), sample.labels,
                   number(sample.value));
  }
}

std::string format_labels(std::span<const std::string> names,
                          std::span<const std::string_view> values) {
  CHECK(names.size() == values.size());
  if (names.empty()) return {};
  std::string out = "{";
  for (size_t i = 0; i < names.size(); i++) {
    if (i > 0) out += ',';
    out += names[i] + "=\"";
    // The format is UTF-8: one broken byte would cost the whole page.
    append_escaped(out, utf8_repaired(values[i]), true);
    out += '"';
  }
  return out += '}';
}

template <class Value>
Family<Value>::Family(std::string_view name, std::string_view help,
                      std::initializer_list<std::string_view> labels, MetricsRegistry& registry)
  requires(!std::same_as<Value, HistogramValue>)
    : Metric(std::same_as<Value, CounterValue> ? Kind::counter : Kind::gauge, name, help),
      labels_(labels.begin(), labels.end()) {
  for (const auto& label : labels_) CHECK(name_valid(label, false), label);
  join(registry);
}

template <class Value>
Family<Value>::Family(std::string_view name, std::string_view help,
                      std::initializer_list<std::string_view> labels,
                      std::span<const double> bounds, MetricsRegistry& registry)
  requires(std::same_as<Value, HistogramValue>)
    : Metric(Kind::histogram, name, help),
      labels_(labels.begin(), labels.end()),
      bounds_(bounds.begin(), bounds.end()) {
  for (const auto& label : labels_) CHECK(name_valid(label, false) && label != "le", label);
  join(registry);
}

template <class Value>
std::unique_ptr<Value> Family<Value>::make_value() const {
  if constexpr (std::same_as<Value, HistogramValue>) {
    return std::make_unique<Value>(bounds_);
  } else {
    return std::make_unique<Value>();
  }
}

template <class Value>
Value& Family<Value>::with(std::initializer_list<std::string_view> values) {
  auto key = format_labels(labels_, values);
  const std::lock_guard lock(mutex_);
  auto found = series_.find(key);
  if (found != series_.end()) return *found->second;
  if (series_.size() + 1 >= kSeriesMax) {
    // The last place is kept for the series that takes the overflow.
    key = format_labels(labels_, std::vector<std::string_view>(labels_.size(), "other"));
    found = series_.find(key);
    if (found != series_.end()) return *found->second;
  }
  return *series_.emplace(std::move(key), make_value()).first->second;
}

template <class Value>
void Family<Value>::remove(std::initializer_list<std::string_view> values) {
  const auto key = format_labels(labels_, values);
  const std::lock_guard lock(mutex_);
  series_.erase(key);
}

template <class Value>
size_t Family<Value>::size() const {
  const std::lock_guard lock(mutex_);
  return series_.size();
}

template <class Value>
void Family<Value>::render_samples(std::string& out) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [labels, value] : series_) append_sample(out, name(), labels, *value);
}

template class Family<CounterValue>;
template class Family<GaugeValue>;
template class Family<HistogramValue>;

}  // namespace om
