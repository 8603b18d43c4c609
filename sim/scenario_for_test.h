// What one simulated run of the request path is made of, drawn from its seed.
#pragma once

#include <chrono>

#include "sim/fake_llama.h"
#include "sim/network.h"
#include "sim/random.h"

namespace om::sim {

// Ranges are drawn per run (a swarm), so that runs differ in kind and not only in detail.
struct Scenario {
  // The links.
  NetworkFaults network;

  // Runners. Chances are per spawned child.
  io::Duration load_time_max{}, token_time_max{};
  double load_failure_chance = 0;
  double crash_chance = 0, wedge_chance = 0, garbage_chance = 0;
  uint64_t fault_after_tokens_max = 0;
  double kill_chance = 0;  // kill -9 of one runner, tried at each `kill_interval`.
  io::Duration kill_interval{};
  double deaf_chance = 0;  // The child ignores SIGTERM.

  // The node.
  io::Duration job_max{};  // What its workers take for a job.
  uint64_t memory_total = 0;
  int num_parallel = 0, loaded_max = 0, default_context = 0;
  size_t queue_max = 0;
  io::Duration keep_alive{};

  // Who asks.
  int models = 2, clients = 0, requests_each = 0;
  int split_model = -1;  // One of `models`: larger than any node.
  int predict_max = 0;
  io::Duration pause_max{};  // Between two requests of one client.
  double leave_chance = 0, slow_chance = 0, pool_chance = 0;
  io::Duration patience = std::chrono::hours(5);  // What an answer must have come in.
  bool standby = false;                           // Standby runners, which read ahead.
  bool aggregates = false;  // Only voters follow each node, also in a small cluster.
  bool admin = false;       // Somebody copies and deletes models meanwhile.

  bool is_calm() const;  // Nothing breaks: every request must be answered or find a full queue.
};

Scenario draw_scenario(uint64_t seed);
// How the next child will be; healthy once `faults` is off.
FakeLlamaBehaviour draw_behaviour(const Scenario& scenario, SimRandom& random, bool faults);

}  // namespace om::sim
