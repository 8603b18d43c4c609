// What every engine promises of leases and watches, and that its history agrees with a model.
#include <random>

#include "io/task_group.h"
#include "metadata/testing/contract.h"

namespace om::metadata::testing {
namespace {

using std::chrono::seconds;

class MetadataChanges : public EngineTest {};

io::Task<void> leases_end(Bench& bench) {
  const LeaseId lease = ok(co_await bench.metadata.grant(seconds(2), bench.call()));
  const LeaseId kept = ok(co_await bench.metadata.grant(seconds(60), bench.call()));
  EXPECT_NE(lease, 0);
  EXPECT_NE(lease, kept);
  co_await put(bench, "node/a", "here", lease);
  co_await put(bench, "node/b", "here", lease);
  co_await put(bench, "node/c", "here", kept);
  co_await put(bench, "node/d", "taken back", lease);
  const auto last = co_await put(bench, "node/d", "stays");
  const auto entry = ok(co_await bench.metadata.get("node/a", bench.call()));
  EXPECT_EQ(entry->lease, lease);

  const auto watch = bench.metadata.watch("node/", last.revision + 1);
  EXPECT_THAT(co_await changes_of(bench, *watch, 2),
              UnorderedElementsAre("node/a gone", "node/b gone"));
  EXPECT_THAT(co_await texts_of(bench, ""), ElementsAre("node/c=here", "node/d=stays"));
  EXPECT_EQ(code_of(co_await bench.metadata.keep_alive(lease, bench.call())), Errc::not_found);
  Transaction late;
  late.operations = {Operation::put("x", "v"), Operation::put("node/a", "too late", lease)};
  EXPECT_EQ(code_of(co_await bench.metadata.commit(late, bench.call())), Errc::not_found);
  EXPECT_THAT(co_await texts_of(bench, ""), SizeIs(2));
}
TEST_P(MetadataChanges, EndALeaseAndItsKeysWhenNobodyKeepsItAlive) { run(leases_end); }

io::Task<void> leases_kept(Bench& bench) {
  const LeaseId lease = ok(co_await bench.metadata.grant(seconds(2), bench.call()));
  co_await put(bench, "k", "v", lease);
  for (int i = 0; i < 8; i++) {
    ok(co_await bench.clock().sleep_for(std::chrono::milliseconds(400)));
    ok(co_await bench.metadata.keep_alive(lease, bench.call()));
  }
  EXPECT_EQ(co_await value_of(bench, "k"), "v");
  ok(co_await bench.metadata.revoke(lease, bench.call()));
  EXPECT_EQ(co_await value_of(bench, "k"), "-");
  EXPECT_EQ(code_of(co_await bench.metadata.revoke(lease, bench.call())), Errc::not_found);
  EXPECT_EQ(code_of(co_await bench.metadata.keep_alive(lease, bench.call())), Errc::not_found);
}
TEST_P(MetadataChanges, KeepALeaseAliveAndRevokeIt) { run(leases_kept); }

io::Task<void> watched_prefix(Bench& bench) {
  co_await put(bench, "a/1", "before");
  const auto snapshot = ok(co_await bench.metadata.list("a/", bench.call()));
  const auto watch = bench.metadata.watch("a/", snapshot.revision + 1);
  co_await put(bench, "a/1", "one");
  co_await put(bench, "b/1", "not ours");
  Transaction transaction;
  transaction.operations = {Operation::put("a/2", "two"), Operation::put("a/3", "three"),
                            Operation::remove("a/1"), Operation::put("b/2", "not ours")};
  const auto done = ok(co_await bench.metadata.commit(transaction, bench.call()));
  EXPECT_THAT(co_await changes_of(bench, *watch, 1), Contains("a/1=one"));
  // Another watch begins where this one did, and hears all of it again.
  const auto later = bench.metadata.watch("a/", snapshot.revision + 1);
  const auto heard = co_await changes_of(bench, *later, 4);
  EXPECT_THAT(heard, UnorderedElementsAre("a/1=one", "a/2=two", "a/3=three", "a/1 gone"));
  EXPECT_EQ(heard.front(), "a/1=one");
  const auto end = bench.metadata.watch("a/", done.revision);
  const auto events = ok(co_await end->next(bench.call()));
  EXPECT_EQ(events.size(), 3u);  // A revision is told whole.
  for (const auto& event : events) EXPECT_EQ(event.entry.modified, done.revision);
}
TEST_P(MetadataChanges, ToldByWatchesFromARevisionOfTheirPrefixOnly) { run(watched_prefix); }

io::Task<void> watch_waits(Bench& bench) {
  const auto watch = bench.metadata.watch("k", 0);
  const auto early = co_await watch->next(bench.clock().call_within(seconds(1)));
  EXPECT_EQ(code_of(early), Errc::deadline_exceeded);
  co_await put(bench, "k", "v");
  EXPECT_THAT(co_await changes_of(bench, *watch, 1), ElementsAre("k=v"));
  const auto other = bench.metadata.watch("k", 0);  // Destroyed without having been asked.
}
TEST_P(MetadataChanges, WaitedForWithADeadlineAndThenAgain) { run(watch_waits); }

io::Task<void> write_many(Bench& bench, int writer) {
  for (int i = 0; i < 30; i++) {
    co_await put(bench, fmt::format("w/{}", writer), std::to_string(i));
  }
}

io::Task<void> nothing_lost(Bench& bench) {
  const auto before = ok(co_await bench.metadata.list("w/", bench.call()));
  const auto watch = bench.metadata.watch("w/", before.revision + 1);
  io::TaskGroup group(bench.world().executor, bench.clock());
  for (int writer = 0; writer < 4; writer++) group.spawn(write_many(bench, writer));
  const auto heard = co_await changes_of(bench, *watch, 120);
  co_await group.wait();
  EXPECT_EQ(heard.size(), 120u);
  std::map<std::string, std::vector<std::string>> by_key;
  for (const auto& text : heard) by_key[text.substr(0, 3)].push_back(text.substr(4));
  EXPECT_EQ(by_key.size(), 4u);
  for (const auto& [key, values] : by_key) {
    for (size_t i = 0; i < values.size(); i++) EXPECT_EQ(values[i], std::to_string(i)) << key;
  }
}
TEST_P(MetadataChanges, LostByNoWatchWhileManyWrite) { run(nothing_lost); }

io::Task<void> compacted(Bench& bench) {
  const auto first = co_await put(bench, "k", "v");
  co_await bench.engine.forget_history(bench.metadata);
  const auto watch = bench.metadata.watch("k", first.revision);
  EXPECT_EQ(code_of(co_await watch->next(bench.call())), Errc::corrupt);
  EXPECT_EQ(code_of(co_await watch->next(bench.call())), Errc::corrupt);
  const auto snapshot = ok(co_await bench.metadata.list("k", bench.call()));
  EXPECT_EQ(snapshot.entries.size(), 1u);
  const auto next = bench.metadata.watch("k", snapshot.revision + 1);
  co_await put(bench, "k", "w");
  EXPECT_THAT(co_await changes_of(bench, *next, 1), ElementsAre("k=w"));
}
TEST_P(MetadataChanges, ForgottenMakeAWatchReadASnapshot) { run(compacted); }

io::Task<void> run_closed(EngineForTest& engine) {
  const auto metadata = co_await engine.open();
  const auto watch = metadata->watch("k", 0);
  co_await metadata->stop();
  EXPECT_EQ(code_of(co_await watch->next({})), Errc::unavailable);
}
TEST_P(MetadataChanges, EndWithTheEngine) {
  const auto engine = GetParam().make();
  engine->run(run_closed(*engine));
}

// Random transactions, done to the engine and to a map; the watch must tell the same story.
struct Model {
  std::map<std::string, Entry> entries;

