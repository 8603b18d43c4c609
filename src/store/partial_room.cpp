#include "store/partial_room.h"

#include <algorithm>

#include "base/log.h"
#include "store/collector.h"
#include "store/partial_blob.h"

namespace om::store {
namespace {

struct BrokenOff {
  io::Path path;  // Of its data.
  io::WallTime modified{};
  uint64_t bytes = 0;  // On the disk: the file is as long as the whole, and has holes.
};

// Those that nobody receives now, the oldest first.
Result<std::vector<BrokenOff>> broken_off(io::Filesystem& files, const Layout& layout) {
  std::vector<BrokenOff> found;
  TRY(const auto held, held_now(files, layout));
  TRY(const auto names, files.list(layout.partial()));
  for (const std::string& name : names) {
    const auto digest = Digest::parse(name);
    const io::Path path = io::join(layout.partial(), name);
    if (!digest || held.contains(*digest) || is_locked(files, path)) continue;
    if (const auto info = files.info(path)) {
      found.push_back({path, info->modified, bytes_of_partial(files, path)});
    }
  }
  std::ranges::sort(found, {}, &BrokenOff::modified);
  return found;
}

uint64_t bytes_of(const std::vector<BrokenOff>& downloads) {
  uint64_t bytes = 0;
  for (const BrokenOff& download : downloads) bytes += download.bytes;
  return bytes;
}

Result<void> drop(io::Filesystem& files, const BrokenOff& download) {
  log_info("download that broke off makes room", field("file", download.path),
           field("bytes", download.bytes));
  for (const std::string_view suffix :
       {std::string_view(), kPartialStateSuffix, kChunkListSuffix}) {
    const auto removed = files.remove(download.path + std::string(suffix));
    if (!removed && removed.error().code != Errc::not_found) return removed;
  }
  return files.sync_directory(io::parent(download.path));
}

}  // namespace

Result<Promise> promise_room(io::Filesystem& files, const Layout& layout, io::WallTime now,
                             uint64_t needed, Promise::Total promised) {
  auto fits = [&] { return require_space(files, layout.root, needed, *promised); };
  auto fitting = fits();
  if (!fitting) {
    TRY(const auto all, broken_off(files, layout));
    std::vector<BrokenOff> given_up = all;
    std::erase_if(given_up, [now](const auto& each) { return now - each.modified < kGivenUpAge; });
    const uint64_t gained = bytes_of(given_up);
    const bool helps =
        require_space(files, layout.root, needed - std::min(needed, gained), *promised).has_value();
    for (size_t i = 0; helps && !fitting && i < given_up.size(); i++) {
      TRY_VOID(drop(files, given_up[i]));
      fitting = fits();
    }
    if (!fitting && bytes_of(all) > 0) {
      return fail(Errc::io_failed,
                  "{}; {} are kept of downloads that broke off, until they were "
                  "left alone for an hour and others need the room",
                  fitting.error().what, human_bytes(bytes_of(all)));
    }
  }
  if (!fitting) return fail(fitting.error());
  return Promise(std::move(promised), needed);
}

}  // namespace om::store
