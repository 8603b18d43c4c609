// One blob on its way in, shared by everybody who wants it.
#pragma once

#include <map>
#include <memory>

#include "io/event.h"
#include "io/task_group.h"
#include "transfer/registry.h"

namespace om::transfer {

inline constexpr size_t kStreamsMax = 6;            // Ranges of one blob in flight.
inline constexpr uint64_t kRangeBlocksMax = 64;     // Asked for with one request.
inline constexpr uint64_t kSyncBytes = 4ull << 20;  // Received, then made durable.
inline constexpr uint64_t kUnsyncedMax = 8ull << 20;
// A kill costs what was not durable: with these at most kStreamsMax + 8 <= 16 MiB again.
inline constexpr int kTriesMax = 6;  // Of one range without any new block.
inline constexpr std::chrono::seconds kNoProgressMax{30};
inline constexpr uint64_t kProgressBytesMin = 32 * 1024;  // Less in that time is none.

// Fetches ranges in parallel into a store::PartialBlob and verifies the whole. The first response
// shows whether the server knows ranges; if not, one stream reads everything. Fails with
// unavailable (no data for kNoProgressMax, connection errors), corrupt (wrong size or digest),
// io_failed (disk), cancelled.
class Download {
 public:
  Download(std::shared_ptr<Registry> registry, Digest digest, uint64_t size);

  io::Task<void> run();  // Once; sets done().
  void cancel() { cancel_.cancel(); }

  bool done() const { return result_.has_value(); }
  bool cancelled() const { return cancel_.cancelled(); }
  const Result<void>& result() const { return *result_; }
  uint64_t completed() const;
  uint64_t size() const { return size_; }
  io::Event& finished() { return finished_; }

  size_t waiters = 0;  // Of DownloadTable.

 private:
  struct Range {
    size_t first = 0, end = 0;  // Blocks.
  };
  enum class Block : uint8_t { missing, claimed, present };

  io::Task<Result<void>> fetch();
  io::Task<Result<void>> open();
  io::Task<void> fetch_ranges();  // One stream, until nothing is left or something failed.
  io::Task<void> watch();         // Ends the download when nothing comes any more.
  io::Task<Result<void>> fetch_range(Range& range);
  io::Task<Result<void>> receive(BlobResponse source, Range& range);
  io::Task<Result<void>> take_block(size_t block, std::string data);
  io::Task<Result<void>> save();
  void add_streams();
  std::optional<Range> claim();
  void release(const Range& range);
  void fail_with(Error error);
  Error silence() const;
  void note_bytes(uint64_t count);
  uint64_t block_bytes(size_t block) const;

  std::shared_ptr<Registry> registry_;
  io::World& world_;
  Digest digest_;
  uint64_t size_;
  std::unique_ptr<store::PartialBlob> blob_;
  std::vector<Block> blocks_;
  bool in_order_ = false;  // The server knows no ranges.
  bool ranges_known_ = false;
  size_t streams_ = 0;
  uint64_t in_flight_ = 0;  // Received, not yet a whole block.
  uint64_t unsynced_ = 0;
  bool syncing_ = false;
  uint64_t since_progress_ = 0;
  io::TimePoint last_progress_{};
  std::optional<Error> error_;
  std::optional<Result<void>> result_;
  io::CancelSource cancel_;
  io::CancelSource stop_watching_;
  io::Event synced_, finished_;
  io::TaskGroup tasks_;
};

// The downloads under way, by digest.
class DownloadTable {
 public:
  explicit DownloadTable(io::World& world) : world_(world), tasks_(world.executor, world.clock) {}

  // Waits until the blob is in the store, calling `sink` now and then. The download is cancelled
  // when the last one who waits for it leaves.
  io::Task<Result<void>> fetch(std::shared_ptr<Registry> registry, Digest digest, uint64_t size,
                               const ProgressSink& sink, io::Call call);
  io::Task<void> stop();

 private:
  class Ticket;
  io::Task<std::shared_ptr<Download>> join(std::shared_ptr<Registry> registry, Digest digest,
                                           uint64_t size);
  io::Task<void> run(std::shared_ptr<Download> download, Digest digest);

  io::World& world_;
  std::map<Digest, std::shared_ptr<Download>> downloads_;
  io::TaskGroup tasks_;
};

}  // namespace om::transfer
