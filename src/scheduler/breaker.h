// Circuit breakers: a node or runner that fails again and again gets no requests for a while, then
// one on trial, then slowly its share again (Nygard, "Release It!"). Time is passed in; on the io
// thread.
#pragma once

#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>

#include "io/task.h"
#include "scheduler/prefix_index.h"

namespace om::scheduler {

// closed -> open after kFailuresMax failures in a row; open -> half-open after a pause that doubles
// with each opening, up to kPauseMax; half-open: one request at a time until one succeeds; then
// closed, with a share that grows to 1 within kRamp.
class Breaker {
 public:
  enum class State { closed, open, half_open };
  static constexpr int kFailuresMax = 3;
  static constexpr std::chrono::seconds kPause{2}, kPauseMax{60}, kRamp{10};
  static constexpr double kFirstShare = 0.1;

  State state(io::TimePoint now) const;
  // Share of its usual requests that it may get now: 0 while open, or while a trial runs.
  double share(io::TimePoint now) const;
  // A request was sent. In half-open it is the trial; one that never ends counts for kTrialMax.
  void sent(io::TimePoint now);
  // An answer has begun: a trial that got this far keeps no others waiting for its end.
  void answers(io::TimePoint now);
  void succeeded(io::TimePoint now);
  // `sent`: when the request that failed was sent. Requests that were under way at the same failure
  // count once: a runner that dies under ten requests has died once.
  void failed(io::TimePoint sent, io::TimePoint now);
  // The request ended without telling anything of its server; its client left, say.
  void cancelled(io::TimePoint now);
  // Nothing is left to remember.
  bool is_idle(io::TimePoint now) const;

 private:
  static constexpr std::chrono::seconds kTrialMax{30};
  int failures_ = 0;  // In a row.
  int openings_ = 0;  // Since it last worked for long enough.
  bool open_ = false;
  io::TimePoint failed_at_{};  // The epoch: never.
  io::TimePoint until_{};      // While open: when it may be tried.
  io::TimePoint trial_{};      // When the trial was sent. The epoch: none runs.
  io::TimePoint closed_at_{};  // The epoch: it was never open.
};

// The breakers of all nodes and runners. Only recent failures take memory, for kBreakersMax at
// most: then the oldest failure is forgotten.
class Breakers {
 public:
  static constexpr size_t kBreakersMax = 4096;

  // The smaller of the node's share and that of its runner of the model.
  double share(NodeNumber node, uint64_t model, io::TimePoint now) const;
  // When the node itself last failed: until its next report it may be dead. The epoch: not lately.
  io::TimePoint node_failed_at(NodeNumber node) const;
  // When its runner of the model last failed: it has probably died. The epoch: not lately.
  io::TimePoint runner_failed_at(NodeNumber node, uint64_t model) const;
  bool empty() const { return breakers_.empty(); }
  void sent(NodeNumber node, uint64_t model, io::TimePoint now);
  void answers(NodeNumber node, uint64_t model, io::TimePoint now);
  void succeeded(NodeNumber node, uint64_t model, io::TimePoint now);
  void cancelled(NodeNumber node, uint64_t model, io::TimePoint now);
  void runner_failed(NodeNumber node, uint64_t model, io::TimePoint sent, io::TimePoint now);
  // The node cannot be reached, or its link broke.
  void node_failed(NodeNumber node, io::TimePoint sent, io::TimePoint now);
  void forget(NodeNumber node);

 private:
  struct Key {
    NodeNumber node = 0;
    bool whole_node = false;
    uint64_t model = 0;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    size_t operator()(const Key& key) const;
  };
  struct Watched {
    Breaker breaker;
    io::TimePoint failed{};
  };
  io::TimePoint failed_at(const Key& key) const;
  void fail(const Key& key, io::TimePoint sent, io::TimePoint now);
  template <class Act>
  void for_both(NodeNumber node, uint64_t model, io::TimePoint now, Act act);

  boost::unordered_flat_map<Key, Watched, KeyHash> breakers_;
};

}  // namespace om::scheduler
