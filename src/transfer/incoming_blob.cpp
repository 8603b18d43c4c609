#include "transfer/incoming_blob.h"

#include "base/check.h"
#include "base/log.h"
#include "store/layout.h"
#include "transfer/metrics.h"

namespace om::transfer {
namespace {

using store::PartialBlob;

constexpr size_t kReadBytes = 1 << 20;
constexpr uint64_t kListBytesMax = 8 << 20;

Result<Digest> hash_part(io::File& file, uint64_t offset, uint64_t length) {
  Hasher hasher;
  std::string buffer;
  while (length > 0) {
    buffer.resize(std::min<uint64_t>(length, kReadBytes));
    TRY(const size_t count, file.read_at(offset, buffer));
    if (count == 0) return fail(Errc::io_failed, "the file is shorter than expected");
    hasher.update(std::string_view(buffer.data(), count));
    offset += count;
    length -= count;
  }
  return hasher.finish();
}

}  // namespace

io::Path chunk_list_path(const store::Store& store, const Digest& digest) {
  return store::Layout{store.root()}.chunk_list(digest);
}

io::Task<Result<std::shared_ptr<IncomingBlob>>> IncomingBlob::open(io::World& world,
                                                                   store::Store& store,
                                                                   Digest digest, uint64_t size) {
  if (chunks_of(size) > kChunksMax) {
    co_return fail(Errc::invalid_argument, "{}: {} bytes are more than a blob may have",
                   digest.str(), size);
  }
  CO_TRY(auto partial, co_await store.open_partial(digest, size));
  auto blob = std::make_shared<IncomingBlob>(world, chunk_list_path(store, digest), digest,
                                             std::move(partial));
  blob->load_list();
  co_return blob;
}

IncomingBlob::IncomingBlob(io::World& world, io::Path list_path, Digest digest,
                           std::unique_ptr<PartialBlob> blob)
    : world_(world),
      path_(blob->path()),
      list_path_(std::move(list_path)),
      digest_(digest),
      blob_(std::move(blob)),
      chunks_(blob_->size()),
      hashing_(chunks_.count(), false),
      synced_(world.clock),
      changed_(world.clock) {}

// A list on disk may tell of chunks that a crash took: only those that are here count.
void IncomingBlob::load_list() {
  const auto text = world_.files.read_file(list_path_, kListBytesMax);
  if (!text) return;
  const auto list = ChunkList::parse(*text, size());
  if (!list) return;
  for (const uint32_t chunk : list->order()) {
    if (chunk_is_filled(chunk)) chunks_.set(chunk, *list->digest(chunk));
  }
  listed_ = chunks_.known();
}

io::Task<Result<void>> IncomingBlob::save_list() {
  if (listed_ == chunks_.known() || saving_list_) co_return Result<void>{};
  saving_list_ = true;
  listed_ = chunks_.known();
  auto write = [&files = world_.files, path = list_path_, text = chunks_.to_text()] {
    return files.write_file(path, text);
  };
  const auto written = co_await world_.workers.run(std::move(write));
  saving_list_ = false;
  co_return written;
}

size_t IncomingBlob::block_count() const {
  return static_cast<size_t>((size() + PartialBlob::kBlockBytes - 1) / PartialBlob::kBlockBytes);
}

uint64_t IncomingBlob::block_bytes(size_t block) const {
  return std::min(PartialBlob::kBlockBytes, size() - block * PartialBlob::kBlockBytes);
}

bool IncomingBlob::chunk_is_filled(size_t chunk) const {
  const size_t end = std::min(block_count(), (chunk + 1) * kBlocksPerChunk);
  for (size_t block = chunk * kBlocksPerChunk; block < end; block++) {
    if (!has_block(block)) return false;
  }
  return true;
}

io::Task<Result<void>> IncomingBlob::write_block(size_t block, std::string data, io::Call call) {
  if (over_) co_return fail(Errc::cancelled, "the blob is complete or given up");
  if (blob_->has_block(block)) co_return Result<void>{};
  const uint64_t length = data.size();
  CO_TRY_VOID(co_await blob_->write_block(block, std::move(data)));
  unsynced_ += length;
  co_return co_await save(std::move(call));
}

// Keeps what a crash could cost below kUnsyncedMax, with at most one sync at a time.
io::Task<Result<void>> IncomingBlob::save(io::Call call) {
  while (syncing_) {
    if (unsynced_ < kUnsyncedMax) co_return Result<void>{};
    CO_TRY_VOID(co_await synced_.wait(call));
  }
  if (unsynced_ < kSyncBytes) co_return Result<void>{};
  co_return co_await sync();
}

io::Task<Result<void>> IncomingBlob::sync() {
  while (syncing_) CO_TRY_VOID(co_await synced_.wait());
  syncing_ = true;
  const uint64_t covered = unsynced_;
  const auto done = co_await blob_->sync();
  unsynced_ -= covered;
  syncing_ = false;
  synced_.notify_all();
  co_return done;
}

io::Task<Result<void>> IncomingBlob::verify_chunk(size_t chunk, std::optional<Digest> expected) {
  while (hashing_[chunk]) CO_TRY_VOID(co_await changed_.wait());
  if (chunk_is_verified(chunk)) co_return Result<void>{};
  if (!chunk_is_filled(chunk)) co_return fail(Errc::cancelled, "the chunk was found wrong");
  CO_TRY(const auto file, world_.files.open(path(), io::Filesystem::Open::read));
  hashing_[chunk] = true;
  auto hash = [&file, offset = chunk * kChunkBytes, length = chunk_length(size(), chunk)] {
    return hash_part(*file, offset, length);
  };
  const auto found = co_await world_.workers.run(std::move(hash));
  hashing_[chunk] = false;
  changed_.notify_all();
  if (over_) co_return fail(Errc::cancelled, "the blob is complete or given up");
  if (!found || (expected && *found != *expected)) {
    const size_t first = chunk * kBlocksPerChunk;
    CO_TRY_VOID(
        co_await blob_->forget_blocks(first, std::min(block_count(), first + kBlocksPerChunk)));
    // As PartialBlob::finish(): what cannot be read is lost, not the disk.
    if (!found) co_return fail(annotate(found.error(), fmt::format("chunk {} is lost", chunk)));
    bad_chunks.add();
    co_return fail(Errc::corrupt, "chunk {} of {} is not what its digest says", chunk,
                   digest_.str());
  }
  chunks_.set(chunk, *found);
  changed_.notify_all();
  if (chunks_.known() < listed_ + kListEvery) co_return Result<void>{};
  co_return co_await save_list();
}

io::Task<Result<void>> IncomingBlob::verify_filled() {
  for (size_t chunk = 0; chunk < chunk_count(); chunk++) {
    if (chunk_is_verified(chunk) || !chunk_is_filled(chunk)) continue;
    const auto verified = co_await verify_chunk(chunk, {});
    if (verified) continue;
    if (over_ || chunk_is_filled(chunk)) co_return fail(verified.error());
    log_warn("part of a download cannot be read and is fetched again", field("blob", digest_),
             field("error", verified.error()));
  }
  co_return Result<void>{};
}

io::Task<Result<void>> IncomingBlob::finish() {
  const auto finished = co_await blob_->finish();
  if (finished && chunks_.complete()) {
    // Spares the node from reading the blob again when it is asked for its chunks.
    if (const auto saved = co_await save_list(); !saved) {
      log_warn("chunk list not kept", field("blob", digest_), field("error", saved.error()));
    }
  }
  if (!finished && finished.error().code == Errc::corrupt) {
    bad_digests.add();
    (void)world_.files.remove(list_path_);  // Of bytes that are gone; mostly there is none.
  }
  end();
  co_return finished;
}

io::Task<Result<void>> IncomingBlob::close() {
  auto synced = co_await sync();
  if (synced) synced = co_await save_list();
  end();
  co_return synced;
}

void IncomingBlob::end() {
  over_ = true;
  blob_.reset();  // Unlocks the file: whoever comes next may open it.
  changed_.notify_all();
}

void IncomingTable::add(const std::shared_ptr<IncomingBlob>& blob) {
  std::erase_if(blobs_, [](const auto& entry) { return entry.second.expired(); });
  blobs_[blob->digest()] = blob;
}

std::shared_ptr<IncomingBlob> IncomingTable::find(const Digest& digest) const {
  const auto found = blobs_.find(digest);
  auto blob = found == blobs_.end() ? nullptr : found->second.lock();
  return blob && !blob->is_over() ? blob : nullptr;
}

}  // namespace om::transfer
