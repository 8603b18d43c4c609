// The facts of a single node, kept in one SQLite file.
#pragma once

#include "io/world.h"
#include "metadata/metadata.h"

namespace om::metadata {

// How far back a watch may begin: this many revisions, or bytes of changes. Smaller in tests.
struct SqliteOptions {
  int64_t event_revisions_max = 10'000;
  int64_t event_bytes_max = 64 << 20;
};

// Opens the file, or makes it with mode 0600 (its directory is there). ":memory:" keeps it in
// memory, also in a simulated world.
//
// A commit is on the disk when it returns. Commits that wait at the same time share one sync.
// Leases run on the monotonic clock; after a restart they begin their whole time again.
// unavailable: another process has the file. corrupt, unsupported: not ours, or a newer version's.
io::Task<Result<std::unique_ptr<Metadata>>> open_sqlite(io::World& world, io::Path file,
                                                        SqliteOptions options = {});

}  // namespace om::metadata
