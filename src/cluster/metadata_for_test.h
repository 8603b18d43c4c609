// Metadata in memory that a test can take away: as if no majority could be reached.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "io/co_assert_for_test.h"
#include "metadata/sqlite/sqlite_metadata.h"
#include "sim/world.h"

namespace om::cluster::testing {

// A watch that breaks while they are away, as one of a real engine may.
class BreakableWatch final : public metadata::Watch {
 public:
  BreakableWatch(std::unique_ptr<metadata::Watch> inner, const bool& away, const int& replaced)
      : inner_(std::move(inner)), away_(away), replaced_(replaced), begun_(replaced) {}
  io::Task<Result<std::vector<metadata::Event>>> next(io::Call call) override {
    if (away_) co_return fail(Errc::unavailable, "away");
    auto events = co_await inner_->next(std::move(call));
    if (away_) co_return fail(Errc::unavailable, "away");
    if (replaced_ != begun_) co_return fail(Errc::corrupt, "these are other facts");
    co_return events;
  }

 private:
  std::unique_ptr<metadata::Watch> inner_;
  const bool& away_;
  const int& replaced_;
  const int begun_;
};

// On the io thread; `away` may be set at any time.
class BreakableMetadata final : public metadata::Metadata {
 public:
  explicit BreakableMetadata(std::unique_ptr<Metadata> inner) : inner_(std::move(inner)) {}
  bool away = false;
  std::optional<bool> says_healthy;               // Whatever it is.
  std::function<io::Task<void>()> before_commit;  // Once, when it has been asked for.
  std::function<io::Task<void>()> after_commit;   // Once, before who asked for it is told.

  io::Task<Result<std::optional<metadata::Entry>>> get(std::string key, io::Call call) override {
    if (away) co_return gone();
    co_return co_await inner_->get(std::move(key), std::move(call));
  }
  io::Task<Result<metadata::Snapshot>> list(std::string prefix, io::Call call) override {
    if (away) co_return gone();
    co_return co_await inner_->list(std::move(prefix), std::move(call));
  }
  io::Task<Result<metadata::Commit>> commit(metadata::Transaction transaction,
                                            io::Call call) override {
    if (away) co_return gone();
    if (const auto act = std::exchange(before_commit, nullptr)) co_await act();
    auto committed = co_await inner_->commit(std::move(transaction), std::move(call));
    if (const auto act = std::exchange(after_commit, nullptr)) co_await act();
    co_return committed;
  }
  io::Task<Result<metadata::LeaseId>> grant(std::chrono::seconds life, io::Call call) override {
    if (away) co_return gone();
    co_return co_await inner_->grant(life, std::move(call));
  }
  io::Task<Result<void>> keep_alive(metadata::LeaseId lease, io::Call call) override {
    if (away) co_return gone();
    co_return co_await inner_->keep_alive(lease, std::move(call));
  }
  io::Task<Result<void>> revoke(metadata::LeaseId lease, io::Call call) override {
    if (away) co_return gone();
    co_return co_await inner_->revoke(lease, std::move(call));
  }
  std::unique_ptr<metadata::Watch> watch(std::string prefix, metadata::Revision from) override {
    return std::make_unique<BreakableWatch>(inner_->watch(std::move(prefix), from), away,
                                            replaced_);
  }
  bool healthy() const override { return says_healthy.value_or(!away && inner_->healthy()); }
  // Other facts from now on; watches end at the next change of the old ones, which are returned.
  std::unique_ptr<Metadata> replace(std::unique_ptr<Metadata> other) {
    replaced_++;
    return std::exchange(inner_, std::move(other));
  }
  io::Task<void> stop() override { co_await inner_->stop(); }

 private:
  static std::unexpected<Error> gone() { return fail(Errc::not_leader, "no majority"); }
  std::unique_ptr<Metadata> inner_;
  int replaced_ = 0;
};

// A simulated node with its metadata. run() opens and stops them around the body.
class Bench {
 public:
  sim::World sim{1};
  std::unique_ptr<BreakableMetadata> metadata;

  io::World& world() { return sim.world(); }
  io::Call call() { return sim.clock().call_within(std::chrono::seconds(10)); }
  io::Task<void> sleep(io::Duration duration) {
    const auto slept = co_await sim.clock().sleep_for(duration);
    EXPECT_TRUE(slept.has_value());
  }
  io::Task<void> put(std::string key, std::string value) {
    metadata::Transaction transaction;
    transaction.operations.push_back(metadata::Operation::put(std::move(key), std::move(value)));
    const auto commit = co_await metadata->commit(std::move(transaction), call());
    EXPECT_TRUE(commit && commit->done);
  }
  io::Task<void> remove(std::string key) {
    metadata::Transaction transaction;
    transaction.operations.push_back(metadata::Operation::remove(std::move(key)));
    const auto commit = co_await metadata->commit(std::move(transaction), call());
    EXPECT_TRUE(commit && commit->done);
  }

  using Body = io::Task<void> (*)(Bench&);
  void run(Body body) { sim.run(open_and_run(body)); }

 private:
  io::Task<void> open_and_run(Body body) {
    auto opened = co_await metadata::open_sqlite(sim.world(), ":memory:");
    CO_ASSERT(opened.has_value());
    metadata = std::make_unique<BreakableMetadata>(std::move(*opened));
    co_await body(*this);
    co_await metadata->stop();
  }
};

}  // namespace om::cluster::testing
