#include "store/partial_blob.h"

#include "base/check.h"
#include "store/hash_file.h"
#include "store/partial_room.h"

namespace om::store {
namespace {

constexpr uint64_t kStateBytesMax = 128 + kPartialBytesMax / PartialBlob::kBlockBytes;

}  // namespace

uint64_t bytes_of_partial(io::Filesystem& files, const io::Path& path) {
  const auto state = files.read_file(path + std::string(kPartialStateSuffix), kStateBytesMax);
  if (!state) return 0;
  const size_t head = std::min(state->find('\n'), state->size());
  const auto blocks = std::count(state->begin() + static_cast<ptrdiff_t>(head), state->end(), '1');
  return static_cast<uint64_t>(blocks) * PartialBlob::kBlockBytes;
}

Result<std::unique_ptr<DiskPartialBlob>> DiskPartialBlob::open(io::World& world, Layout layout,
                                                               Digest digest, uint64_t size,
                                                               Room room) {
  // A manifest may lie about the size: no memory is taken for what no disk holds.
  if (size > kPartialBytesMax) {
    TRY_VOID(require_space(world.files, layout.root, size));
    return fail(Errc::invalid_argument, "{}: {} bytes are more than a blob may have", digest.str(),
                size);
  }
  std::unique_ptr<DiskPartialBlob> blob(
      new DiskPartialBlob(world, std::move(layout), digest, size));
  TRY_VOID(blob->open_files(std::move(room)));
  return blob;
}

DiskPartialBlob::DiskPartialBlob(io::World& world, Layout layout, Digest digest, uint64_t size)
    : world_(world),
      layout_(std::move(layout)),
      digest_(digest),
      size_(size),
      data_path_(io::join(layout_.partial(), digest.file_name())),
      state_path_(data_path_ + std::string(kPartialStateSuffix)),
      present_((size + kBlockBytes - 1) / kBlockBytes, false),
      turn_(world.clock) {}

io::Task<Result<void>> DiskPartialBlob::in_turn(std::function<Result<void>()> job) {
  while (busy_) CO_TRY_VOID(co_await turn_.wait());
  busy_ = true;
  auto done = co_await world_.workers.run(std::move(job));
  busy_ = false;
  turn_.notify_one();
  co_return done;
}

uint64_t DiskPartialBlob::block_bytes(size_t block) const {
  return std::min(kBlockBytes, size_ - block * kBlockBytes);
}

std::string DiskPartialBlob::state_head() const {
  return fmt::format("ollamamax-partial 1 {} {}\n", size_, kBlockBytes);
}

Result<void> DiskPartialBlob::open_files(Room room) {
  TRY(data_, world_.files.open(data_path_, io::Filesystem::Open::create));
  if (auto locked = data_->lock(true, false); !locked) {
    if (locked.error().code != Errc::overloaded) return locked;
    return fail(Errc::overloaded, "{} is being downloaded already", digest_.str());
  }
  TRY(const uint64_t length, data_->size());
  bool usable = false;
  if (length == size_) {
    TRY(usable, read_state());
  }
  TRY(room_, promise_room(world_.files, layout_, room.now, size_ - bytes_present_,
                          std::move(room.promised)));
  if (!usable) TRY_VOID(start_fresh());
  TRY(state_, world_.files.open(state_path_, io::Filesystem::Open::read_write));
  return {};
}

Result<bool> DiskPartialBlob::read_state() {
  const std::string head = state_head();
  const size_t length = head.size() + present_.size();
  const auto text = world_.files.read_file(state_path_, length);
  if (!text || text->size() != length || !text->starts_with(head)) return false;
  for (size_t i = 0; i < present_.size(); i++) {
    present_[i] = (*text)[head.size() + i] == '1';
    if (present_[i]) bytes_present_ += block_bytes(i);
  }
  return true;
}

Result<void> DiskPartialBlob::start_fresh() {
  TRY_VOID(data_->truncate(0));
  TRY_VOID(data_->sync());
  TRY_VOID(world_.files.write_file(state_path_, state_head() + std::string(present_.size(), '0')));
  TRY_VOID(data_->truncate(size_));
  TRY_VOID(data_->sync());
  return world_.files.sync_directory(layout_.partial());
}

io::Task<Result<void>> DiskPartialBlob::write_block(size_t block, std::string data) {
  CHECK(block < present_.size() && data.size() == block_bytes(block));
  const uint64_t remaining = size_ - bytes_present_;
  unlooked_ += data.size();
  const bool look = unlooked_ >= kLookAgainBytes;
  if (look) unlooked_ = 0;
  // `data` is a parameter: it lives in this coroutine's frame until the job is done.
  auto job = [this, block, &data, remaining, look]() -> Result<void> {
    // Before the disk is full: others write to it, and a state and its log must go on.
    if (look) TRY_VOID(require_reserve(world_.files, layout_.root, remaining));
    auto done = data_->write_at(block * kBlockBytes, data);
    if (done) return done;
    return fail(explain_write_error(world_.files, layout_.root, done.error(), remaining));
  };
  CO_TRY_VOID(co_await in_turn(std::move(job)));
  if (present_[block]) co_return Result<void>{};
  present_[block] = true;
  bytes_present_ += data.size();
  room_.lower(data.size());
  unsynced_.push_back(block);
  co_return Result<void>{};
}

io::Task<Result<void>> DiskPartialBlob::sync() {
  auto blocks = std::exchange(unsynced_, {});
  auto job = [this, blocks = std::move(blocks)] { return store_synced(blocks); };
  co_return co_await in_turn(std::move(job));
}

Result<void> DiskPartialBlob::store_synced(const std::vector<size_t>& blocks) {
  if (auto done = data_->sync(); !done) {
    return fail(explain_write_error(world_.files, layout_.root, done.error(), kBlockBytes));
  }
  const size_t head = state_head().size();
  for (const size_t block : blocks) TRY_VOID(state_->write_at(head + block, "1"));
  return state_->sync();
}

io::Task<Result<void>> DiskPartialBlob::forget_blocks(size_t first, size_t end) {
  CHECK(first <= end && end <= present_.size());
  for (size_t block = first; block < end; block++) {
    if (present_[block]) bytes_present_ -= block_bytes(block);
    present_[block] = false;
  }
  std::erase_if(unsynced_, [&](size_t block) { return block >= first && block < end; });
  auto job = [this, first, end] { return store_missing(first, end); };
  co_return co_await in_turn(std::move(job));
}

Result<void> DiskPartialBlob::store_missing(size_t first, size_t end) {
  TRY_VOID(state_->write_at(state_head().size() + first, std::string(end - first, '0')));
  return state_->sync();
}

io::Task<Result<void>> DiskPartialBlob::finish() {
  CHECK(bytes_present_ == size_, "a blob is finished before all its blocks are there");
  CO_TRY_VOID(co_await sync());
  CO_TRY(const auto file, world_.files.open(data_path_, io::Filesystem::Open::read));
  const auto digest = co_await hash_open_file(world_, *file);
  if (!digest) {
    // A sector that cannot be read is as lost as one that reads wrong, and would fail every further
    // try. That the file could be opened tells it from a disk that is gone.
    CO_TRY_VOID(discard());
    co_return fail(Errc::corrupt, "{}; file must be downloaded again", digest.error().what);
  }
  if (*digest != digest_) {
    CO_TRY_VOID(discard());
    co_return fail(Errc::corrupt, "digest mismatch, file must be downloaded again: want {}, got {}",
                   digest_.str(), digest->str());
  }
  auto job = [this] { return move_into_place(); };
  co_return co_await in_turn(std::move(job));
}

Result<void> DiskPartialBlob::move_into_place() {
  TRY_VOID(world_.files.rename(data_path_, layout_.blob(digest_)));
  TRY_VOID(world_.files.sync_directory(layout_.blobs()));
  return world_.files.remove(state_path_);
}

Result<void> DiskPartialBlob::discard() {
  TRY_VOID(world_.files.remove(data_path_));
  return world_.files.remove(state_path_);
}

}  // namespace om::store
