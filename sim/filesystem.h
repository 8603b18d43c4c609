// Files in memory that can forget what was not synced, fill up, and fail.
#pragma once

#include <deque>
#include <functional>
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
  // The same by draws, as disks write what they were not told to: each name that was made, moved or
  // removed since its directory was synced is so or as before, and of bytes not synced each sector
  // is new or as before, zeros where there was none.
  void crash(SimRandom& random);
  void crash(uint64_t draw);  // 0: crash(), else by draws that begin with this one.
  // What is on the disk after its machine went down: by a loss of power as by crash(random),
  // without one with all that was written. Who had files open here cannot reach it.
  std::unique_ptr<SimFilesystem> survivor(SimRandom* random) const;
  // The call with this number (counted from now, 1 is the next) and all later ones fail, as if the
  // power went out in the middle of it. 0: never.
  void fail_from_call(uint64_t number) {
    calls_ = 0;
    fail_from_ = number;
  }
  uint64_t calls() const { return calls_; }
  void set_space(uint64_t bytes) { space_ = bytes; }
  // One bit of the file is another from now on, as if it had been written so. There must be a byte.
  void rot(const io::Path& path, uint64_t draw);
  bool is_rotten(const io::Path& path) const;

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
    io::WallTime modified{}, changed{};
    int locks = 0;  // -1: exclusive.
    bool rotten = false;

    void touch(io::WallTime now) { modified = changed = now; }
  };
  using Entries = std::map<io::Path, std::shared_ptr<Inode>>;
  // Names that change at once; no inode: the name goes.
  using Change = std::vector<std::pair<io::Path, std::shared_ptr<Inode>>>;
  static constexpr size_t kChangesMax = 1000;

  static void apply(const Change& change, Entries& to);
  void change(Change change);
  // Only durable names are left, with the bytes that are found of each file.
  void lose_power(const std::function<std::string(const Inode&)>& found_of);
  static std::string torn(const Inode& inode, SimRandom& random);
  Result<void> count_call(std::string_view what);
  uint64_t used() const;

  const io::Clock& clock_;
  Entries entries_, durable_;   // Names as seen now, and as they survive a crash.
  std::deque<Change> changes_;  // From the one to the other, but for the oldest: a disk writes them
                                // in time without being told.
  std::set<io::Path> directories_{"/", "/tmp"};
  uint64_t space_ = uint64_t{64} << 30;
  uint64_t calls_ = 0, fail_from_ = 0, generation_ = 0;
};

}  // namespace om::sim
