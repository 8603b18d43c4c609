// All facts as text, from any engine: written by `cluster backup`, and used to move facts from one
// engine to another.
//
// JSON lines: a head {"format":"ollamamax-metadata","version":1,"revision":R,"entries":N}, one line
// {"key":"...","value":"..."} an entry in the order of keys, and {"sha256":"..."} of all bytes
// before it. A key or value that is not UTF-8 text is "key64" or "value64", in base64.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "metadata/metadata.h"

namespace om::metadata {

inline constexpr uint64_t kBackupBytesMax = 512ull << 20;  // kSnapshotBytesMax as text, and more.

// Without entries that a lease holds: their owners write them again. Revisions and versions begin
// anew after an import.
std::string write_backup(const Snapshot& snapshot);

// corrupt: cut, changed, or not a backup. unsupported: a newer version's.
Result<Snapshot> read_backup(std::string_view text);

// Puts of all entries in order, in transactions that are small enough for every engine.
std::vector<Transaction> puts_of(const Snapshot& snapshot);

// Puts all entries into an empty engine, then reads them back and compares; answers how many.
// Those with a lease are left out, as above. If it fails it may be called again with the same
// snapshot: until all is there a mark stands, by which the second call knows that it may go on.
// already_exists: there are other facts.
io::Task<Result<size_t>> import_entries(Metadata& into, Snapshot snapshot, io::Call call);

}  // namespace om::metadata
