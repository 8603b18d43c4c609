#include "metadata/sqlite/database.h"

#include "base/check.h"
#include "base/log.h"
#include "metadata/bounds.h"

namespace om::metadata {
namespace {

constexpr int kFormatVersion = 1;
constexpr size_t kChangesMax = 1000;  // Events read at once, then to the end of their revision.
constexpr size_t kChangesBytesMax = 8 << 20;
constexpr int64_t kForgetEveryMs = 60'000;
constexpr int64_t kEventOverheadBytes = 64;  // Of a row, about.

constexpr const char* kTables = R"(
CREATE TABLE IF NOT EXISTS facts(name BLOB PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entries(
  key BLOB PRIMARY KEY, value BLOB NOT NULL, created INTEGER NOT NULL, modified INTEGER NOT NULL,
  version INTEGER NOT NULL, lease INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entries_of_lease ON entries(lease) WHERE lease != 0;
CREATE TABLE IF NOT EXISTS events(
  revision INTEGER NOT NULL, sequence INTEGER NOT NULL, removed INTEGER NOT NULL,
  key BLOB NOT NULL, value BLOB NOT NULL, created INTEGER NOT NULL, version INTEGER NOT NULL,
  lease INTEGER NOT NULL, PRIMARY KEY(revision, sequence)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leases(id INTEGER PRIMARY KEY, seconds INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS requests(
  id BLOB PRIMARY KEY, revision INTEGER NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS requests_by_age ON requests(at);
)";

Entry entry_of(const Query& row) {
  return {row.bytes_at(0),  row.bytes_at(1),  row.number_at(2),
          row.number_at(3), row.number_at(4), row.number_at(5)};
}

int64_t event_bytes(const Entry& entry) {
  return static_cast<int64_t>(entry.key.size() + entry.value.size()) + kEventOverheadBytes;
}

}  // namespace

const char* Database::text(Sql which) {
  switch (which) {
    case kBegin:
      return "BEGIN";
    case kCommit:
      return "COMMIT";
    case kRollback:
      return "ROLLBACK";
    case kGet:
      return "SELECT key, value, created, modified, version, lease FROM entries WHERE key = ?";
    case kList:
      return "SELECT key, value, created, modified, version, lease FROM entries"
             " WHERE key >= ? AND key < ? ORDER BY key";
    case kListAll:
      return "SELECT key, value, created, modified, version, lease FROM entries"
             " WHERE key >= ? ORDER BY key";
    case kPut:
      return "INSERT OR REPLACE INTO entries(key, value, created, modified, version, lease)"
             " VALUES(?, ?, ?, ?, ?, ?)";
    case kRemove:
      return "DELETE FROM entries WHERE key = ?";
    case kPutMeta:
      return "INSERT OR REPLACE INTO facts(name, number) VALUES(?, ?)";
    case kGetMeta:
      return "SELECT number FROM facts WHERE name = ?";
    case kAddEvent:
      return "INSERT INTO events(revision, sequence, removed, key, value, created, version, lease)"
             " VALUES(?, ?, ?, ?, ?, ?, ?, ?)";
    case kChanges:
      return "SELECT key, value, created, revision, version, lease, removed FROM events"
             " WHERE revision >= ? ORDER BY revision, sequence";
    case kOldestEvents:
      return "SELECT revision, length(key) + length(value) FROM events ORDER BY revision, sequence";
    case kCompact:
      return "DELETE FROM events WHERE revision <= ?";
    case kEventBytes:
      return "SELECT coalesce(sum(length(key) + length(value) + 64), 0) FROM events";
    case kGetRequest:
      return "SELECT revision FROM requests WHERE id = ?";
    case kAddRequest:
      return "INSERT INTO requests(id, revision, at) VALUES(?, ?, ?)";
    case kForgetRequests:
      return "DELETE FROM requests WHERE at < ?";
    case kTrimRequests:
      return "DELETE FROM requests WHERE id IN (SELECT id FROM requests ORDER BY at LIMIT ?)";
    case kRestartRequests:
      return "UPDATE requests SET at = 0";
    case kCountRequests:
      return "SELECT count(*) FROM requests";
    case kAddLease:
      return "INSERT INTO leases(id, seconds) VALUES(?, ?)";
    case kEndLease:
      return "DELETE FROM leases WHERE id = ?";
    case kGetLease:
      return "SELECT seconds FROM leases WHERE id = ?";
    case kLeases:
      return "SELECT id, seconds FROM leases ORDER BY id";
    case kLeaseKeys:
      return "SELECT key FROM entries WHERE lease = ? ORDER BY key";
    case kSqlCount:
      break;
  }
  CHECK(false, "no such statement");
}

Result<std::unique_ptr<Database>> Database::open(const std::string& file, Limits limits) {
  sqlite3* raw = nullptr;
  constexpr int kFlags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
                         SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_NOFOLLOW;
  const int code = sqlite3_open_v2(file.c_str(), &raw, kFlags, nullptr);
  std::unique_ptr<sqlite3, Close> handle(raw);
  if (code != SQLITE_OK) return fail(sqlite_error(raw, code, file));
  std::unique_ptr<Database> database(new Database(std::move(handle), limits));
  auto ready = database->set_up(file);
  if (ready) ready = database->load();
  if (!ready) return fail(annotate(std::move(ready).error(), file));
  return database;
}

Database::~Database() {
  for (auto& statement : statements_) statement.reset();  // Before the handle closes.
}

Result<void> Database::execute(const char* sql) {
  const int code = sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr);
  if (code == SQLITE_OK) return {};
  return fail(sqlite_error(database_.get(), code, "metadata"));
}

Result<void> Database::set_up(const std::string& file) {
  // Exclusive: one process has the file, and needs no shared memory beside it.
  TRY_VOID(execute("PRAGMA locking_mode=EXCLUSIVE"));
  if (file != ":memory:") TRY_VOID(execute("PRAGMA journal_mode=WAL"));
  TRY_VOID(
      execute("PRAGMA synchronous=FULL; PRAGMA journal_size_limit=16777216;"
              "PRAGMA cache_size=-4096; PRAGMA temp_store=MEMORY"));
  Statement version;
  sqlite3_stmt* raw = nullptr;
  int code = sqlite3_prepare_v2(database_.get(), "PRAGMA user_version", -1, &raw, nullptr);
  version.reset(raw);
  if (code != SQLITE_OK) return fail(sqlite_error(database_.get(), code, "metadata"));
  code = sqlite3_step(raw);
  if (code != SQLITE_ROW) return fail(sqlite_error(database_.get(), code, "metadata"));
  const int found = sqlite3_column_int(raw, 0);
  version.reset();
  if (found > kFormatVersion) {
    return fail(Errc::unsupported, "written by a newer version (format {})", found);
  }
  // Only what lacks them: to set the version writes a page, and a full disk takes none.
  if (found != kFormatVersion) {
    TRY_VOID(execute("BEGIN IMMEDIATE"));
    TRY_VOID(execute(kTables));
    TRY_VOID(execute(fmt::format("PRAGMA user_version={}; COMMIT", kFormatVersion).c_str()));
  }
  for (uint8_t i = 0; i < kSqlCount; i++) {
    code = sqlite3_prepare_v3(database_.get(), text(static_cast<Sql>(i)), -1,
                              SQLITE_PREPARE_PERSISTENT, &raw, nullptr);
    statements_[i].reset(raw);
    if (code != SQLITE_OK) return fail(sqlite_error(database_.get(), code, "metadata"));
  }
  return {};
}

Result<int64_t> Database::ask_number(Sql which) {
  auto row = query(which);
  TRY(const bool found, row.step());
  return found ? row.number_at(0) : 0;
}

Result<void> Database::load() {
  for (const auto& [name, number] :
       {std::pair("revision", &revision_), std::pair("compacted", &compacted_)}) {
    auto row = query(kGetMeta);
    TRY(const bool found, row.bytes(name).step());
    if (found) *number = row.number_at(0);
  }
  TRY(event_bytes_, ask_number(kEventBytes));
  TRY(requests_, ask_number(kCountRequests));
  // As it was, a request is remembered for longer: no reason not to open.
  if (const auto restarted = query(kRestartRequests).run(); !restarted) {
    log_warn("facts: cannot be written to now", field("error", restarted.error()));
  }
  return {};
}

Result<void> Database::begin() {
  before_ = {revision_, compacted_, event_bytes_, requests_};
  changed_keys_.clear();
  return query(kBegin).run();
}

Result<void> Database::commit() {
  if (revision_ != before_.revision) {
    TRY_VOID(query(kPutMeta).bytes("revision").number(revision_).run());
    TRY_VOID(compact());
  }
  return query(kCommit).run();
}

void Database::rollback() {
  changing_ = 0;
  changed_keys_.clear();
  revision_ = before_.revision;
  compacted_ = before_.compacted;
  event_bytes_ = before_.event_bytes;
  requests_ = before_.requests;
  // SQLite may have rolled back by itself; nothing is open then.
  if (sqlite3_get_autocommit(database_.get()) != 0) return;
  const auto done = query(kRollback).run();
  CHECK(done.has_value(), "metadata: rollback failed");
}

Result<std::optional<Entry>> Database::get(std::string_view key) {
  auto row = query(kGet);
  TRY(const bool found, row.bytes(key).step());
  if (!found) return std::optional<Entry>{};
  return std::optional(entry_of(row));
}

Result<std::vector<Entry>> Database::entries_of(std::string_view prefix, size_t bytes_max) {
  const auto end = prefix_end(prefix);
  auto row = query(end ? kList : kListAll);
  row.bytes(prefix);
  if (end) row.bytes(*end);
  std::vector<Entry> entries;
  size_t bytes = 0;
  while (true) {
    TRY(const bool more, row.step());
    if (!more) return entries;
    entries.push_back(entry_of(row));
    bytes += entries.back().key.size() + entries.back().value.size();
    if (bytes > bytes_max) {
      return fail(Errc::overloaded, "more than {} bytes under one prefix", bytes_max);
    }
  }
}

Result<Snapshot> Database::list(std::string_view prefix) {
  Snapshot snapshot;
  TRY(snapshot.entries, entries_of(prefix, kSnapshotBytesMax));
  snapshot.revision = revision_;
  return snapshot;
}

Result<bool> Database::holds(const Compare& compare) {
  TRY(const auto entry, get(compare.key));
  if (compare.value) return entry && entry->value == *compare.value;
  return (entry ? entry->modified : 0) == *compare.modified;
}

Result<Commit> Database::apply(const Transaction& transaction, int64_t now_ms) {
  if (!transaction.request_id.empty()) {
    auto row = query(kGetRequest);
    TRY(const bool done_before, row.bytes(transaction.request_id).step());
    if (done_before) return Commit{true, row.number_at(0)};
  }
  for (const auto& compare : transaction.compares) {
    TRY(const bool held, holds(compare));
    if (!held) return Commit{false, revision_};
  }
  for (const auto& operation : transaction.operations) {
    if (operation.lease == 0) continue;
    auto row = query(kGetLease);
    TRY(const bool found, row.number(operation.lease).step());
    if (!found) return fail(Errc::not_found, "lease {} has ended", operation.lease);
  }
  for (const auto& operation : transaction.operations) TRY_VOID(operate(operation));
  TRY_VOID(end_change());
  if (!transaction.request_id.empty()) TRY_VOID(remember(transaction.request_id, now_ms));
  return Commit{true, revision_};
}

Result<void> Database::operate(const Operation& operation) {
  if (operation.kind == Operation::Kind::put) return put(operation);
  if (operation.kind == Operation::Kind::remove) return remove(operation.key);
  TRY(auto entries, entries_of(operation.key, SIZE_MAX));
  for (auto& entry : entries) TRY_VOID(remove(std::move(entry.key)));
  return {};
}

Result<void> Database::put(const Operation& operation) {
  TRY(const auto old, get(operation.key));
  const Revision revision = changing();
  const Entry entry{operation.key,
                    operation.value,
                    old ? old->created : revision,
                    revision,
                    old ? old->version + 1 : 1,
                    operation.lease};
  TRY_VOID(query(kPut)
               .bytes(entry.key)
               .bytes(entry.value)
               .number(entry.created)
               .number(revision)
               .number(entry.version)
               .number(entry.lease)
               .run());
  return log_event(entry, false);
}

Result<void> Database::remove(std::string key) {
  TRY_VOID(query(kRemove).bytes(key).run());
  if (sqlite3_changes(database_.get()) == 0) return {};
  Entry gone;
  gone.key = std::move(key);
  gone.modified = changing();
  return log_event(gone, true);
}

Result<void> Database::log_event(const Entry& entry, bool removed) {
  TRY_VOID(query(kAddEvent)
               .number(entry.modified)
               .number(event_sequence_++)
               .number(removed ? 1 : 0)
               .bytes(entry.key)
               .bytes(entry.value)
               .number(entry.created)
               .number(entry.version)
               .number(entry.lease)
               .run());
  event_bytes_ += event_bytes(entry);
  changed_keys_.push_back(entry.key);
  return {};
}

Result<void> Database::end_change() {
  if (changing_ != 0) revision_ = changing_;
  changing_ = 0;
  event_sequence_ = 0;
  return {};
}

Result<void> Database::remember(const std::string& request_id, int64_t now_ms) {
  TRY_VOID(query(kAddRequest).bytes(request_id).number(revision_).number(now_ms).run());
  requests_++;
  if (requests_ > limits_.requests_max) {
    const int64_t surplus = limits_.requests_max / 100 + 1;
    TRY_VOID(query(kTrimRequests).number(surplus).run());
    requests_ -= sqlite3_changes(database_.get());
  }
  if (now_ms - last_forgotten_ms_ < kForgetEveryMs) return {};
  last_forgotten_ms_ = now_ms;
  TRY_VOID(query(kForgetRequests).number(now_ms - limits_.request_age_max_ms).run());
  requests_ -= sqlite3_changes(database_.get());
  return {};
}

Result<void> Database::compact() {
  Revision keep_from = std::max(compacted_, revision_ - limits_.event_revisions_max);
  if (event_bytes_ > limits_.event_bytes_max) {
    // Down to half, so that not every commit has to.
    int64_t left = event_bytes_;
    auto row = query(kOldestEvents);
    while (left > limits_.event_bytes_max / 2) {
      TRY(const bool more, row.step());
      if (!more) break;
      left -= row.number_at(1) + kEventOverheadBytes;
      keep_from = std::max(keep_from, row.number_at(0));
    }
  } else if (keep_from - compacted_ < std::max<int64_t>(limits_.event_revisions_max / 10, 1)) {
    return {};  // In larger steps it costs less.
  }
  compacted_ = std::min(keep_from, revision_);
  TRY_VOID(query(kCompact).number(compacted_).run());
  TRY_VOID(query(kPutMeta).bytes("compacted").number(compacted_).run());
  TRY(event_bytes_, ask_number(kEventBytes));
  return {};
}

Result<void> Database::add_lease(const Lease& lease) {
  return query(kAddLease).number(lease.id).number(lease.time_to_live.count()).run();
}

Result<void> Database::end_lease(LeaseId id) {
  TRY_VOID(query(kEndLease).number(id).run());
  if (sqlite3_changes(database_.get()) == 0) {
    return fail(Errc::not_found, "lease {} has ended", id);
  }
  std::vector<std::string> keys;
  {
    auto row = query(kLeaseKeys);
    row.number(id);
    while (true) {
      TRY(const bool more, row.step());
      if (!more) break;
      keys.push_back(row.bytes_at(0));
    }
  }
  for (auto& key : keys) TRY_VOID(remove(std::move(key)));
  return end_change();
}

Result<std::vector<Database::Lease>> Database::leases() {
  auto row = query(kLeases);
  std::vector<Lease> leases;
  while (true) {
    TRY(const bool more, row.step());
    if (!more) return leases;
    leases.push_back({row.number_at(0), std::chrono::seconds(row.number_at(1))});
  }
}

Result<Database::Changes> Database::changes(std::string_view prefix, Revision from) {
  if (from <= compacted_) return Changes{{}, revision_, true};
  auto row = query(kChanges);
  row.number(from);
  Changes changes{{}, revision_, false};
  size_t bytes = 0;
  Revision last = 0;
  while (true) {
    TRY(const bool more, row.step());
    if (!more) return changes;
    Event event{row.number_at(6) != 0, entry_of(row)};
    const bool full = changes.events.size() >= kChangesMax || bytes > kChangesBytesMax;
    if (full && event.entry.modified != last) {
      changes.through = last;
      return changes;
    }
    last = event.entry.modified;
    if (!event.entry.key.starts_with(prefix)) continue;
    bytes += event.entry.key.size() + event.entry.value.size();
    changes.events.push_back(std::move(event));
  }
}

}  // namespace om::metadata
