#include "transfer/chunk_lists.h"

#include <algorithm>

#include "base/log.h"
#include "transfer/incoming_blob.h"

namespace om::transfer {
namespace {

constexpr size_t kReadBytes = 1 << 20;
constexpr uint64_t kListBytesMax = 8 << 20;
constexpr std::chrono::minutes kBadRest{10};

// One chunk, hashed by itself and into the whole.
Result<Digest> hash_chunk(io::File& file, uint64_t offset, uint64_t length, Hasher& whole) {
  Hasher hasher;
  std::string buffer;
  while (length > 0) {
    buffer.resize(std::min<uint64_t>(length, kReadBytes));
    TRY(const size_t count, file.read_at(offset, buffer));
    if (count == 0) return fail(Errc::corrupt, "the blob is shorter than it was");
    const std::string_view data(buffer.data(), count);
    hasher.update(data);
    whole.update(data);
    offset += count;
    length -= count;
  }
  return hasher.finish();
}

}  // namespace

ChunkLists::ChunkLists(io::World& world, store::Store& store, OnDoubt on_doubt)
    : world_(world),
      store_(store),
      on_doubt_(std::move(on_doubt)),
      turn_(world.clock),
      tasks_(world.executor, world.clock) {}

io::Task<void> ChunkLists::stop() { co_await tasks_.stop(); }

void ChunkLists::forget(const Digest& digest) {
  std::erase_if(entries_, [&](const auto& entry) { return entry->digest == digest; });
  // Mostly there is none; one that stays is checked by whoever receives the chunks.
  (void)world_.files.remove(chunk_list_path(store_, digest));
}

void ChunkLists::doubt(const Digest& digest) {
  log_warn("blob is doubted by another node", field("blob", digest));
  on_doubt_(digest);
}

Result<std::shared_ptr<ChunkLists::Entry>> ChunkLists::find(const Digest& digest) {
  TRY(const auto file, world_.files.info(store_.blob_path(digest)));
  const uint64_t size = file.size;
  const auto known = std::ranges::find(entries_, digest, [](const auto& e) { return e->digest; });
  const auto is_of_use = [this, &file](const Entry& entry) {
    if (!entry.bad_since) return entry.list.size() == file.size;
    return entry.modified == file.modified && world_.clock.now() - *entry.bad_since < kBadRest;
  };
  if (known != entries_.end() && is_of_use(**known)) {
    entries_.splice(entries_.begin(), entries_, known);
    return entries_.front();
  }
  if (known != entries_.end()) entries_.erase(known);
  if (chunks_of(size) > kChunksMax) {
    return fail(Errc::not_found, "{}: too large to be passed on", digest.str());
  }
  auto entry = std::make_shared<Entry>(world_.clock, digest, size);
  entry->modified = file.modified;
  entries_.push_front(entry);
  if (entries_.size() > kEntriesMax) entries_.pop_back();
  if (entry->list.count() == 1) {
    entry->list.set(0, digest);
  } else if (!entry->list.complete() && !load(*entry)) {
    tasks_.spawn(fill(entry));
  }
  return entry;
}

bool ChunkLists::load(Entry& entry) {
  const auto text = world_.files.read_file(chunk_list_path(store_, entry.digest), kListBytesMax);
  if (!text) return false;
  auto list = ChunkList::parse(*text, entry.list.size());
  if (!list || !list->complete()) return false;
  entry.list = std::move(*list);
  return true;
}

io::Task<void> ChunkLists::fill(std::shared_ptr<Entry> entry) {
  while (reading_) {
    if (!co_await turn_.wait({io::kNever, tasks_.token()})) co_return;
  }
  reading_ = true;
  const auto done = co_await read_blob(*entry);
  reading_ = false;
  turn_.notify_one();
  if (!done && done.error().code != Errc::cancelled) {
    entry->bad_since = world_.clock.now();
    log_warn("blob cannot be offered", field("blob", entry->digest), field("error", done.error()));
    if (done.error().code == Errc::corrupt) on_doubt_(entry->digest);
  }
  entry->changed.notify_all();
}

io::Task<Result<void>> ChunkLists::read_blob(Entry& entry) {
  CO_TRY(const auto file,
         world_.files.open(store_.blob_path(entry.digest), io::Filesystem::Open::read));
  Hasher whole;
  const uint64_t size = entry.list.size();
  for (size_t chunk = 0; chunk < entry.list.count(); chunk++) {
    if (tasks_.token().cancelled()) co_return fail(Errc::cancelled, "stopping");
    auto hash = [&file, &whole, offset = chunk * kChunkBytes, length = chunk_length(size, chunk)] {
      return hash_chunk(*file, offset, length, whole);
    };
    CO_TRY(const Digest digest, co_await world_.workers.run(std::move(hash)));
    entry.list.set(chunk, digest);
    entry.changed.notify_all();
  }
  if (whole.finish() != entry.digest) co_return fail(Errc::corrupt, "its bytes have changed");
  auto write = [&files = world_.files, path = chunk_list_path(store_, entry.digest),
                text = entry.list.to_text()] { return files.write_file(path, text); };
  if (const auto written = co_await world_.workers.run(std::move(write)); !written) {
    log_warn("chunk list not kept", field("blob", entry.digest), field("error", written.error()));
  }
  co_return Result<void>{};
}

}  // namespace om::transfer
