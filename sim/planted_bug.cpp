#include "sim/planted_bug.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "sim/forwarded_metadata.h"

namespace om::sim {

using metadata::Commit;
using metadata::Entry;
using metadata::Revision;
using metadata::Snapshot;
using metadata::Transaction;
using Events = std::vector<metadata::Event>;

namespace {

constexpr double kShows = 0.2;  // Of the calls.

constexpr std::array<std::pair<PlantedBug, std::string_view>, 16> kNames = {{
    {PlantedBug::lost_write, "lost_write"},
    {PlantedBug::half_transaction, "half_transaction"},
    {PlantedBug::ignored_compare, "ignored_compare"},
    {PlantedBug::done_though_refused, "done_though_refused"},
    {PlantedBug::done_twice, "done_twice"},
    {PlantedBug::forgotten_request, "forgotten_request"},
    {PlantedBug::wrong_revision, "wrong_revision"},
    {PlantedBug::stale_get, "stale_get"},
    {PlantedBug::stale_list, "stale_list"},
    {PlantedBug::torn_list, "torn_list"},
    {PlantedBug::forgotten_lease, "forgotten_lease"},
    {PlantedBug::watch_out_of_order, "watch_out_of_order"},
    {PlantedBug::watch_skips, "watch_skips"},
    {PlantedBug::watch_repeats, "watch_repeats"},
    {PlantedBug::watch_tells_half, "watch_tells_half"},
    {PlantedBug::watch_hides_a_gap, "watch_hides_a_gap"},
}};

class BuggyWatch final : public metadata::Watch {
 public:
  BuggyWatch(metadata::Metadata& metadata, std::string prefix, Revision from, PlantedBug bug,
             World& world, SharedMetadata& facts)
      : metadata_(metadata),
        prefix_(std::move(prefix)),
        bug_(bug),
        world_(world),
        facts_(facts),
        watch_(metadata.watch(prefix_, from)) {}

  io::Task<Result<Events>> next(io::Call call) override {
    while (true) {
      auto events = co_await watch_->next(call);
      if (!events) {
        const bool hides =
            bug_ == PlantedBug::watch_hides_a_gap && events.error().code == Errc::corrupt;
        if (!hides) co_return events;
        watch_ = metadata_.watch(prefix_, facts_.revision() + 1);
        continue;
      }
      if (!kept_.empty()) {
        std::ranges::move(std::exchange(kept_, {}), std::back_inserter(*events));
        co_return events;
      }
      if (!world_.random().chance(kShows)) co_return events;
      if (bug_ == PlantedBug::watch_out_of_order) {
        kept_ = std::move(*events);
        continue;
      }
      if (bug_ == PlantedBug::watch_skips) continue;
      if (bug_ == PlantedBug::watch_repeats) events->push_back(events->back());
      const bool halves = bug_ == PlantedBug::watch_tells_half && events->size() > 1;
      if (halves) events->pop_back();
      co_return events;
    }
  }

 private:
  metadata::Metadata& metadata_;
  const std::string prefix_;
  const PlantedBug bug_;
  World& world_;
  SharedMetadata& facts_;
  std::unique_ptr<metadata::Watch> watch_;
  Events kept_;
};

class BuggyMetadata final : public ForwardedMetadata {
 public:
  BuggyMetadata(std::unique_ptr<metadata::Metadata> metadata, PlantedBug bug, World& world,
                SharedMetadata& facts)
      : ForwardedMetadata(std::move(metadata)),
        bug_(bug),
        world_(world),
        facts_(facts),
        old_(facts.all()) {}

  io::Task<Result<std::optional<Entry>>> get(std::string key, io::Call call) override {
    auto answer = co_await inner().get(key, std::move(call));
    if (!answer || !shows(PlantedBug::stale_get)) co_return answer;
    answer->reset();
    for (const Entry& entry : old_.entries) {
      if (entry.key == key) *answer = entry;
    }
    co_return answer;
  }

  io::Task<Result<Snapshot>> list(std::string prefix, io::Call call) override {
    auto answer = co_await inner().list(prefix, std::move(call));
    if (answer && shows(PlantedBug::stale_list)) {
      *answer = old_;
      std::erase_if(answer->entries, [&](const Entry& e) { return !e.key.starts_with(prefix); });
    }
    if (answer && answer->entries.size() > 1 && shows(PlantedBug::torn_list)) {
      const std::string second_half = answer->entries[answer->entries.size() / 2].key;
      std::erase_if(answer->entries, [&](const Entry& e) { return e.key >= second_half; });
      for (const Entry& entry : old_.entries) {
        if (entry.key >= second_half && entry.key.starts_with(prefix)) {
          answer->entries.push_back(entry);
        }
      }
    }
    co_return answer;
  }

  io::Task<Result<Commit>> commit(Transaction transaction, io::Call call) override {
    if (world_.random().chance(kShows)) old_ = facts_.all();
    if (shows(PlantedBug::lost_write)) co_return Commit{true, facts_.revision() + 1};
    if (shows(PlantedBug::half_transaction) && transaction.operations.size() > 1) {
      transaction.operations.resize(1);
    }
    if (shows(PlantedBug::ignored_compare)) transaction.compares.clear();
    if (bug_ == PlantedBug::forgotten_request) transaction.request_id.clear();
    if (bug_ == PlantedBug::forgotten_lease) {
      for (auto& operation : transaction.operations) operation.lease = 0;
    }
    auto answer = co_await inner().commit(transaction, call);
    if (!answer && bug_ == PlantedBug::done_twice) {
      transaction.request_id.clear();
      // What comes of it nobody is told either.
      (void)co_await inner().commit(std::move(transaction), std::move(call));
    }
    if (answer && shows(PlantedBug::wrong_revision)) answer->revision++;
    if (answer && shows(PlantedBug::done_though_refused)) {
      co_return fail(Errc::not_leader, "a bug that was planted");
    }
    co_return answer;
  }

  std::unique_ptr<metadata::Watch> watch(std::string prefix, Revision from) override {
    return std::make_unique<BuggyWatch>(inner(), std::move(prefix), from, bug_, world_, facts_);
  }

 private:
  bool shows(PlantedBug bug) { return bug_ == bug && world_.random().chance(kShows); }

  const PlantedBug bug_;
  World& world_;
  SharedMetadata& facts_;
  Snapshot old_;  // Of some time ago.
};

}  // namespace

std::string_view to_string(PlantedBug bug) {
  for (const auto& [one, name] : kNames) {
    if (one == bug) return name;
  }
  return "none";
}

std::span<const PlantedBug> planted_bugs() {
  static constexpr auto kBugs = [] {
    std::array<PlantedBug, kNames.size()> bugs{};
    std::ranges::transform(kNames, bugs.begin(), [](const auto& one) { return one.first; });
    return bugs;
  }();
  return kBugs;
}

std::optional<PlantedBug> planted_bug(std::string_view name) {
  for (const auto& [bug, its_name] : kNames) {
    if (its_name == name) return bug;
  }
  return std::nullopt;
}

std::unique_ptr<metadata::Metadata> with_bug(std::unique_ptr<metadata::Metadata> metadata,
                                             PlantedBug bug, World& world, SharedMetadata& facts) {
  if (bug == PlantedBug::none) return metadata;
  return std::make_unique<BuggyMetadata>(std::move(metadata), bug, world, facts);
}

}  // namespace om::sim
