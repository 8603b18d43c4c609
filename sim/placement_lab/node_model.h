// A node of the simulated cluster: runners with slots, continuous batching, a prompt cache with LRU
// eviction, loads and evictions as LocalScheduler does them. Advanced from event to event.
#pragma once

#include <deque>
#include <list>
#include <optional>
#include <unordered_map>
#include <vector>

#include "cluster/view.h"
#include "sim/placement_lab/trace.h"

namespace om::lab {

// What a llama-server keeps of prompts that it evaluated: sequences, each in use by one request at
// a time, in slots and in memory behind them; the least recently used dropped first. One that is
// gone on with is changed, unless most of it would be lost: then a copy is.
class SequenceCache {
 public:
  explicit SequenceCache(size_t chunks_max) : chunks_max_(chunks_max) {}
  // How many of the first a request finds that takes the sequence which has most of them.
  size_t take(const std::vector<uint64_t>& chunks);
  void put(std::vector<uint64_t> chunks);

 private:
  const size_t chunks_max_;
  size_t held_ = 0;
  std::list<std::vector<uint64_t>> sequences_;  // The most recently used first.
};

// What happened on a node while it advanced.
struct NodeEvent {
  enum class What { first_token, finished } what = What::first_token;
  size_t request = 0;
  int cached_tokens = 0;  // Of finished ones.
};

// Times are seconds since the run's begin.
class NodeModel {
 public:
  NodeModel(std::string name, const Trace& trace, double speed);

  // `expected`: prompt tokens it has to evaluate, as whoever sends it believes.
  void submit(size_t request, double expected, double now);
  // Lets everything happen up to `now`; then `next()` is when to come back, if nothing is
  // submitted.
  std::vector<NodeEvent> advance(double now);
  std::optional<double> next() const { return next_; }

  cluster::NodeInfo report() const;  // Without the time.
  bool changed() const { return changed_; }
  void set_reported() { changed_ = false; }
  double busy_seconds() const { return busy_; }
  size_t loads() const { return loads_; }

 private:
  struct Active {
    size_t request = 0;
    bool started = false, answered = false;
    int cached = 0;
    double prefill_left = 0, decode_left = 0;
    double started_at = 0, answered_at = 0;
  };
  struct Runner {
    size_t model = 0;
    bool loading = true, draining = false;
    double ready_at = 0, used_at = 0;
    std::vector<Active> active;
    std::deque<size_t> queue;
    SequenceCache cache;
    double prompt_rate = 0, output_rate = 0;  // Measured.
    int uses = 0;
  };

  void admit(double now);
  void start_loads(double now);
  bool make_room(uint64_t bytes, double now);
  uint64_t used() const;
  Runner* runner_of(size_t model);
  size_t busy_runners() const;
  static const Active* prefilling(const Runner& runner);
  double decode_rate(const Runner& runner) const;
  double step_end() const;
  void progress(double seconds);
  void settle(double now, std::vector<NodeEvent>& events);
  void plan_next();

  const std::string name_;
  const Trace& trace_;
  const double speed_;
  std::shared_ptr<const std::vector<Digest>> blobs_;
  std::list<Runner> runners_;
  std::unordered_map<size_t, double> expected_;    // Of requests whose evaluation has not begun.
  std::deque<std::pair<size_t, double>> to_load_;  // Requests without a runner, since when.
  double at_ = 0;
  std::optional<double> next_;
  bool changed_ = true;
  double busy_ = 0;
  size_t loads_ = 0;
};

}  // namespace om::lab
