// Lets the GGUF reader read a file.
#pragma once

#include <memory>

#include "io/filesystem.h"
#include "model/gguf.h"

namespace om::store {

// An open file as a source; keeps the bytes read last, because the reader asks for few at a time.
// Used from one thread at a time.
class GgufFile final : public model::GgufSource {
 public:
  static Result<std::unique_ptr<GgufFile>> open(io::Filesystem& files, const io::Path& path);

  uint64_t size() const override { return size_; }
  Result<size_t> read_at(uint64_t offset, std::span<char> into) override;

 private:
  GgufFile(std::unique_ptr<io::File> file, uint64_t size) : file_(std::move(file)), size_(size) {}
  static constexpr size_t kBufferBytes = 256 * 1024;

  std::unique_ptr<io::File> file_;
  uint64_t size_;
  std::string buffer_;
  uint64_t buffer_offset_ = 0;
};

Result<model::GgufSummary> read_gguf_summary(io::Filesystem& files, const io::Path& path);

}  // namespace om::store
