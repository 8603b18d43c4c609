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

// Null: unknown, or what is known is of another file.
std::shared_ptr<ChunkLists::Entry> ChunkLists::known_entry(const Digest& digest,
                                                           const io::FileInfo& file) {
  const auto known = std::ranges::find(entries_, digest, [](const auto& e) { return e->digest; });
  if (known == entries_.end()) return nullptr;
  const Entry& entry = **known;
  const bool is_of_use = entry.bad_since ? entry.modified == file.modified &&
                                               world_.clock.now() - *entry.bad_since < kBadRest
                                         : entry.list.size() == file.size;
  if (!is_of_use) {
    entries_.erase(known);
    return nullptr;
  }
  entries_.splice(entries_.begin(), entries_, known);
  return entries_.front();
}

io::Task<Result<std::shared_ptr<ChunkLists::Entry>>> ChunkLists::find(Digest digest) {
  auto look = [&files = world_.files, path = store_.blob_path(digest)] { return files.info(path); };
  CO_TRY(const io::FileInfo file, co_await world_.workers.run(std::move(look)));
  if (auto known = known_entry(digest, file)) co_return known;
  if (chunks_of(file.size) > kChunksMax) {
    co_return fail(Errc::not_found, "{}: too large to be passed on", digest.str());
  }
  auto kept = co_await load(digest, file.size);
  if (auto known = known_entry(digest, file)) co_return known;  // Another one asked meanwhile.
  auto entry = std::make_shared<Entry>(world_.clock, digest, file.size);
  entry->modified = file.modified;
  entries_.push_front(entry);
  if (entries_.size() > kEntriesMax) entries_.pop_back();
  if (kept) {
    entry->list = std::move(*kept);
  } else if (!entry->list.complete()) {
    tasks_.spawn(fill(entry));
  }
  co_return entry;
}

io::Task<std::optional<ChunkList>> ChunkLists::load(Digest digest, uint64_t size) {
  if (chunks_of(size) == 1) {
    ChunkList list(size);
    list.set(0, digest);
    co_return list;
  }
  auto read = [&files = world_.files, path = chunk_list_path(store_, digest),
               size]() -> std::optional<ChunkList> {
    const auto text = files.read_file(path, kListBytesMax);
    if (!text) return std::nullopt;
    auto list = ChunkList::parse(*text, size);
    if (!list || !list->complete()) return std::nullopt;
    return std::move(*list);
  };
  co_return co_await world_.workers.run(std::move(read));
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
