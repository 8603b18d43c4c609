// The facts of one node in an SQLite file: tables, transactions, the log of events.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "metadata/metadata.h"
#include "metadata/sqlite/query.h"

namespace om::metadata {

// Blocks, so use it on Workers, one thread at a time. Every change lies between begin() and
// commit(); it is on the disk when commit() has returned (WAL, synchronous=FULL). After any error
// but not_found and overloaded, call rollback(), which undoes everything since begin().
//
// Times are milliseconds on the caller's clock, which starts at 0 when the file is opened: request
// ids that are remembered for a time begin that time again.
class Database {
 public:
  struct Limits {
    int64_t event_revisions_max = 10'000;  // In the log; older ones are compacted.
    int64_t event_bytes_max = 64 << 20;
    int64_t requests_max = 1'000'000;
    int64_t request_age_max_ms = 11 * 60 * 1000;
  };

  // ":memory:" keeps it in memory. unavailable: another process has the file. corrupt: not ours.
  // unsupported: a newer version wrote it.
  static Result<std::unique_ptr<Database>> open(const std::string& file, Limits limits);
  ~Database();

  Result<void> begin();
  Result<void> commit();
  void rollback();

  // The keys changed since begin(), for watches.
  std::vector<std::string> take_changed_keys() { return std::move(changed_keys_); }
  Revision revision() const { return revision_; }

  Result<std::optional<Entry>> get(std::string_view key);
  Result<Snapshot> list(std::string_view prefix);  // overloaded: more than kSnapshotBytesMax.
  // not_found: a lease does not exist; nothing is changed.
  Result<Commit> apply(const Transaction& transaction, int64_t now_ms);

  struct Lease {
    LeaseId id = 0;
    std::chrono::seconds time_to_live{};
  };
  Result<void> add_lease(const Lease& lease);
  Result<void> end_lease(LeaseId id);  // Removes its keys, too. not_found.
  Result<std::vector<Lease>> leases();

  struct Changes {
    std::vector<Event> events;
    Revision through = 0;    // The last revision that was looked at.
    bool compacted = false;  // Revisions from `from` on are forgotten: no events.
  };
  // Whole revisions, some at a time.
  Result<Changes> changes(std::string_view prefix, Revision from);

 private:
  struct Close {
    void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
  };
  enum Sql : uint8_t {
    kBegin,
    kCommit,
    kRollback,
    kGet,
    kList,
    kListAll,
    kPut,
    kRemove,
    kPutMeta,
    kGetMeta,
    kAddEvent,
    kChanges,
    kOldestEvents,
    kCompact,
    kEventBytes,
    kGetRequest,
    kAddRequest,
    kForgetRequests,
    kTrimRequests,
    kRestartRequests,
    kCountRequests,
    kAddLease,
    kEndLease,
    kGetLease,
    kLeases,
    kLeaseKeys,
    kSqlCount,
  };

  Database(std::unique_ptr<sqlite3, Close> database, Limits limits)
      : limits_(limits), database_(std::move(database)) {}
  Query query(Sql which) { return Query(statements_[which].get()); }
  static const char* text(Sql which);
  Result<void> set_up(const std::string& file);
  Result<void> load();
  Result<void> execute(const char* sql);
  Result<int64_t> ask_number(Sql which);

  Result<std::vector<Entry>> entries_of(std::string_view prefix, size_t bytes_max);
  Result<bool> holds(const Compare& compare);
  Result<void> operate(const Operation& operation);
  Result<void> put(const Operation& operation);
  Result<void> remove(std::string key);
  Result<void> log_event(const Entry& entry, bool removed);
  Result<void> remember(const std::string& request_id, int64_t now_ms);
  // The revision of the open transaction, made at its first change.
  Revision changing() { return changing_ != 0 ? changing_ : changing_ = revision_ + 1; }
  Result<void> end_change();
  Result<void> compact();

  Limits limits_;
  std::unique_ptr<sqlite3, Close> database_;
  std::array<Statement, kSqlCount> statements_;
  Revision revision_ = 1, compacted_ = 0;  // `compacted_`: the last revision that is forgotten.
  Revision changing_ = 0;
  int64_t event_sequence_ = 0, event_bytes_ = 0, requests_ = 0, last_forgotten_ms_ = 0;
  std::vector<std::string> changed_keys_;
  struct Before {
    Revision revision = 1, compacted = 0;
    int64_t event_bytes = 0, requests = 0;
  } before_;  // As of begin(), for rollback().
};

}  // namespace om::metadata
