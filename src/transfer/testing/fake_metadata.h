// Agreement in one process, for tests of several simulated nodes: every node has its own door to
// the same facts, and a door can be shut.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "base/check.h"
#include "io/event.h"
#include "metadata/metadata.h"

namespace om::transfer::testing {

// The facts all doors share.
class Facts {
 public:
  explicit Facts(io::Clock& clock) : clock_(clock), changed_(clock) {}

  std::map<std::string, metadata::Entry> entries;
  std::vector<metadata::Event> history;
  metadata::Revision revision = 0;

  // Ends what has run out. Before everything else that looks.
  void expire() {
    for (auto lease = leases_.begin(); lease != leases_.end();) {
      const bool ended = lease->second.end <= clock_.now();
      const auto id = lease->first;
      lease = ended ? leases_.erase(lease) : std::next(lease);
      if (ended) remove_of(id);
    }
  }
  metadata::LeaseId grant(std::chrono::seconds time_to_live) {
    leases_[++last_lease_] = {clock_.now() + time_to_live, time_to_live};
    return last_lease_;
  }
  bool keep_alive(metadata::LeaseId lease) {
    const auto found = leases_.find(lease);
    if (found == leases_.end()) return false;
    found->second.end = clock_.now() + found->second.time_to_live;
    return true;
  }
  void revoke(metadata::LeaseId lease) {
    leases_.erase(lease);
    remove_of(lease);
  }
  bool commit(const metadata::Transaction& transaction) {
    for (const auto& compare : transaction.compares) {
      const auto found = entries.find(compare.key);
      const bool exists = found != entries.end();
      if (compare.modified && (exists ? found->second.modified : 0) != *compare.modified) {
        return false;
      }
      if (compare.value && (!exists || found->second.value != *compare.value)) return false;
    }
    if (!transaction.operations.empty()) revision++;
    for (const auto& operation : transaction.operations) apply(operation);
    changed_.notify_all();
    return true;
  }
  io::Event& changed() { return changed_; }

 private:
  struct Lease {
    io::TimePoint end{};
    std::chrono::seconds time_to_live{};
  };
  void apply(const metadata::Operation& operation) {
    using Kind = metadata::Operation::Kind;
    if (operation.kind == Kind::put) {
      auto& entry = entries[operation.key];
      if (entry.version == 0) entry.created = revision;
      entry = {operation.key, operation.value,   entry.created,
               revision,      entry.version + 1, operation.lease};
      history.push_back({false, entry});
      return;
    }
    std::erase_if(entries, [&](const auto& pair) {
      const bool gone = operation.kind == Kind::remove ? pair.first == operation.key
                                                       : pair.first.starts_with(operation.key);
      if (gone) history.push_back({true, {pair.first, {}, 0, revision, 0, 0}});
      return gone;
    });
  }
  void remove_of(metadata::LeaseId lease) {
    metadata::Transaction transaction;
    for (const auto& [key, entry] : entries) {
      if (entry.lease == lease) transaction.operations.push_back(metadata::Operation::remove(key));
    }
    if (!transaction.operations.empty()) CHECK(commit(transaction));
  }

  io::Clock& clock_;
  std::map<metadata::LeaseId, Lease> leases_;
  metadata::LeaseId last_lease_ = 0;
  io::Event changed_;
};

// One node's door.
class FakeMetadata final : public metadata::Metadata {
 public:
  FakeMetadata(io::Clock& clock, Facts& facts) : clock_(clock), facts_(facts) {}

  bool reachable = true;  // Whether a majority is.
  io::Duration answer_time = std::chrono::milliseconds(2);

  io::Task<Result<std::optional<metadata::Entry>>> get(std::string key, io::Call call) override {
    CO_TRY_VOID(co_await ask(std::move(call)));
    const auto found = facts_.entries.find(key);
    if (found == facts_.entries.end()) co_return std::optional<metadata::Entry>{};
    co_return std::optional(found->second);
  }
  io::Task<Result<metadata::Snapshot>> list(std::string prefix, io::Call call) override {
    CO_TRY_VOID(co_await ask(std::move(call)));
    metadata::Snapshot snapshot{{}, facts_.revision};
    for (const auto& [key, entry] : facts_.entries) {
      if (key.starts_with(prefix)) snapshot.entries.push_back(entry);
    }
    co_return snapshot;
  }
  io::Task<Result<metadata::Commit>> commit(metadata::Transaction transaction,
                                            io::Call call) override {
    CO_TRY_VOID(co_await ask(std::move(call)));
    const bool done = facts_.commit(transaction);
    co_return metadata::Commit{done, facts_.revision};
  }
  io::Task<Result<metadata::LeaseId>> grant(std::chrono::seconds time_to_live,
                                            io::Call call) override {
    CO_TRY_VOID(co_await ask(std::move(call)));
    co_return facts_.grant(time_to_live);
  }
  io::Task<Result<void>> keep_alive(metadata::LeaseId lease, io::Call call) override {
    CO_TRY_VOID(co_await ask(std::move(call)));
    if (!facts_.keep_alive(lease)) co_return fail(Errc::not_found, "the lease has ended");
    co_return Result<void>{};
  }
  io::Task<Result<void>> revoke(metadata::LeaseId lease, io::Call call) override {
    CO_TRY_VOID(co_await ask(std::move(call)));
    facts_.revoke(lease);
    co_return Result<void>{};
  }
  std::unique_ptr<metadata::Watch> watch(std::string prefix, metadata::Revision from) override {
    const auto first = from == 0 ? facts_.revision + 1 : from;
    return std::make_unique<FactsWatch>(facts_, std::move(prefix), first);
  }
  bool healthy() const override { return reachable; }
  io::Task<void> stop() override { co_return; }

 private:
  class FactsWatch final : public metadata::Watch {
   public:
    FactsWatch(Facts& facts, std::string prefix, metadata::Revision from)
        : facts_(facts), prefix_(std::move(prefix)), from_(from) {}
    io::Task<Result<std::vector<metadata::Event>>> next(io::Call call) override {
      while (true) {
        std::vector<metadata::Event> events;
        for (const auto& event : facts_.history) {
          if (event.entry.modified < from_ || !event.entry.key.starts_with(prefix_)) continue;
          events.push_back(event);
        }
        from_ = facts_.revision + 1;
        if (!events.empty()) co_return events;
        CO_TRY_VOID(co_await facts_.changed().wait(call));
      }
    }

   private:
    Facts& facts_;
    std::string prefix_;
    metadata::Revision from_;
  };

  io::Task<Result<void>> ask(io::Call call) {
    CO_TRY_VOID(co_await clock_.sleep_for(answer_time, std::move(call)));
    if (!reachable) co_return fail(Errc::not_leader, "no majority can be reached");
    facts_.expire();
    co_return Result<void>{};
  }

  io::Clock& clock_;
  Facts& facts_;
};

}  // namespace om::transfer::testing
