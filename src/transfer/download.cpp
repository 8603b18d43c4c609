#include "transfer/download.h"

#include "base/log.h"
#include "transfer/metrics.h"

namespace om::transfer {
namespace {

using store::PartialBlob;

constexpr std::chrono::milliseconds kOtherProcessPoll{500};
constexpr std::chrono::seconds kBackoffMax{8};
constexpr std::chrono::seconds kWatchInterval{1};

}  // namespace

Download::Download(std::shared_ptr<Registry> registry, Digest digest, uint64_t size)
    : registry_(std::move(registry)),
      world_(registry_->context().world),
      digest_(digest),
      size_(size),
      last_progress_(world_.clock.now()),
      synced_(world_.clock),
      finished_(world_.clock),
      tasks_(world_.executor, world_.clock) {}

uint64_t Download::completed() const {
  if (result_ && *result_) return size_;
  return blob_ ? std::min(size_, blob_->bytes_present() + in_flight_) : 0;
}

uint64_t Download::block_bytes(size_t block) const {
  return std::min(PartialBlob::kBlockBytes, size_ - block * PartialBlob::kBlockBytes);
}

io::Task<void> Download::run() {
  auto result = co_await fetch();
  blob_.reset();  // Unlocks it before anybody is told.
  result_.emplace(std::move(result));
  finished_.notify_all();
}

// Another process may be receiving the same blob: then its end is awaited, and the blob is either
// there or ours to go on with.
io::Task<Result<void>> Download::open() {
  auto& store = registry_->context().store;
  while (true) {
    auto opened = co_await store.open_partial(digest_, size_);
    if (opened) {
      blob_ = std::move(*opened);
      co_return Result<void>{};
    }
    if (opened.error().code != Errc::overloaded) co_return fail(opened.error());
    CO_TRY_VOID(co_await world_.clock.sleep_for(kOtherProcessPoll, {io::kNever, cancel_.token()}));
    const auto present = store.blob_size(digest_);
    if (present && *present == size_) co_return Result<void>{};
  }
}

io::Task<Result<void>> Download::fetch() {
  CO_TRY_VOID(co_await open());
  if (!blob_) co_return Result<void>{};
  blocks_.resize(blob_->block_count(), Block::missing);
  for (size_t i = 0; i < blocks_.size(); i++) {
    if (blob_->has_block(i)) blocks_[i] = Block::present;
  }
  if (blob_->bytes_present() > 0) {
    log_info("download goes on", field("blob", digest_), field("present", blob_->bytes_present()),
             field("size", size_));
  }
  last_progress_ = world_.clock.now();
  tasks_.spawn(watch());
  streams_ = 1;
  tasks_.spawn(fetch_ranges());
  co_await tasks_.wait();
  if (error_ || cancel_.cancelled()) {
    CO_TRY_VOID(co_await blob_->sync());  // What came is worth keeping.
    if (error_) co_return fail(*error_);
    co_return fail(Errc::cancelled, "download cancelled");
  }
  const auto finished = co_await blob_->finish();
  if (!finished && finished.error().code == Errc::corrupt) bad_digests.add();
  co_return finished;
}

io::Task<void> Download::watch() {
  const io::Call call{io::kNever, stop_watching_.token()};
  while (co_await world_.clock.sleep_for(kWatchInterval, call)) {
    if (world_.clock.now() - last_progress_ < kNoProgressMax || syncing_) continue;
    fail_with(silence());
    co_return;
  }
}

Error Download::silence() const {
  return {Errc::unavailable,
          fmt::format("no data from {} any more; pull again to go on where it stopped",
                      registry_->name().host)};
}

void Download::fail_with(Error error) {
  if (!error_) error_ = std::move(error);
  cancel_.cancel();
}

void Download::note_bytes(uint64_t count) {
  in_flight_ += count;
  received_bytes.add(count);
  since_progress_ += count;
  if (since_progress_ < kProgressBytesMin) return;
  since_progress_ = 0;
  last_progress_ = world_.clock.now();
}

std::optional<Download::Range> Download::claim() {
  Range range;
  while (range.first < blocks_.size() && blocks_[range.first] != Block::missing) range.first++;
  if (range.first == blocks_.size()) return {};
  range.end = range.first;
  while (range.end < blocks_.size() && range.end - range.first < kRangeBlocksMax &&
         blocks_[range.end] == Block::missing) {
    blocks_[range.end++] = Block::claimed;
  }
  return range;
}

void Download::release(const Range& range) {
  for (size_t i = range.first; i < range.end; i++) {
    if (blocks_[i] == Block::claimed) blocks_[i] = Block::missing;
  }
}

void Download::add_streams() {
  ranges_known_ = true;
  const auto missing =
      static_cast<size_t>(std::count(blocks_.begin(), blocks_.end(), Block::missing));
  const size_t useful = (missing + kRangeBlocksMax - 1) / kRangeBlocksMax;
  while (!in_order_ && streams_ < std::min(kStreamsMax, 1 + useful)) {
    streams_++;
    tasks_.spawn(fetch_ranges());
  }
}

io::Task<void> Download::fetch_ranges() {
  while (!error_ && !cancel_.cancelled()) {
    auto range = claim();
    if (!range) break;
    int tries = 0;
    while (range->first < range->end) {
      const uint64_t before = blob_->bytes_present();
      const auto done = co_await fetch_range(*range);
      if (done || error_ || cancel_.cancelled()) break;
      tries = blob_->bytes_present() > before ? 1 : tries + 1;
      // The only deadline of a range is that of its next byte.
      const bool silent = done.error().code == Errc::deadline_exceeded;
      if ((!retryable(done.error().code) && !silent) || tries >= kTriesMax) {
        fail_with(silent ? silence() : done.error());
        break;
      }
      log_debug("range failed", field("blob", digest_), field("try", tries),
                field("error", done.error()));
      const auto pause =
          std::min<io::Duration>(std::chrono::seconds(1 << (tries - 1)), kBackoffMax);
      (void)co_await world_.clock.sleep_for(pause, {io::kNever, cancel_.token()});
    }
    release(*range);
  }
  if (--streams_ == 0) stop_watching_.cancel();
}

io::Task<Result<void>> Download::fetch_range(Range& range) {
  const uint64_t first = range.first * PartialBlob::kBlockBytes;
  const uint64_t last = (range.end - 1) * PartialBlob::kBlockBytes + block_bytes(range.end - 1) - 1;
  const io::Call call{io::kNever, cancel_.token()};
  CO_TRY(auto source, co_await registry_->get_blob(digest_, first, last, size_, call));
  if (source.whole) {
    if (ranges_known_ && !in_order_) {
      co_return fail(Errc::unavailable, "the registry ignored a range");
    }
    // Everything comes from the start: take over every block, also those of a failed try.
    in_order_ = true;
    range = {0, blocks_.size()};
    for (auto& block : blocks_) block = block == Block::missing ? Block::claimed : block;
  }
  if (!ranges_known_) add_streams();
  co_return co_await receive(std::move(source), range);
}

io::Task<Result<void>> Download::receive(BlobResponse source, Range& range) {
  std::string buffer;
  size_t block = range.first;
  bool more = true;
  Result<void> outcome;
  while (block < range.end && more && outcome) {
    const size_t before = buffer.size();
    const auto read = co_await source.response->read_some(buffer);
    note_bytes(buffer.size() - before);
    if (!read) {
      outcome = fail(read.error());
      break;
    }
    more = *read;
    while (outcome && block < range.end && buffer.size() >= block_bytes(block)) {
      const size_t length = block_bytes(block);
      std::string data = buffer.substr(0, length);
      buffer.erase(0, length);
      in_flight_ -= length;
      outcome = co_await take_block(block, std::move(data));
      if (!outcome) break;
      block++;
      range.first = block;
    }
  }
  in_flight_ -= buffer.size();
  if (outcome && block < range.end) {
    outcome =
        fail(Errc::unavailable, "{} closed the connection {} bytes early", registry_->name().host,
             (range.end - block) * PartialBlob::kBlockBytes - buffer.size());
  }
  co_return outcome;
}

io::Task<Result<void>> Download::take_block(size_t block, std::string data) {
  if (blocks_[block] == Block::present) co_return Result<void>{};
  const uint64_t length = data.size();
  CO_TRY_VOID(co_await blob_->write_block(block, std::move(data)));
  blocks_[block] = Block::present;
  unsynced_ += length;
  co_return co_await save();
}

// Keeps what a crash could cost below kUnsyncedMax, with at most one sync at a time.
io::Task<Result<void>> Download::save() {
  while (syncing_) {
    if (unsynced_ < kUnsyncedMax) co_return Result<void>{};
    CO_TRY_VOID(co_await synced_.wait({io::kNever, cancel_.token()}));
  }
  if (unsynced_ < kSyncBytes) co_return Result<void>{};
  syncing_ = true;
  const uint64_t covered = unsynced_;
  const auto done = co_await blob_->sync();
  unsynced_ -= covered;
  syncing_ = false;
  last_progress_ = world_.clock.now();  // A slow disk is no silent registry.
  synced_.notify_all();
  co_return done;
}

// Counts one waiter; the last one to leave an unfinished download cancels it.
class DownloadTable::Ticket {
 public:
  explicit Ticket(std::shared_ptr<Download> download) : download_(std::move(download)) {
    download_->waiters++;
  }
  ~Ticket() {
    if (--download_->waiters == 0 && !download_->done()) download_->cancel();
  }
  Ticket(const Ticket&) = delete;
  Ticket& operator=(const Ticket&) = delete;