  bool holds(const Compare& compare) const {
    const auto found = entries.find(compare.key);
    if (compare.value) return found != entries.end() && found->second.value == *compare.value;
    return (found == entries.end() ? 0 : found->second.modified) == *compare.modified;
  }
  void apply(const Transaction& transaction, Revision revision) {
    for (const auto& operation : transaction.operations) {
      if (operation.kind == Operation::Kind::put) {
        auto& entry = entries[operation.key];
        if (entry.version == 0) entry.created = revision;
        entry.key = operation.key;
        entry.value = operation.value;
        entry.modified = revision;
        entry.version++;
      } else if (operation.kind == Operation::Kind::remove) {
        entries.erase(operation.key);
      } else {
        std::erase_if(entries,
                      [&](const auto& one) { return one.first.starts_with(operation.key); });
      }
    }
  }
};

class Choices {
 public:
  explicit Choices(unsigned seed) : random_(seed) {}
  size_t below(size_t bound) { return random_() % bound; }
  std::string key() { return fmt::format("{}/{}", "abc"[below(3)], below(4)); }

  Transaction transaction(const Model& model) {
    Transaction made;
    for (size_t i = below(3); i > 0; i--) {
      const std::string at = key();
      const auto found = model.entries.find(at);
      if (below(4) == 0 || found == model.entries.end()) {
        made.compares.push_back(Compare::absent(at));
      } else {
        made.compares.push_back(below(2) == 0 ? Compare::unchanged(found->second)
                                              : Compare::equals(at, found->second.value));
      }
    }
    std::set<std::string> used;
    const char removed = below(3) == 0 ? "abc"[below(3)] : ' ';
    if (removed != ' ') made.operations.push_back(Operation::remove_prefix({removed, '/'}));
    for (size_t i = below(4); i > 0; i--) {
      const std::string at = key();
      if (at[0] == removed || !used.insert(at).second) continue;
      made.operations.push_back(below(3) == 0 ? Operation::remove(at)
                                              : Operation::put(at, std::to_string(below(1000))));
    }
    return made;
  }

