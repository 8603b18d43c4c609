// A whole node inside a sim::World: the real store, scheduler, engine, generation and api on the
// simulated disk and network, with fake llama-servers as children.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "api/api.h"
#include "http/client.h"
#include "http/server.h"
#include "scheduler/local_scheduler.h"
#include "sim/scenario_for_test.h"
#include "sim/world.h"
#include "store/store.h"
#include "transfer/transfer.h"

namespace om::sim {

// Made of the same parts as app's Node. start() once, stop() before it is destroyed.
class SimNode {
 public:
  static constexpr std::string_view kHost = "127.0.0.1";
  static constexpr uint16_t kPort = 11434;

  SimNode(World& world, const Scenario& scenario);
  ~SimNode();

  io::Task<Result<void>> start();
  io::Task<void> stop();

  // kill -9 of a running child, which one by `draw`; false if there is none.
  bool kill_runner(uint64_t draw);
  void heal();  // Children started from now on are healthy; those that run are killed.

  scheduler::LocalScheduler& scheduler() { return *scheduler_; }
  http::Server& server() { return *server_; }
  // What is wrong with the models on disk; empty: all are listed and their blobs are whole.
  io::Task<std::string> inspect_store();

 private:
  friend struct LlamaMain;
  io::Task<void> run_llama(std::shared_ptr<Program> program);
  io::Task<Result<void>> put_models();
  void make_scheduler();

  World& sim_;
  const Scenario& scenario_;
  bool faults_ = true;
  std::vector<std::weak_ptr<Program>> programs_;

  std::unique_ptr<http::Client> client_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<scheduler::LocalScheduler> scheduler_;
  std::unique_ptr<generation::Generation> generation_;
  std::unique_ptr<transfer::Transfer> transfer_;
  std::unique_ptr<api::Api> api_;
  std::unique_ptr<http::Server> server_;
};

}  // namespace om::sim
