// Plays a trace against a placement rule on simulated nodes, in virtual time. The same trace, rule
// and seed give the same result.
#pragma once

#include <functional>

#include "sim/placement_lab/policy.h"

namespace om::lab {

struct LabOptions {
  size_t gateways = 1;  // Requests come to any of them by chance.
  double hop_seconds = 0.001;
  // Nodes report a change at most this often, and at least every heartbeat; it is known later.
  double report_seconds = 0.2, heartbeat_seconds = 1, report_delay_seconds = 0.05;
  uint64_t seed = 1;
  scheduler::PlacementOptions placement;
  // Real time, to measure decisions; empty: they are not measured.
  std::function<int64_t()> nanoseconds;
};

struct LabResult {
  double first_token_p50 = 0, first_token_p99 = 0;  // Seconds.
  double total_p50 = 0, total_p99 = 0;
  double hit_rate = 0;    // Prompt tokens found cached, of all.
  double makespan = 0;    // Seconds from the first arrival to the last token.
  double imbalance = 0;   // Busiest node's busy time over the mean.
  double slow_share = 0;  // Requests of the slow nodes, of a fair share.
  size_t loads = 0;
  int64_t decision_p50_ns = 0, decision_p99_ns = 0;
};

LabResult play(const Trace& trace, PolicyKind kind, const LabOptions& options);

}  // namespace om::lab
