// Receives a blob of unknown digest and length into partial/write-..., see store.h.
#pragma once

#include "io/world.h"
#include "store/layout.h"
#include "store/store.h"

namespace om::store {

class DiskBlobWriter final : public BlobWriter {
 public:
  // Must run under lock_store(): the file must not be seen unlocked by a clean-up.
  static Result<std::unique_ptr<DiskBlobWriter>> make(io::World& world, Layout layout,
                                                      io::Path path);
  ~DiskBlobWriter() override;

  io::Task<Result<void>> write(std::string data) override;
  io::Task<Result<Digest>> finish(std::optional<Digest> expected) override;

 private:
  DiskBlobWriter(io::World& world, Layout layout, io::Path path, std::unique_ptr<io::File> file);
  io::Task<Result<void>> flush();
  Result<void> store_buffer();                           // On a worker.
  Result<Digest> close(std::optional<Digest> expected);  // On a worker.

  static constexpr size_t kBufferBytes = 1 << 20;

  io::World& world_;
  Layout layout_;
  io::Path path_;
  std::unique_ptr<io::File> file_;
  Hasher hasher_;
  std::string buffer_;
  uint64_t written_ = 0;
  uint64_t look_at_ = 0;  // When so much is written it is looked how much room is left.
  bool in_place_ = false;
};

}  // namespace om::store
