// The requests of this gateway that nodes' reports cannot tell of yet.
//
// A request counts here from the moment it is routed until the first report that was made after it
// arrived. When it ends, it is subtracted from the last report until the next one comes. So a
// gateway knows at once that a node just became busy. A plain value on the io thread.
#pragma once

#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <span>
#include <vector>

#include "io/task.h"
#include "scheduler/prefix_index.h"

namespace om::scheduler {

// A report made within this time after an event may not tell of it yet.
inline constexpr std::chrono::milliseconds kReportSettle{100};

// One request as it was routed.
struct RoutedRequest {
  NodeNumber node = 0;
  uint64_t model = 0;
  double prompt_tokens = 0;       // To be evaluated by the node.
  uint64_t load_bytes = 0;        // Memory it will take for a load; 0: it is in memory.
  io::Duration expected_first{};  // When the first token should come.
};

// See above.
class LoadOverlay {
 public:
  using Ticket = uint64_t;  // 0: not counted.
  static constexpr size_t kRequestsMax = 1 << 16;

  // To be added to what a node's report says of a model.
  struct Extra {
    int requests = 0;          // Negative: since the report more have ended than were sent.
    double prompt_tokens = 0;  // Sent since the report.
    // Pending in the report, evaluated since, as first tokens show.
    double evaluated_tokens = 0;
    int own = 0;           // Requests of this gateway that run there, reported or not.
    bool loading = false;  // A request was sent that makes the node load; not reported yet.
    io::TimePoint load_since{};
    // How late the latest first token is, or was; reports tell of a slower node only afterwards.
    io::Duration overdue{};
  };

  Ticket add(const RoutedRequest& request, io::TimePoint now);
  void first_token(Ticket ticket, io::TimePoint now);
  void finish(Ticket ticket, io::TimePoint now);

  // `reported`: when the node's last report was made.
  Extra of(NodeNumber node, uint64_t model, io::TimePoint reported, io::TimePoint now) const;
  // Memory of loads sent to the node and not reported yet, of models other than `except`.
  uint64_t load_bytes(NodeNumber node, uint64_t except, io::TimePoint reported) const;
  int own_requests() const { return own_; }
  void forget(NodeNumber node);

 private:
  struct Entry {
    Ticket ticket = 0;
    RoutedRequest request;
    io::TimePoint routed{};
    io::TimePoint answered = io::kNever, ended = io::kNever;
  };

  std::vector<Entry>* list_of(Ticket ticket);
  std::span<const Entry> entries_of(NodeNumber node) const;

  // By node: numbers are dense, and few requests of one gateway are on one node.
  std::vector<std::vector<Entry>> nodes_;
  boost::unordered_flat_map<Ticket, NodeNumber> tickets_;
  Ticket last_ticket_ = 0;
  int own_ = 0;
};

}  // namespace om::scheduler
