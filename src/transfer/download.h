// The download of one blob from its registry.
#pragma once

#include <memory>

#include "io/event.h"
#include "io/task_group.h"
#include "transfer/download_table.h"
#include "transfer/incoming_blob.h"
#include "transfer/registry.h"

namespace om::transfer {

inline constexpr size_t kStreamsMax = 6;         // Ranges of one blob in flight.
inline constexpr uint64_t kRangeBlocksMax = 64;  // Asked for with one request.
// After a kill only bytes that were not durable come again: at most kStreamsMax + 8 <= 16 MiB.
inline constexpr int kTriesMax = 6;  // Of one range without any new block.
inline constexpr std::chrono::seconds kNoProgressMax{30};
inline constexpr uint64_t kProgressBytesMin = 32 * 1024;  // Fewer in that time are no progress.

// Fetches ranges in parallel into an IncomingBlob and verifies the whole. The first response
// shows whether the server knows ranges; if not, one stream reads everything. Fails with
// unavailable (no data for kNoProgressMax, connection errors), corrupt (wrong size or digest),
// io_failed (disk), cancelled.
class Download final : public BlobDownload {
 public:
  Download(std::shared_ptr<Registry> registry, Digest digest, uint64_t size);
  void cancel() override { cancel_.cancel(); }
  bool cancelled() const override { return cancel_.cancelled(); }

 private:
  io::Task<Result<void>> receive() override { return fetch(); }
  uint64_t received() const override;
  struct Range {
    size_t first = 0, end = 0;  // Blocks.
    uint64_t seen = 0;          // Bytes of the first block that broken tries lost: no progress.
  };
  enum class Block : uint8_t { missing, claimed, present };

  io::Task<Result<void>> fetch();
  io::Task<Result<void>> open();
  io::Task<void> fetch_ranges();  // One stream, until nothing is left or something failed.
  io::Task<void> watch();         // Ends the download after kNoProgressMax without progress.
  io::Task<Result<void>> fetch_range(Range& range);
  io::Task<Result<void>> receive_range(BlobResponse source, Range& range);
  io::Task<Result<void>> take_block(size_t block, std::string data);
  void add_streams();
  std::optional<Range> claim();
  void release(const Range& range);
  void fail_with(Error error);
  Error silence() const;
  void note_bytes(uint64_t count, uint64_t fresh);

  std::shared_ptr<Registry> registry_;
  io::World& world_;
  std::shared_ptr<IncomingBlob> blob_;
  std::vector<Block> blocks_;
  bool in_order_ = false;  // The server knows no ranges.
  bool ranges_known_ = false;
  size_t streams_ = 0;
  uint64_t in_flight_ = 0;  // Received, not yet a whole block.
  uint64_t since_progress_ = 0;
  io::TimePoint last_progress_{};
  std::optional<Error> error_;
  io::CancelSource cancel_;
  io::CancelSource stop_watching_;
  io::TaskGroup tasks_;
};

}  // namespace om::transfer
