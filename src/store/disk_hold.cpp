#include "store/disk_hold.h"

#include "store/collector.h"

namespace om::store {

DiskHold::~DiskHold() {
  // Removed while still locked; a file that stays is unlocked and thus stale.
  for (const io::Path& path : paths_) (void)world_.files.remove(path);
}

io::Task<Result<void>> DiskHold::add(std::vector<Digest> digests) {
  io::Path path;
  auto job = [this, &path, &digests]() -> Result<std::unique_ptr<io::File>> {
    TRY(const auto lock, lock_store(world_.files, layout_));
    // Simulated processes share one suffix, and files that a crash left stay for a week.
    do {
      path = fmt::format("{}-{}", path_, ++count_);
    } while (world_.files.exists(path));
    return make_hold_file(world_.files, path, digests);
  };
  CO_TRY(auto file, co_await world_.workers.run(std::move(job)));
  paths_.push_back(path);
  files_.push_back(std::move(file));
  co_return Result<void>{};
}

}  // namespace om::store
