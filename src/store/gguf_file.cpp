#include "store/gguf_file.h"

namespace om::store {

Result<std::unique_ptr<GgufFile>> GgufFile::open(io::Filesystem& files, const io::Path& path) {
  TRY(auto file, files.open(path, io::Filesystem::Open::read));
  TRY(const uint64_t size, file->size());
  return std::unique_ptr<GgufFile>(new GgufFile(std::move(file), size));
}

Result<size_t> GgufFile::read_at(uint64_t offset, std::span<char> into) {
  if (into.size() >= kBufferBytes) return file_->read_at(offset, into);
  const bool inside =
      offset >= buffer_offset_ && offset + into.size() <= buffer_offset_ + buffer_.size();
  if (!inside) {
    buffer_.resize(kBufferBytes);
    size_t filled = 0;
    while (filled < buffer_.size()) {
      TRY(const size_t count, file_->read_at(offset + filled, std::span(buffer_).subspan(filled)));
      if (count == 0) break;
      filled += count;
    }
    buffer_.resize(filled);
    buffer_offset_ = offset;
  }
  const size_t start = static_cast<size_t>(offset - buffer_offset_);
  if (start >= buffer_.size()) return size_t{0};
  const size_t count = std::min(into.size(), buffer_.size() - start);
  std::memcpy(into.data(), buffer_.data() + start, count);
  return count;
}

Result<model::GgufSummary> read_gguf_summary(io::Filesystem& files, const io::Path& path) {
  TRY(const auto file, GgufFile::open(files, path));
  return model::read_gguf_summary(*file);
}

}  // namespace om::store
