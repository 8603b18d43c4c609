// The queue of one model: which request is served next when there are more requests than slots.
//
// Priority decides first; a request that waited kAgeing counts one class higher, so none starves.
// Within a class the queue is fair between keys by weight, counted in work and not in requests
// (start-time fair queueing, Goyal, Vin and Cheng 1996): a request that comes gets a tag, its key's
// last tag plus work / weight, and the least tag goes first. Pure: time is passed in. On the io
// thread.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "io/task.h"

namespace om::scheduler {

// A place in the queue.
struct QueuedRequest {
  uint64_t id = 0;        // Chosen by the caller; unique in the queue.
  std::string key;        // The client. Empty: anonymous; all anonymous requests share this key.
  double weight = 1;      // Of the key; its last request's weight holds.
  int priority = 1;       // 0: first. Up to kPrioritiesMax - 1.
  double work = 1;        // What it will cost, in one unit for all: tokens.
  io::TimePoint since{};  // When it came.
  io::TimePoint deadline = io::kNever;
};

// See above.
class FairQueue {
 public:
  static constexpr int kPrioritiesMax = 4;
  static constexpr std::chrono::seconds kAgeing{15};
  static constexpr double kWeightMin = 0.01, kWeightMax = 100;

  // The caller decides who may wait at all (WaitingRoom).
  void push(QueuedRequest request);
  // The next to be served; nullopt: none. Requests past their deadline are left to take_expired(),
  // which also takes those whose deadline is now.
  std::optional<uint64_t> peek(io::TimePoint now) const;
  bool serve(uint64_t id);   // Takes it out because it is served. False: not here.
  bool remove(uint64_t id);  // Takes it out because its client left. False: not here.
  std::vector<uint64_t> take_expired(io::TimePoint now);
  std::optional<io::TimePoint> next_deadline() const;

  size_t size() const { return entries_.size(); }
  size_t size_of(const std::string& key) const;
  // For tests: how many would be served before a request of this kind that came now.
  size_t ahead_of(const QueuedRequest& request, io::TimePoint now) const;

 private:
  struct Entry {
    QueuedRequest request;
    double tag = 0;
    uint64_t order = 0;
  };
  struct Key {
    double last_tag = 0;  // Where its next request begins, unless virtual_time_ is later.
    double weight = 1;
    size_t waiting = 0;
  };
  using Entries = std::list<Entry>;

  static int class_of(const QueuedRequest& request, io::TimePoint now);
  static bool goes_before(const Entry& a, const Entry& b, io::TimePoint now);
  Entries::const_iterator first(io::TimePoint now) const;
  Entries::iterator find(uint64_t id);
  void take(Entries::iterator place);
  double tag_for(const QueuedRequest& request) const;

  Entries entries_;  // In the order they came.
  std::map<std::string, Key> keys_;
  double virtual_time_ = 0;  // The tag of the last one served.
  uint64_t order_ = 0;
  size_t deadlines_ = 0;  // Entries that have one.
};

}  // namespace om::scheduler
