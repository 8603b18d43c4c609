// A blob that is received in blocks and survives a crash, see PartialBlob in store.h.
//
// Two files in partial/: sha256-<hex> has the blob's full length from the start (sparse), and
// sha256-<hex>.state tells which blocks are there: a line "ollamamax-partial 1 <size> <block>" and
// then one byte a block, '1' when present. Order of durability: (1) the blank state is synced
// before the data file gets its length, so a data file of full length has a true state beside it;
// (2) a block is synced before its '1' is written; (3) the state goes after the rename.
// A state that says too little costs a block fetched twice, one that says too much cannot be.
#pragma once

#include "io/event.h"
#include "io/world.h"
#include "store/disk_space.h"
#include "store/layout.h"
#include "store/store.h"

namespace om::store {

inline constexpr uint64_t kPartialBytesMax = uint64_t{16} << 40;
inline constexpr std::string_view kPartialStateSuffix = ".state";

// How many bytes have come of the download whose data is at `path`, as its state tells.
uint64_t bytes_of_partial(io::Filesystem& files, const io::Path& path);

class DiskPartialBlob final : public PartialBlob {
 public:
  // What opening one needs to know of the others.
  struct Room {
    io::WallTime now{};
    Promise::Total promised;
  };
  // Runs on a worker under lock_store(), see Store::open_partial for the errors.
  static Result<std::unique_ptr<DiskPartialBlob>> open(io::World& world, Layout layout,
                                                       Digest digest, uint64_t size, Room room);

  uint64_t size() const override { return size_; }
  size_t block_count() const override { return present_.size(); }
  bool has_block(size_t block) const override { return present_[block]; }
  uint64_t bytes_present() const override { return bytes_present_; }
  const io::Path& path() const override { return data_path_; }
  io::Task<Result<void>> write_block(size_t block, std::string data) override;
  io::Task<Result<void>> sync() override;
  io::Task<Result<void>> forget_blocks(size_t first, size_t end) override;
  io::Task<Result<void>> finish() override;
  Result<void> discard() override;

 private:
  DiskPartialBlob(io::World& world, Layout layout, Digest digest, uint64_t size);
  Result<void> open_files(Room room);
  Result<bool> read_state();  // False: there is none that fits.
  Result<void> start_fresh();
  Result<void> store_synced(const std::vector<size_t>& blocks);
  Result<void> store_missing(size_t first, size_t end);
  Result<void> move_into_place();
  // Disk work of one blob goes one job at a time: a File serves one thread.
  io::Task<Result<void>> in_turn(std::function<Result<void>()> job);
  uint64_t block_bytes(size_t block) const;
  std::string state_head() const;

  io::World& world_;
  Layout layout_;
  Digest digest_;
  uint64_t size_;
  io::Path data_path_, state_path_;
  std::unique_ptr<io::File> data_, state_;
  std::vector<bool> present_;  // Written, perhaps not yet synced.
  std::vector<size_t> unsynced_;
  uint64_t bytes_present_ = 0;
  uint64_t unlooked_ = 0;  // Written since it was looked how much room is left.
  Promise room_;
  bool busy_ = false;
  io::Event turn_;
};

}  // namespace om::store
