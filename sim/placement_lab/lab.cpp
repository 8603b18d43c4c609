#include "sim/placement_lab/lab.h"

#include <algorithm>
#include <queue>

#include "base/check.h"
#include "sim/placement_lab/node_model.h"
#include "sim/random.h"

namespace om::lab {
namespace {

template <class T>
T percentile(std::vector<T> values, double part) {
  if (values.empty()) return {};
  const auto place = static_cast<size_t>(part * static_cast<double>(values.size() - 1));
  std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(place));
  return values[place];
}

io::TimePoint time_of(double seconds) {
  return io::TimePoint(
      std::chrono::duration_cast<io::Duration>(std::chrono::duration<double>(seconds)));
}

double seconds_of(io::TimePoint time) {
  return std::chrono::duration<double>(time.time_since_epoch()).count();
}

// What happens next, in time and then in the order it was planned.
struct Event {
  enum class What { arrive, submit, node, report, delivered, first_token, finished };
  double time = 0;
  uint64_t order = 0;
  What what = What::arrive;
  size_t subject = 0;  // A request or a node.
  size_t value = 0;    // A node, a version, or cached tokens.

  bool operator>(const Event& other) const {
    return std::pair(time, order) > std::pair(other.time, other.order);
  }
};

class Lab {
 public:
  Lab(const Trace& trace, PolicyKind kind, const LabOptions& options)
      : trace_(trace), options_(options), random_(options.seed * 31 + 5) {
    for (size_t i = 0; i < options.gateways; i++) {
      gateways_.push_back(make_policy(kind, trace, random_, options.placement));
    }
    for (size_t i = 0; i < trace.nodes.count; i++) {
      const double speed = i < trace.nodes.slow ? 0.1 : 1;
      nodes_.push_back(std::make_unique<NodeModel>(fmt::format("n{}", i), trace, speed));
    }
    versions_.resize(nodes_.size());
    last_report_.resize(nodes_.size(), -1);
    requests_.resize(trace.requests.size());
  }

  LabResult run() {
    start_ = HUGE_VAL;
    for (size_t i = 0; i < trace_.requests.size(); i++) {
      if (trace_.requests[i].arrives == io::kNever) continue;
      const double at = seconds_of(trace_.requests[i].arrives);
      start_ = std::min(start_, at);
      plan(at, Event::What::arrive, i);
    }
    for (size_t i = 0; i < nodes_.size(); i++) {
      nodes_[i]->advance(start_ - 1);
      if (!gateways_.front()->listens()) continue;
      report_now(i, start_ - 1);
      plan(start_ + options_.heartbeat_seconds * random_.unit(), Event::What::report, i);
    }
    while (done_ < requests_.size()) {
      CHECK(!events_.empty());
      const Event event = events_.top();
      events_.pop();
      handle(event);
    }
    return result();
  }

 private:
  struct State {
    size_t gateway = 0, node = 0;
    double arrived = 0, first = 0, finished = 0;
    int cached = 0;
    double expected = 0;  // Prompt tokens to evaluate, as the gateway believed.
  };

  void plan(double time, Event::What what, size_t subject, size_t value = 0) {
    events_.push(Event{time, ++order_, what, subject, value});
  }

  void handle(const Event& event) {
    switch (event.what) {
      case Event::What::arrive:
        return arrive(event.subject, event.time);
      case Event::What::submit: {
        collect(event.value, event.time);
        nodes_[event.value]->submit(event.subject, requests_[event.subject].expected, event.time);
        return wake(event.value, event.time);
      }
      case Event::What::node:
        if (versions_[event.subject] != event.value) return;
        collect(event.subject, event.time);
        return wake(event.subject, event.time);
      case Event::What::report:
        return report(event.subject, event.time);
      case Event::What::delivered:
        return deliver(event.subject, event.time);
      case Event::What::first_token:
        requests_[event.subject].first = event.time;
        return gateways_[requests_[event.subject].gateway]->first_token(event.subject,
                                                                        time_of(event.time));
      case Event::What::finished:
        return finish(event.subject, static_cast<int>(event.value), event.time);
    }
  }

