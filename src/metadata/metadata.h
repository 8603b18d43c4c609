// Facts the whole cluster agrees on: keys, transactions, leases, watches. One node keeps them in an
// SQLite file, several in etcd; the model is etcd's (https://etcd.io/docs/v3.4/learning/api/).
// All of it runs on the io thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/task.h"

namespace om::metadata {

using Revision = int64_t;  // Grows with every transaction that changed something.
using LeaseId = int64_t;   // 0: no lease.

inline constexpr size_t kKeyBytesMax = 1024;
inline constexpr size_t kValueBytesMax = 1 << 20;
inline constexpr size_t kOperationsMax = 100;                // In one transaction; of compares too.
inline constexpr size_t kTransactionBytesMax = 1'280 << 10;  // All its keys and values.
inline constexpr size_t kSnapshotBytesMax = 256 << 20;       // All keys and values of a prefix.
inline constexpr size_t kRequestIdLetters = 20;              // Of one that is made.

struct Entry {
  std::string key, value;
  Revision created = 0, modified = 0;
  int64_t version = 0;  // Of this key: 1 when it was made.
  LeaseId lease = 0;
};

// A condition of a transaction. All of its conditions are checked in one state.
struct Compare {
  std::string key;
  // exactly one is set; `modified` 0 means that the key does not exist.
  std::optional<Revision> modified;
  std::optional<std::string> value;

  static Compare absent(std::string key) { return {std::move(key), 0, {}}; }
  static Compare unchanged(const Entry& entry) { return {entry.key, entry.modified, {}}; }
  static Compare equals(std::string key, std::string value) {
    return {std::move(key), {}, std::move(value)};
  }
};

struct Operation {
  enum class Kind { put, remove, remove_prefix } kind = Kind::put;
  std::string key, value;
  LeaseId lease = 0;  // With put: the key goes when the lease ends.

  static Operation put(std::string key, std::string value, LeaseId lease = 0) {
    return {Kind::put, std::move(key), std::move(value), lease};
  }
  static Operation remove(std::string key) { return {Kind::remove, std::move(key), {}, 0}; }
  static Operation remove_prefix(std::string key) {
    return {Kind::remove_prefix, std::move(key), {}, 0};
  }
};

// Done whole or not at all. Each key may be put once, and not be removed as well
// (invalid_argument). A request id makes it safe to send the transaction again after an unknown
// outcome (deadline_exceeded, unavailable): if it was done already, it changes nothing and gives
// the first answer again. Ids are remembered for at least 10 minutes. After an unknown outcome only
// an answer to the same id tells what became of it; not_leader is about that one call.
struct Transaction {
  std::vector<Compare> compares;
  std::vector<Operation> operations;
  std::string request_id;  // Empty: one is made, for the engine's own retries.
};

struct Commit {
  bool done = false;  // False: a compare did not hold, nothing was changed.
  // If done, the revision of its changes; else that of the compared state, or a later one.
  Revision revision = 0;
};

// The entries of a prefix at one revision, ordered by key.
struct Snapshot {
  std::vector<Entry> entries;
  Revision revision = 0;  // Watch from revision + 1 to miss nothing.
};

struct Event {
  bool removed = false;
  Entry entry;  // Removed: key and the revision of the removal (`modified`) only.
};

// All changes of a prefix in the order of their revisions. Destroying it ends it.
class Watch {
 public:
  virtual ~Watch() = default;
  // Waits for the next changes: one or more whole revisions. corrupt: the next changes are
  // compacted already: read a new Snapshot and watch from there. The engine reconnects by itself;
  // unavailable only after it was closed.
  virtual io::Task<Result<std::vector<Event>>> next(io::Call call) = 0;
};

// One per node. Every call is bounded by its deadline, kCallMax if it has none.
// Errors: not_leader: no majority can be reached, nothing was changed; unavailable or
// deadline_exceeded: the outcome of a change is unknown (see Transaction); invalid_argument: too
// large or malformed; not_found: the lease has ended; overloaded: too much to list, too many
// leases; cancelled (the outcome of a change is unknown). Calls must be over before it is
// destroyed.
class Metadata {
 public:
  virtual ~Metadata() = default;

  // Linearizable: sees every commit that returned before this call.
  virtual io::Task<Result<std::optional<Entry>>> get(std::string key, io::Call call) = 0;
  virtual io::Task<Result<Snapshot>> list(std::string prefix, io::Call call) = 0;
  virtual io::Task<Result<Commit>> commit(Transaction transaction, io::Call call) = 0;

  // A lease ends `time_to_live` after its last keep_alive(), and its keys with it. The holder must
  // stop acting on it before that: it reads its own monotonic clock.
  virtual io::Task<Result<LeaseId>> grant(std::chrono::seconds time_to_live, io::Call call) = 0;
  virtual io::Task<Result<void>> keep_alive(LeaseId lease, io::Call call) = 0;
  virtual io::Task<Result<void>> revoke(LeaseId lease, io::Call call) = 0;

  // `from`: the first revision told; 0: from now on.
  virtual std::unique_ptr<Watch> watch(std::string prefix, Revision from) = 0;

  // Whether the last exchange with a majority went well; for status and readiness.
  virtual bool healthy() const = 0;
  virtual io::Task<void> stop() = 0;  // Must have returned before it is destroyed.
};

inline constexpr std::chrono::seconds kCallMax{5};

}  // namespace om::metadata
