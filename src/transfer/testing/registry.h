// A simulated machine that talks to a registry that misbehaves as told.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "http/client.h"
#include "sim/registry.h"
#include "sim/world.h"
#include "transfer/transfer.h"

namespace om::transfer::testing {

using Faults = sim::RegistryFaults;

// Of the workers, so that jobs end in another order than they began in.
inline constexpr std::chrono::milliseconds kJobMax{2};

// A store, a client, a registry and a Transfer on one simulated machine.
class TransferWorld : public ::testing::Test {
 public:
  TransferWorld();
  ~TransferWorld() override;

  template <class T>
  T wait(io::Task<T> task) {
    std::optional<T> result;
    sim_.run(keep(std::move(task), result));
    return std::move(*result);
  }
  void start();  // Opens the store and the rest.
  // As after a crash: forgets all that is in memory. `draw`: as SimFilesystem::crash().
  void restart(uint64_t draw = 0);
  Result<void> pull(std::string_view model);
  Result<void> push(std::string_view model);
  model::Name name(std::string_view model) const;
  // All statuses; a run of equal ones once.
  std::vector<std::string> statuses;
  std::vector<Progress> progress;
  ProgressSink sink();

 protected:
  template <class T>
  static io::Task<void> keep(io::Task<T> task, std::optional<T>& result) {
    result.emplace(co_await std::move(task));
  }
  io::Task<Result<void>> note(Progress line);

  sim::World sim_{7};
  io::World& world_ = sim_.world();
  sim::SimRegistry registry_{world_};
  io::Path folder_ = "/models";  // Of the store.
  TransferOptions options_;
  std::unique_ptr<http::Client> client_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<Transfer> transfer_;
};

std::string random_bytes(size_t count, uint64_t seed);

}  // namespace om::transfer::testing
