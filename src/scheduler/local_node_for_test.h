// One node's scheduler with scripted engines, in simulated time, for tests.
#pragma once

#include <gtest/gtest.h>

#include <deque>

#include "base/log.h"
#include "io/co_assert_for_test.h"
#include "scheduler/scripted_engines_for_test.h"
#include "sim/world.h"

namespace om::scheduler::testing {

// A client in the background: acquires, and holds until the test resets its lease.
struct Client {
  std::optional<Error> error;
  std::unique_ptr<Lease> lease;
  bool done = false;
};

// One simulated node with scripted engines.
struct Node {
  explicit Node(LocalSchedulerOptions options = {}, std::vector<int> slots = {1})
      : scheduler(sim.world(), with_memory(std::move(options)),
                  scripted_engines(sim.clock(), script),
                  std::make_unique<SimplePlans>(std::move(slots))) {
    set_log_level(LogLevel::off);
  }

  static LocalSchedulerOptions with_memory(LocalSchedulerOptions options) {
    if (options.memory_total == 0) options.memory_total = 100'000;
    return options;
  }

  using Body = io::Task<void> (*)(Node&);
  void run(Body body) { sim.run(run_and_stop(body)); }
  io::Task<void> run_and_stop(Body body) {
    co_await body(*this);
    co_await scheduler.stop();
    EXPECT_EQ(scheduler.waiting(), 0u);
    EXPECT_TRUE(scheduler.loaded().empty());
  }

  io::Task<Result<std::unique_ptr<Lease>>> acquire(
      Target wanted, AcquireOptions options = {},
      io::Duration patience = std::chrono::minutes(10)) {
    return scheduler.acquire(std::move(wanted), std::move(options),
                             sim.clock().call_within(patience));
  }
  io::Task<void> pass(io::Duration duration) {
    auto slept = co_await sim.clock().sleep_for(duration);
    EXPECT_TRUE(slept);
  }

  Client& start(Target wanted, AcquireOptions options = {}, io::Call call = {}) {
    Client& client = clients.emplace_back();
    io::spawn_detached(sim.world().executor,
                       fetch(std::move(wanted), std::move(options), call, client));
    return client;
  }
  io::Task<void> fetch(Target wanted, AcquireOptions options, io::Call call, Client& client) {
    auto lease = co_await scheduler.acquire(std::move(wanted), std::move(options), call);
    if (lease) {
      client.lease = std::move(*lease);
    } else {
      client.error = lease.error();
    }
    client.done = true;
  }

  sim::World sim{1};
  Script script;
  LocalScheduler scheduler;
  std::deque<Client> clients;
};

}  // namespace om::scheduler::testing
