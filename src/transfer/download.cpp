#include "transfer/download.h"

#include "base/log.h"
#include "transfer/metrics.h"

namespace om::transfer {
namespace {

using store::PartialBlob;

constexpr std::chrono::milliseconds kOtherProcessPoll{500};
constexpr std::chrono::seconds kWatchInterval{1};

}  // namespace

Download::Download(std::shared_ptr<Registry> registry, Digest digest, uint64_t size)
    : BlobDownload(registry->context().world, digest, size),
      registry_(std::move(registry)),
      world_(registry_->context().world),
      last_progress_(world_.clock.now()),
      tasks_(world_.executor, world_.clock) {}

uint64_t Download::received() const {
  return blob_ && !blob_->is_over() ? blob_->bytes_present() + in_flight_ : 0;
}

// An earlier download may have ended by being done just when this one was made. Another process may
// be receiving the same blob: then its end is awaited, and the blob is either there or ours to go
// on with.
io::Task<Result<void>> Download::open() {
  auto& store = registry_->context().store;
  while (true) {
    const auto present = store.blob_size(digest());
    if (present && *present == size()) co_return Result<void>{};
    auto opened = co_await IncomingBlob::open(world_, store, digest(), size());
    if (opened) {
      blob_ = std::move(*opened);
      if (auto* incoming = registry_->context().incoming) incoming->add(blob_);
      co_return Result<void>{};
    }
    if (opened.error().code != Errc::overloaded) co_return fail(opened.error());
    CO_TRY_VOID(co_await world_.clock.sleep_for(kOtherProcessPoll, {io::kNever, cancel_.token()}));
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
    log_info("download goes on", field("blob", digest()), field("present", blob_->bytes_present()),
             field("size", size()));
  }
  last_progress_ = world_.clock.now();
  tasks_.spawn(watch());
  streams_ = 1;
  tasks_.spawn(fetch_ranges());
  co_await tasks_.wait();
  if (error_ || cancel_.cancelled()) {
    const auto closed = co_await blob_->close();  // What came is worth keeping.
    if (!closed) co_return closed;
    if (error_) co_return fail(*error_);
    co_return fail(Errc::cancelled, "download cancelled");
  }
  co_return co_await blob_->finish();
}

io::Task<void> Download::watch() {
  const io::Call call{io::kNever, stop_watching_.token()};
  while (co_await world_.clock.sleep_for(kWatchInterval, call)) {
    if (world_.clock.now() - last_progress_ < kNoProgressMax || blob_->is_syncing()) continue;
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

void Download::note_bytes(uint64_t count, uint64_t fresh) {
  in_flight_ += count;
  received_bytes.add(count);
  since_progress_ += fresh;
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
      log_debug("range failed", field("blob", digest()), field("try", tries),
                field("error", done.error()));
      (void)co_await world_.clock.sleep_for(backoff(tries), {io::kNever, cancel_.token()});
    }
    release(*range);
  }
  if (--streams_ == 0) stop_watching_.cancel();
}

io::Task<Result<void>> Download::fetch_range(Range& range) {
  const uint64_t first = range.first * PartialBlob::kBlockBytes;
  const uint64_t last =
      (range.end - 1) * PartialBlob::kBlockBytes + blob_->block_bytes(range.end - 1) - 1;
  const io::Call call{io::kNever, cancel_.token()};
  CO_TRY(auto source, co_await registry_->get_blob(digest(), first, last, size(), call));
  if (source.whole) {
    if (ranges_known_ && !in_order_) {
      co_return fail(Errc::unavailable, "the registry ignored a range");
    }
    // Everything comes from the start: take over every block, also those of a failed try.
    in_order_ = true;
    range = {0, blocks_.size(), 0};
    for (auto& block : blocks_) block = block == Block::missing ? Block::claimed : block;
  }
  if (!ranges_known_) add_streams();
  co_return co_await receive_range(std::move(source), range);
}

io::Task<Result<void>> Download::receive_range(BlobResponse source, Range& range) {
  std::string buffer;
  size_t block = range.first;
  bool more = true;
  Result<void> outcome;
  while (block < range.end && more && outcome) {
    const size_t before = buffer.size();
    const auto read = co_await source.response->read_some(buffer);
    note_bytes(buffer.size() - before,
               buffer.size() - std::min(buffer.size(), std::max(before, range.seen)));
    if (!read) {
      outcome = fail(read.error());
      break;
    }
    more = *read;
    while (outcome && block < range.end && buffer.size() >= blob_->block_bytes(block)) {
      const size_t length = blob_->block_bytes(block);
      std::string data = buffer.substr(0, length);
      buffer.erase(0, length);
      in_flight_ -= length;
      outcome = co_await take_block(block, std::move(data));
      if (!outcome) break;
      block++;
      range.first = block;
      range.seen = 0;
    }
  }
  in_flight_ -= buffer.size();
  range.seen = std::max<uint64_t>(range.seen, buffer.size());
  if (outcome && block < range.end) {
    outcome =
        fail(Errc::unavailable, "{} closed the connection {} bytes early", registry_->name().host,
             (range.end - block) * PartialBlob::kBlockBytes - buffer.size());
  }
  co_return outcome;
}

io::Task<Result<void>> Download::take_block(size_t block, std::string data) {
  if (blocks_[block] == Block::present) co_return Result<void>{};
  CO_TRY_VOID(co_await blob_->write_block(block, std::move(data), {io::kNever, cancel_.token()}));
  blocks_[block] = Block::present;
  last_progress_ = world_.clock.now();  // A slow disk is no silent registry.
  const size_t chunk = block * PartialBlob::kBlockBytes / kChunkBytes;
  // Only other nodes ask for chunks; alone, the digest of the whole says it all.
  if (registry_->context().incoming == nullptr || !blob_->chunk_is_filled(chunk)) {
    co_return Result<void>{};
  }
  co_return co_await blob_->verify_chunk(chunk, {});
}

}  // namespace om::transfer
