// Why the last requests went where they went, for people.
#pragma once

#include <deque>
#include <map>
#include <string>

namespace om::scheduler {

// The last decision on each of the last kMax requests, as JSON, by the request's id. A plain value.
class RecentDecisions {
 public:
  static constexpr size_t kMax = 1000;

  void put(const std::string& id, std::string decision) {
    if (id.empty()) return;
    if (!decisions_.contains(id)) order_.push_back(id);
    decisions_[id] = std::move(decision);
    if (order_.size() <= kMax) return;
    decisions_.erase(order_.front());
    order_.pop_front();
  }
  std::string find(const std::string& id) const {  // Empty: not known.
    const auto found = decisions_.find(id);
    return found == decisions_.end() ? std::string() : found->second;
  }

 private:
  std::map<std::string, std::string> decisions_;
  std::deque<std::string> order_;  // Oldest first.
};

}  // namespace om::scheduler