 private:
  std::shared_ptr<Download> download_;
};

io::Task<void> DownloadTable::run(std::shared_ptr<Download> download, Digest digest) {
  co_await download->run();
  const auto found = downloads_.find(digest);
  if (found != downloads_.end() && found->second == download) downloads_.erase(found);
}

io::Task<std::shared_ptr<Download>> DownloadTable::join(std::shared_ptr<Registry> registry,
                                                        Digest digest, uint64_t size) {
  while (true) {
    const auto found = downloads_.find(digest);
    if (found == downloads_.end()) break;
    const auto download = found->second;
    if (!download->cancelled() && !download->done()) co_return download;
    // It is on its way out and still has the file: a moment.
    if (!download->done()) (void)co_await download->finished().wait();
    const auto again = downloads_.find(digest);
    if (again != downloads_.end() && again->second == download) downloads_.erase(again);
  }
  auto download = std::make_shared<Download>(std::move(registry), digest, size);
  downloads_.emplace(digest, download);
  tasks_.spawn(run(download, digest));
  co_return download;
}

io::Task<Result<void>> DownloadTable::fetch(std::shared_ptr<Registry> registry, Digest digest,
                                            uint64_t size, const ProgressSink& sink,
                                            io::Call call) {
  constexpr std::chrono::milliseconds kInterval{60};
  const auto download = co_await join(std::move(registry), digest, size);
  const Ticket ticket(download);
  while (true) {
    Progress progress;
    progress.status = "pulling " + digest.hex().substr(0, 12);
    progress.digest = digest;
    progress.total = size;
    progress.completed = download->completed();
    CO_TRY_VOID(co_await sink(std::move(progress)));
    if (download->done()) co_return download->result();
    const io::Call tick{std::min(call.deadline, world_.clock.now() + kInterval), call.cancel};
    const auto waited = co_await download->finished().wait(tick);
    if (!waited && waited.error().code == Errc::cancelled) co_return fail(waited.error());
    if (world_.clock.now() >= call.deadline)
      co_return fail(Errc::deadline_exceeded, "pull timed out");
  }
}

io::Task<void> DownloadTable::stop() {
  for (const auto& [digest, download] : downloads_) download->cancel();
  co_await tasks_.stop();
}

}  // namespace om::transfer
