// Which blobs may go, decided so that two processes on one folder do not harm each other.
//
// Protocol. (1) partial/lock is locked exclusively for every short change: writing a manifest,
// announcing held blobs, collecting. (2) Who is about to name blobs in a manifest announces their
// digests in a hold file of its own, partial/hold-..., and keeps that file locked; a hold
// file nobody locks is left over from a crash. (3) The collector, under the lock, deletes only
// what no manifest names and no live hold file announces. (4) The clean-up, at start and daily,
// spares also what a crash left announced, as long as an unfinished download is kept: a pull or
// create that is repeated finds its finished blobs again. Ollama itself knows none of this; against
// it only the age of a blob protects.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "store/layout.h"

namespace om::store {

inline constexpr std::chrono::hours kUnreferencedAgeMin{1};  // At a start; as Ollama.
// While a node runs, clients may upload many large files before they name them.
inline constexpr std::chrono::hours kUnreferencedAgeRunning{24};
// How long unfinished downloads are kept, and what belongs to them.
inline constexpr std::chrono::hours kPartialAgeMax{7 * 24};

inline constexpr std::string_view kWorkspaceLockSuffix = ".lock";

// The lock of rule 1. Blocking: take it on a worker. io_failed: the folder takes no changes.
Result<std::unique_ptr<io::File>> lock_store(io::Filesystem& files, const Layout& layout);

// Makes a locked hold file, which survives a crash. The caller holds lock_store().
Result<std::unique_ptr<io::File>> make_hold_file(io::Filesystem& files, const io::Path& path,
                                                 const std::vector<Digest>& digests);

// True if a running process holds the lock of the file at `path`.
bool is_locked(io::Filesystem& files, const io::Path& path);

// What live hold files announce. The caller holds lock_store().
Result<std::set<Digest>> held_now(io::Filesystem& files, const Layout& layout);

struct Collected {
  size_t blobs = 0;
  uint64_t bytes = 0;
};

// Deletes those of `candidates` that nothing needs. The caller holds lock_store(). corrupt: a
// manifest, or a folder of them, cannot be read; nothing was deleted.
Result<Collected> collect(io::Filesystem& files, const Layout& layout,
                          const std::vector<Digest>& candidates);

// Removes what crashed processes left in partial/, and what has lain there for kPartialAgeMax. The
// caller holds lock_store().
Result<void> clean_partial(io::Filesystem& files, const Layout& layout, io::WallTime now);

// clean_partial(), and if there is an age removes also blobs of that age that nothing needs, and
// foreign names in blobs/. The caller holds lock_store(). corrupt: as collect().
Result<Collected> clean_up(io::Filesystem& files, const Layout& layout, io::WallTime now,
                           std::optional<io::Duration> unreferenced_age);

}  // namespace om::store
