// What every engine promises, tried on each of them.
#include "metadata/testing/contract.h"

#include "io/task_group.h"

namespace om::metadata::testing {

io::Task<Commit> put(Bench& bench, std::string key, std::string value, LeaseId lease) {
  Transaction transaction;
  transaction.operations = {Operation::put(std::move(key), std::move(value), lease)};
  auto committed = co_await bench.metadata.commit(std::move(transaction), bench.call());
  co_return ok(std::move(committed));
}

io::Task<Commit> remove(Bench& bench, std::string key) {
  Transaction transaction;
  transaction.operations = {Operation::remove(std::move(key))};
  auto committed = co_await bench.metadata.commit(std::move(transaction), bench.call());
  co_return ok(std::move(committed));
}

io::Task<std::string> value_of(Bench& bench, std::string key) {
  const auto entry = ok(co_await bench.metadata.get(std::move(key), bench.call()));
  co_return entry ? entry->value : "-";
}

io::Task<std::vector<std::string>> texts_of(Bench& bench, std::string prefix) {
  const auto snapshot = ok(co_await bench.metadata.list(std::move(prefix), bench.call()));
  std::vector<std::string> texts;
  for (const auto& entry : snapshot.entries) texts.push_back(entry.key + "=" + entry.value);
  co_return texts;
}

io::Task<std::vector<std::string>> changes_of(Bench& bench, Watch& watch, size_t count) {
  std::vector<std::string> texts;
  Revision last = 0;
  while (texts.size() < count) {
    auto events = co_await watch.next(bench.call());
    EXPECT_TRUE(events.has_value()) << events.error().what;
    if (!events) break;
    for (const auto& [removed, entry] : *events) {
      EXPECT_GE(entry.modified, last);
      last = entry.modified;
      texts.push_back(removed ? entry.key + " gone" : entry.key + "=" + entry.value);
    }
  }
  co_return texts;
}

namespace {

class MetadataContract : public EngineTest {};

io::Task<void> keeps_entries(Bench& bench) {
  const auto first = co_await put(bench, "node/a", "one");
  const auto second = co_await put(bench, "node/a", "two");
  EXPECT_TRUE(first.done && second.done);
  EXPECT_GT(second.revision, first.revision);
  const auto entry = ok(co_await bench.metadata.get("node/a", bench.call()));
  EXPECT_TRUE(entry.has_value());
  if (!entry) co_return;
  EXPECT_EQ(entry->key, "node/a");
  EXPECT_EQ(entry->value, "two");
  EXPECT_EQ(entry->created, first.revision);
  EXPECT_EQ(entry->modified, second.revision);
  EXPECT_EQ(entry->version, 2);
  EXPECT_EQ(entry->lease, 0);
  co_await remove(bench, "node/a");
  EXPECT_EQ(co_await value_of(bench, "node/a"), "-");
  const auto again = co_await put(bench, "node/a", "three");
  const auto renewed = ok(co_await bench.metadata.get("node/a", bench.call()));
  EXPECT_EQ(renewed->created, again.revision);
  EXPECT_EQ(renewed->version, 1);
  EXPECT_TRUE(bench.metadata.healthy());
}
TEST_P(MetadataContract, KeepsAnEntryWithItsRevisionsAndItsVersion) { run(keeps_entries); }

io::Task<void> keeps_bytes(Bench& bench) {
  const std::string key("\x00\xff\xfe/\n\"", 6);
  std::string value;
  for (int i = 0; i < 256; i++) value.push_back(static_cast<char>(i));
  co_await put(bench, key, value);
  co_await put(bench, "empty", "");
  co_await put(bench, "large", std::string(kValueBytesMax, 'v'));
  EXPECT_EQ(co_await value_of(bench, key), value);
  EXPECT_EQ(co_await value_of(bench, "empty"), "");
  const std::string large = co_await value_of(bench, "large");
  EXPECT_TRUE(large == std::string(kValueBytesMax, 'v'));
}
TEST_P(MetadataContract, KeepsEveryByteOfKeysAndValues) { run(keeps_bytes); }

io::Task<void> lists_prefixes(Bench& bench) {
  const std::string high = "p/\xff";
  for (const std::string key : {"p0", "p/b", "p/a", "o/z", "p/", "p/a/x", "p.", high.c_str()}) {
    co_await put(bench, key, "v");
  }
  EXPECT_THAT(co_await texts_of(bench, "p/"),
              ElementsAre("p/=v", "p/a=v", "p/a/x=v", "p/b=v", high + "=v"));
  EXPECT_THAT(co_await texts_of(bench, high), ElementsAre(high + "=v"));
  EXPECT_THAT(co_await texts_of(bench, "q"), IsEmpty());
  const auto all = co_await texts_of(bench, "");
  EXPECT_EQ(all.size(), 8u);
  const auto last = co_await put(bench, "elsewhere", "v");
  const auto snapshot = ok(co_await bench.metadata.list("p/", bench.call()));
  EXPECT_EQ(snapshot.revision, last.revision);
}
TEST_P(MetadataContract, ListsAPrefixInOrderAndNothingBesides) { run(lists_prefixes); }

io::Task<void> lists_many(Bench& bench) {
  constexpr size_t kEntries = 2500;
  for (size_t i = 0; i < kEntries; i += kOperationsMax) {
    Transaction transaction;
    for (size_t j = i; j < i + kOperationsMax; j++) {
      transaction.operations.push_back(Operation::put(fmt::format("many/{:06}", j), "v"));
    }
    ok(co_await bench.metadata.commit(std::move(transaction), bench.call()));
  }
  const auto snapshot = ok(co_await bench.metadata.list("many/", bench.call()));
  EXPECT_EQ(snapshot.entries.size(), kEntries);
  for (size_t i = 0; i < snapshot.entries.size(); i++) {
    EXPECT_EQ(snapshot.entries[i].key, fmt::format("many/{:06}", i));
  }
}
TEST_P(MetadataContract, ListsMoreThanOnePageHolds) { run(lists_many); }

io::Task<void> whole_or_not(Bench& bench) {
  co_await put(bench, "guard", "1");
  Transaction transaction;
  transaction.compares = {Compare::equals("guard", "1"), Compare::absent("x")};
  transaction.operations = {Operation::put("x", "1"), Operation::put("y", "1"),
                            Operation::remove("guard")};
  const auto done = ok(co_await bench.metadata.commit(transaction, bench.call()));
  EXPECT_TRUE(done.done);
  EXPECT_THAT(co_await texts_of(bench, ""), ElementsAre("x=1", "y=1"));
  const auto entry = ok(co_await bench.metadata.get("y", bench.call()));
  EXPECT_EQ(entry->modified, done.revision);

  Transaction second;
  second.compares = {Compare::equals("x", "1"), Compare::equals("y", "other")};
  second.operations = {Operation::put("x", "2"), Operation::remove("y")};
  const auto refused = ok(co_await bench.metadata.commit(second, bench.call()));
  EXPECT_FALSE(refused.done);
  EXPECT_GE(refused.revision, done.revision);
  EXPECT_THAT(co_await texts_of(bench, ""), ElementsAre("x=1", "y=1"));
}
TEST_P(MetadataContract, DoesATransactionWholeOrNotAtAll) { run(whole_or_not); }

io::Task<bool> holds(Bench& bench, Compare compare) {
  Transaction transaction;
  transaction.compares = {std::move(compare)};
  co_return ok(co_await bench.metadata.commit(std::move(transaction), bench.call())).done;
}

io::Task<void> compares(Bench& bench) {
  EXPECT_TRUE(co_await holds(bench, Compare::absent("k")));
  EXPECT_FALSE(co_await holds(bench, Compare::equals("k", "")));
  co_await put(bench, "k", "v");
  const auto entry = *ok(co_await bench.metadata.get("k", bench.call()));
  EXPECT_FALSE(co_await holds(bench, Compare::absent("k")));
  EXPECT_TRUE(co_await holds(bench, Compare::unchanged(entry)));
  EXPECT_TRUE(co_await holds(bench, Compare::equals("k", "v")));
  EXPECT_FALSE(co_await holds(bench, Compare::equals("k", "w")));
  co_await put(bench, "k", "v");
  EXPECT_FALSE(co_await holds(bench, Compare::unchanged(entry)));
  co_await remove(bench, "k");
  EXPECT_FALSE(co_await holds(bench, Compare::unchanged(entry)));
  EXPECT_TRUE(co_await holds(bench, Compare::absent("k")));
}
TEST_P(MetadataContract, ComparesAbsenceRevisionsAndValues) { run(compares); }

io::Task<void> removes_prefixes(Bench& bench) {
  for (const std::string key : {"a/1", "a/2", "a", "b/1"}) co_await put(bench, key, "v");
  Transaction transaction;
  transaction.operations = {Operation::remove_prefix("a/"), Operation::put("c", "v"),
                            Operation::remove("not there")};
  ok(co_await bench.metadata.commit(transaction, bench.call()));
  EXPECT_THAT(co_await texts_of(bench, ""), ElementsAre("a=v", "b/1=v", "c=v"));
}
TEST_P(MetadataContract, RemovesAPrefixAndNothingBesides) { run(removes_prefixes); }

io::Task<void> request_ids(Bench& bench) {
  Transaction transaction;
  transaction.request_id = "request-1";
  transaction.compares = {Compare::absent("k")};
  transaction.operations = {Operation::put("k", "first")};
  const auto first = ok(co_await bench.metadata.commit(transaction, bench.call()));
  EXPECT_TRUE(first.done);
  co_await put(bench, "k", "later");
  // As after an unknown outcome. Its compare would not hold any more, and it must not be asked.
  const auto again = ok(co_await bench.metadata.commit(transaction, bench.call()));
  EXPECT_TRUE(again.done);
  EXPECT_EQ(again.revision, first.revision);
  EXPECT_EQ(co_await value_of(bench, "k"), "later");

  transaction.request_id = "request-2";
  EXPECT_FALSE(ok(co_await bench.metadata.commit(transaction, bench.call())).done);
  co_await remove(bench, "k");
  EXPECT_TRUE(ok(co_await bench.metadata.commit(transaction, bench.call())).done);
  EXPECT_EQ(co_await value_of(bench, "k"), "first");
  EXPECT_THAT(co_await texts_of(bench, ""), SizeIs(1));  // No id shows.
}
TEST_P(MetadataContract, DoesARequestIdOnce) { run(request_ids); }

io::Task<void> refuses(Bench& bench, Transaction transaction) {
  const auto refused = co_await bench.metadata.commit(std::move(transaction), bench.call());
  EXPECT_EQ(code_of(refused), Errc::invalid_argument);
}

io::Task<void> bounds(Bench& bench) {
  const std::string key(kKeyBytesMax, 'k');
  co_await put(bench, key, "v");
  EXPECT_EQ(co_await value_of(bench, key), "v");
  co_await refuses(bench, {{}, {Operation::put(key + "k", "v")}, ""});
  co_await refuses(bench, {{}, {Operation::put("", "v")}, ""});
  co_await refuses(bench, {{}, {Operation::put("k", std::string(kValueBytesMax + 1, 'v'))}, ""});
  const std::string half(kTransactionBytesMax / 2, 'v');
  co_await refuses(bench, {{}, {Operation::put("k", half), Operation::put("l", half)}, ""});
  Transaction many;
  for (size_t i = 0; i <= kOperationsMax; i++) {
    many.operations.push_back(Operation::put(std::to_string(i), "v"));
  }
  co_await refuses(bench, many);
  many.operations.pop_back();
  EXPECT_TRUE(ok(co_await bench.metadata.commit(many, bench.call())).done);
  co_await refuses(bench, {{}, {Operation::put("k", "v"), Operation::put("k", "w")}, ""});
  co_await refuses(bench, {{}, {Operation::put("k/x", "v"), Operation::remove_prefix("k/")}, ""});
  co_await refuses(bench, {{}, {Operation::remove("k"), Operation::put("k", "v")}, ""});
  co_await refuses(bench, {{Compare{"k", {}, {}}}, {}, ""});
  co_await refuses(bench, {{}, {Operation::put("k", "v")}, std::string(200, 'i')});
  EXPECT_EQ(code_of(co_await bench.metadata.get("", bench.call())), Errc::invalid_argument);
  EXPECT_EQ(code_of(co_await bench.metadata.list(key + "k", bench.call())), Errc::invalid_argument);
  EXPECT_EQ(code_of(co_await bench.metadata.grant(std::chrono::seconds(0), bench.call())),
            Errc::invalid_argument);
}
TEST_P(MetadataContract, RefusesWhatIsTooLargeOrMalformed) { run(bounds); }

io::Task<void> cancelled_calls(Bench& bench) {
  io::CancelSource source;
  source.cancel();
  io::Call call = bench.call();
  call.cancel = source.token();
  EXPECT_EQ(code_of(co_await bench.metadata.get("k", call)), Errc::cancelled);
  call = {bench.clock().now() - std::chrono::seconds(1), {}};
  EXPECT_EQ(code_of(co_await bench.metadata.get("k", call)), Errc::deadline_exceeded);
}
TEST_P(MetadataContract, EndsCallsThatAreOver) { run(cancelled_calls); }

io::Task<void> count_up(Bench& bench, int times) {
  for (int done = 0; done < times;) {
    const auto entry = ok(co_await bench.metadata.get("count", bench.call()));
    Transaction transaction;
    transaction.compares = {entry ? Compare::unchanged(*entry) : Compare::absent("count")};
    const int count = entry ? std::stoi(entry->value) : 0;
    transaction.operations = {Operation::put("count", std::to_string(count + 1))};
    const auto committed = co_await bench.metadata.commit(std::move(transaction), bench.call());
    EXPECT_TRUE(committed.has_value()) << committed.error().what;
    if (!committed) co_return;
    if (committed->done) done++;
  }
}

io::Task<void> contention(Bench& bench) {
  io::TaskGroup group(bench.world().executor, bench.clock());
  for (int i = 0; i < 5; i++) group.spawn(count_up(bench, 8));
  co_await group.wait();
  EXPECT_EQ(co_await value_of(bench, "count"), "40");
}
TEST_P(MetadataContract, LosesNoUpdateOfThoseWhoCompareRevisions) { run(contention); }

INSTANTIATE_TEST_SUITE_P(Engines, MetadataContract, engines(), name_of_engine);

}  // namespace
}  // namespace om::metadata::testing
