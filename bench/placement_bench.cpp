// Placement rules on the same simulated traces, in virtual time; decisions in the CPU time of this
// thread, which a busy machine does not stretch.
//
//   placement_bench NODES GATEWAYS SEEDS LOAD REQUESTS_PER_NODE [TRACE [RULE]]
//
// One line a trace, rule and seed: these, then the fields of figures(), between tabs.
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>

#include "sim/placement_lab/lab.h"

namespace {

using namespace om::lab;

int64_t cpu_nanoseconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

std::vector<double> figures(const LabResult& result) {
  return {result.first_token_p50,
          result.first_token_p99,
          result.total_p50,
          result.total_p99,
          result.hit_rate,
          result.makespan,
          result.imbalance,
          result.slow_share,
          static_cast<double>(result.loads),
          static_cast<double>(result.decision_p50_ns) / 1000,
          static_cast<double>(result.decision_p99_ns) / 1000};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 6) {
    fmt::print(stderr,
               "placement_bench NODES GATEWAYS SEEDS LOAD REQUESTS_PER_NODE [TRACE [RULE]]\n");
    return 2;
  }
  TraceOptions options;
  LabOptions lab;
  lab.nanoseconds = cpu_nanoseconds;
  options.nodes = std::strtoul(argv[1], nullptr, 10);
  lab.gateways = std::strtoul(argv[2], nullptr, 10);
  const uint64_t seeds = std::strtoul(argv[3], nullptr, 10);
  options.load = std::strtod(argv[4], nullptr);
  options.requests_per_node = std::strtoul(argv[5], nullptr, 10);
  // Above 64 nodes reports come through aggregators, which put a second's changes together.
  if (options.nodes > 1000) lab.report_seconds = 1;
  const std::string only = argc > 6 ? argv[6] : "", only_rule = argc > 7 ? argv[7] : "";
  for (TraceKind kind : kTraceKinds) {
    if (!only.empty() && to_string(kind) != only) continue;
    options.kind = kind;
    for (PolicyKind policy : kPolicyKinds) {
      if (!only_rule.empty() && to_string(policy) != only_rule) continue;
      for (uint64_t seed = 1; seed <= seeds; seed++) {
        options.seed = lab.seed = seed;
        const std::vector<double> one = figures(play(make_trace(options), policy, lab));
        fmt::print("{}\t{}\t{}\t{:.6g}\n", to_string(kind), to_string(policy), seed,
                   fmt::join(one, "\t"));
        (void)std::fflush(stdout);
      }
    }
  }
  return 0;
}