  void arrive(size_t number, double now) {
    State& state = requests_[number];
    state.arrived = now;
    state.gateway = random_.below(gateways_.size());
    const int64_t before = options_.nanoseconds ? options_.nanoseconds() : 0;
    state.node = gateways_[state.gateway]->choose(number, time_of(now));
    if (options_.nanoseconds) decisions_.push_back(options_.nanoseconds() - before);
    gateways_[state.gateway]->sent(number, time_of(now));
    state.expected = gateways_[state.gateway]->expected_tokens(number);
    plan(now + options_.hop_seconds, Event::What::submit, number, state.node);
  }

  void collect(size_t node, double now) {
    for (const NodeEvent& event : nodes_[node]->advance(now)) {
      const auto what = event.what == NodeEvent::What::first_token ? Event::What::first_token
                                                                   : Event::What::finished;
      plan(now + options_.hop_seconds, what, event.request,
           static_cast<size_t>(event.cached_tokens));
    }
  }

  void wake(size_t node, double now) {
    versions_[node]++;
    if (const auto next = nodes_[node]->next()) {
      plan(std::max(now, *next), Event::What::node, node, versions_[node]);
    }
  }

  // Between heartbeats a node is looked at every report interval while requests run there.
  void report(size_t node, double now) {
    if (nodes_[node]->changed() || now - last_report_[node] >= options_.heartbeat_seconds) {
      collect(node, now);
      wake(node, now);
      report_now(node, now);
    }
    plan(now + options_.report_seconds, Event::What::report, node);
  }

  void report_now(size_t node, double now) {
    nodes_[node]->set_reported();
    last_report_[node] = now;
    on_the_way_.emplace_back(nodes_[node]->report());
    on_the_way_.back().reported = time_of(now);
    plan(now + options_.report_delay_seconds, Event::What::delivered, node);
  }

  void deliver(size_t, double) {
    // All take equally long, so they come in the order they were sent.
    for (const auto& gateway : gateways_) gateway->report(on_the_way_.front());
    on_the_way_.pop_front();
  }

  void finish(size_t number, int cached, double now) {
    State& state = requests_[number];
    state.finished = now;
    state.cached = cached;
    done_++;
    gateways_[state.gateway]->finished(number, cached, time_of(now));
    const LabRequest& request = trace_.requests[number];
    if (request.next == LabRequest::kNoNext) return;
    const double think = std::chrono::duration<double>(request.think).count();
    plan(now + think, Event::What::arrive, request.next);
  }

  LabResult result() const {
    LabResult result;
    std::vector<double> first, total;
    double cached = 0, prompt = 0, slow = 0;
    for (size_t i = 0; i < requests_.size(); i++) {
      const State& state = requests_[i];
      first.push_back(state.first - state.arrived);
      total.push_back(state.finished - state.arrived);
      cached += state.cached;
      prompt += trace_.requests[i].prompt_tokens;
      slow += state.node < trace_.nodes.slow ? 1 : 0;
      result.makespan = std::max(result.makespan, state.finished - start_);
    }
    result.first_token_p50 = percentile(first, 0.5);
    result.first_token_p99 = percentile(first, 0.99);
    result.total_p50 = percentile(total, 0.5);
    result.total_p99 = percentile(total, 0.99);
    result.hit_rate = cached / prompt;
    double busiest = 0, busy = 0;
    for (const auto& node : nodes_) {
      busiest = std::max(busiest, node->busy_seconds());
      busy += node->busy_seconds();
      result.loads += node->loads();
    }
    result.imbalance = busiest / (busy / static_cast<double>(nodes_.size()));
    if (trace_.nodes.slow > 0) {
      const double fair = static_cast<double>(requests_.size() * trace_.nodes.slow) /
                          static_cast<double>(nodes_.size());
      result.slow_share = slow / fair;
    }
    result.decision_p50_ns = percentile(decisions_, 0.5);
    result.decision_p99_ns = percentile(decisions_, 0.99);
    return result;
  }

  const Trace& trace_;
  const LabOptions& options_;
  sim::SimRandom random_;
  std::vector<std::unique_ptr<Policy>> gateways_;
  std::vector<std::unique_ptr<NodeModel>> nodes_;
  std::vector<uint64_t> versions_;
  std::vector<double> last_report_;
  std::deque<cluster::NodeInfo> on_the_way_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  std::vector<State> requests_;
  std::vector<int64_t> decisions_;
  uint64_t order_ = 0;
  size_t done_ = 0;
  double start_ = 0;
};

}  // namespace

LabResult play(const Trace& trace, PolicyKind kind, const LabOptions& options) {
  return Lab(trace, kind, options).run();
}

}  // namespace om::lab
