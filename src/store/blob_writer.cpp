#include "store/blob_writer.h"

#include "store/disk_space.h"

namespace om::store {

Result<std::unique_ptr<DiskBlobWriter>> DiskBlobWriter::make(io::World& world, Layout layout,
                                                             io::Path path) {
  TRY(auto file, world.files.open(path, io::Filesystem::Open::create_new));
  TRY_VOID(file->lock(true, true));
  return std::unique_ptr<DiskBlobWriter>(
      new DiskBlobWriter(world, std::move(layout), std::move(path), std::move(file)));
}

DiskBlobWriter::DiskBlobWriter(io::World& world, Layout layout, io::Path path,
                               std::unique_ptr<io::File> file)
    : world_(world), layout_(std::move(layout)), path_(std::move(path)), file_(std::move(file)) {}

DiskBlobWriter::~DiskBlobWriter() {
  if (!in_place_) (void)world_.files.remove(path_);  // Else the next start removes it.
}

io::Task<Result<void>> DiskBlobWriter::write(std::string data) {
  buffer_ += data;
  if (buffer_.size() >= kBufferBytes) co_return co_await flush();
  co_return Result<void>{};
}

io::Task<Result<void>> DiskBlobWriter::flush() {
  auto job = [this]() -> Result<void> {
    if (written_ >= look_at_) {
      TRY_VOID(require_reserve(world_.files, layout_.root, buffer_.size()));
      look_at_ = written_ + kLookAgainBytes;
    }
    return store_buffer();
  };
  co_return co_await world_.workers.run(std::move(job));
}

Result<void> DiskBlobWriter::store_buffer() {
  if (buffer_.empty()) return {};
  hasher_.update(buffer_);
  if (auto done = file_->write_at(written_, buffer_); !done) {
    return fail(explain_write_error(world_.files, layout_.root, done.error(), buffer_.size()));
  }
  written_ += buffer_.size();
  buffer_.clear();
  return {};
}

io::Task<Result<Digest>> DiskBlobWriter::finish(std::optional<Digest> expected) {
  auto job = [this, expected] { return close(expected); };
  co_return co_await world_.workers.run(std::move(job));
}

Result<Digest> DiskBlobWriter::close(std::optional<Digest> expected) {
  TRY_VOID(store_buffer());
  const Digest digest = hasher_.finish();
  if (expected && *expected != digest) {
    return fail(Errc::corrupt, "digest mismatch, expected \"{}\", got \"{}\"", expected->str(),
                digest.str());
  }
  if (auto done = file_->sync(); !done) {
    return fail(explain_write_error(world_.files, layout_.root, done.error(), written_));
  }
  // An existing blob is replaced: its bytes on the disk may have rotted, these are known good.
  TRY_VOID(world_.files.rename(path_, layout_.blob(digest)));
  in_place_ = true;
  TRY_VOID(world_.files.sync_directory(layout_.blobs()));
  return digest;
}

}  // namespace om::store
