#include "metadata/backup.h"

#include "base/strings.h"
#include "metadata/bounds.h"
#include "metadata/testing/contract.h"

namespace om::metadata::testing {
namespace {

Snapshot facts() {
  Snapshot snapshot;
  snapshot.revision = 77;
  snapshot.entries = {{.key = "a", .value = "text \"quoted\"\n"},
                      {.key = "b", .value = std::string("\x00\xff", 2)},
                      {.key = "node/here", .value = "1", .lease = 5},
                      {.key = std::string("z\xfe"), .value = ""}};
  return snapshot;
}

TEST(Backup, ReadsWhatItWroteAndLeavesLeasedEntriesOut) {
  const std::string text = write_backup(facts());
  const auto read = read_backup(text);
  ASSERT_TRUE(read.has_value()) << read.error().what;
  EXPECT_EQ(read->revision, 77);
  ASSERT_EQ(read->entries.size(), 3u);
  EXPECT_EQ(read->entries[0].value, "text \"quoted\"\n");
  EXPECT_EQ(read->entries[1].value, std::string("\x00\xff", 2));
  EXPECT_EQ(read->entries[2].key, "z\xfe");
  EXPECT_EQ(write_backup(*read), text);
}

TEST(Backup, IsRefusedWhereverItIsCutOrChanged) {
  const std::string text = write_backup(facts());
  // Without the last line feed it is still whole.
  for (size_t length = 0; length + 1 < text.size(); length++) {
    EXPECT_EQ(code_of(read_backup(text.substr(0, length))), Errc::corrupt) << length;
  }
  for (size_t i = 0; i + 1 < text.size(); i++) {
    std::string changed = text;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_FALSE(read_backup(changed).has_value()) << i;
  }
}

io::Task<void> moves(Bench& bench) {
  const auto imported = co_await import_entries(bench.metadata, facts(), bench.call());
  EXPECT_EQ(ok(imported), 3u);
  EXPECT_EQ(co_await value_of(bench, "import/unfinished"), "-");
  const auto back = ok(co_await bench.metadata.list("", bench.call()));
  const auto lines_before = split(write_backup(facts()), '\n').size();
  EXPECT_EQ(split(write_backup(back), '\n').size(), lines_before);
  const auto again = co_await import_entries(bench.metadata, facts(), bench.call());
  EXPECT_EQ(code_of(again), Errc::already_exists);
}

io::Task<void> goes_on(Bench& bench) {
  // As an import leaves it that was cut short.
  co_await put(bench, "import/unfinished", "");
  co_await put(bench, "a", "text \"quoted\"\n");
  EXPECT_EQ(ok(co_await import_entries(bench.metadata, facts(), bench.call())), 3u);
  EXPECT_EQ(co_await value_of(bench, "import/unfinished"), "-");

  co_await put(bench, "import/unfinished", "");
  co_await put(bench, "a", "somebody else's");
  const auto refused = co_await import_entries(bench.metadata, facts(), bench.call());
  EXPECT_EQ(code_of(refused), Errc::already_exists);
}

io::Task<void> many(Bench& bench) {
  Snapshot snapshot;
  for (int i = 0; i < 500; i++) {
    snapshot.entries.push_back({.key = fmt::format("k/{:04}", i), .value = std::string(9000, 'v')});
  }
  EXPECT_EQ(ok(co_await import_entries(bench.metadata, snapshot, bench.call())), 500u);
  EXPECT_EQ((co_await texts_of(bench, "k/")).size(), 500u);
}

TEST(Backup, IsPutInTransactionsThatNoEngineRefuses) {
  Snapshot snapshot;
  for (int i = 0; i < 200; i++) {
    const size_t bytes = i % 50 == 49 ? kValueBytesMax : 200'000;
    snapshot.entries.push_back({.key = fmt::format("{:04}", i), .value = std::string(bytes, 'v')});
  }
  for (int i = 200; i < 400; i++) snapshot.entries.push_back({.key = std::to_string(i)});
  size_t puts = 0;
  for (const Transaction& transaction : puts_of(snapshot)) {
    ok(check_transaction(transaction));
    for (const Operation& put : transaction.operations) {
      EXPECT_EQ(put.key, snapshot.entries[puts].key);
      EXPECT_EQ(put.value, snapshot.entries[puts++].value);
    }
  }
  EXPECT_EQ(puts, snapshot.entries.size());
  EXPECT_TRUE(puts_of({}).empty());
}

class BackupImport : public EngineTest {};
TEST_P(BackupImport, MovesAllFactsIntoAnEmptyEngineOnly) { run(moves); }
TEST_P(BackupImport, GoesOnWhereItWasCutShort) { run(goes_on); }
TEST_P(BackupImport, SplitsWhatIsTooMuchForOneTransaction) { run(many); }
INSTANTIATE_TEST_SUITE_P(Engines, BackupImport, engines(), name_of_engine);

}  // namespace
}  // namespace om::metadata::testing