 private:
  std::mt19937 random_;
};

io::Task<void> like_a_model(Bench& bench) {
  Model model;
  Choices choices(42);
  const auto before = ok(co_await bench.metadata.list("", bench.call()));
  const auto watch = bench.metadata.watch("", before.revision + 1);
  for (int i = 0; i < 150; i++) {
    const auto transaction = choices.transaction(model);
    bool expected = true;
    for (const auto& compare : transaction.compares) expected &= model.holds(compare);
    const auto done = ok(co_await bench.metadata.commit(transaction, bench.call()));
    EXPECT_EQ(done.done, expected) << "transaction " << i;
    if (done.done) model.apply(transaction, done.revision);
  }
  const auto snapshot = ok(co_await bench.metadata.list("", bench.call()));
  EXPECT_EQ(snapshot.entries.size(), model.entries.size());
  for (const auto& entry : snapshot.entries) {
    const auto& wanted = model.entries[entry.key];
    EXPECT_EQ(entry.value, wanted.value) << entry.key;
    EXPECT_EQ(entry.modified, wanted.modified) << entry.key;
    EXPECT_EQ(entry.created, wanted.created) << entry.key;
    EXPECT_EQ(entry.version, wanted.version) << entry.key;
  }
  co_await put(bench, "end", "");
  std::map<std::string, std::string> told;
  while (!told.contains("end")) {
    const auto events = co_await watch->next(bench.call());
    EXPECT_TRUE(events.has_value());
    if (!events) co_return;
    for (const auto& event : *events) {
      if (event.removed) told.erase(event.entry.key);
      if (!event.removed) told[event.entry.key] = event.entry.value;
    }
  }
  told.erase("end");
  EXPECT_EQ(told.size(), model.entries.size());
  for (const auto& [key, entry] : model.entries) EXPECT_EQ(told[key], entry.value) << key;
}
TEST_P(MetadataChanges, AgreeWithAModelAndWithWhatIsToldOfThem) { run(like_a_model); }

INSTANTIATE_TEST_SUITE_P(Engines, MetadataChanges, engines(), name_of_engine);

}  // namespace
}  // namespace om::metadata::testing
