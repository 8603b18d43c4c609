// Files in memory that can forget what was not synced, fill up, and fail.
#pragma once

#include <map>
#include <set>

#include "io/clock.h"
#include "io/filesystem.h"
#include "sim/random.h"

namespace om::sim {

class SimFilesystem final : public io::Filesystem {
 public:
  explicit SimFilesystem(const io::Clock& clock) : clock_(clock) {}

  // The machine loses power: bytes not synced and names in directories not synced are gone. Open
  // files of before fail from then on.
  void crash();
  // What is on the disk after its machine went down: by a loss of power as by crash(), else with
  // all that was written. Who had files open here cannot reach it.
  std::unique_ptr<SimFilesystem> survivor(bool power_lost) const;
  // The call with this number (counted from now, 1 is the next) and all later ones fail, as if the
  // power went out in the middle of it. 0: never.
  void fail_from_call(uint64_t number) {
    calls_ = 0;
    fail_from_ = number;
  }
  uint64_t calls() const { return calls_; }
  void set_space(uint64_t bytes) { space_ = bytes; }

  Result<std::unique_ptr<io::File>> open(const io::Path& path, Open mode) override;
  Result<io::FileInfo> info(const io::Path& path) override;
  Result<std::vector<std::string>> list(const io::Path& directory) override;
  Result<void> make_directories(const io::Path& path) override;
  Result<void> rename(const io::Path& from, const io::Path& to) override;
  Result<void> link(const io::Path& from, const io::Path& to) override;
  Result<void> remove(const io::Path& path) override;
  Result<void> remove_all(const io::Path& path) override;
  Result<void> sync_directory(const io::Path& path) override;
  Result<void> set_mode(const io::Path& path, unsigned mode) override;
  Result<io::Space> space(const io::Path& path) override;
  std::string unique_suffix() const override { return "1"; }

 private:
  friend class SimFile;
  struct Inode {
    std::string data, synced;
    io::WallTime modified{};
    int locks = 0;  // -1: exclusive.
  };
  using Entries = std::map<io::Path, std::shared_ptr<Inode>>;

  Result<void> count_call(std::string_view what);
  uint64_t used() const;

  const io::Clock& clock_;
  Entries entries_, durable_;  // Names as seen now, and as they survive a crash.
  std::set<io::Path> directories_{"/", "/tmp"};
  uint64_t space_ = uint64_t{64} << 30;
  uint64_t calls_ = 0, fail_from_ = 0, generation_ = 0;
};

}  // namespace om::sim
