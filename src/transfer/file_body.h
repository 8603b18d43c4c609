// Part of a file as the streamed body of a request.
#pragma once

#include <memory>
#include <string>

#include "io/world.h"

namespace om::transfer {

// How much of a blob has been sent. The sender writes it, the caller of the upload reads it.
class UploadProgress {
 public:
  void sent(uint64_t count);
  void restart_at(uint64_t completed) { completed_ = completed; }
  uint64_t completed() const { return completed_; }

 private:
  uint64_t completed_ = 0;
};

// Bytes offset..offset+length of a file, read on the workers, with their MD5 (registries that hand
// uploads to an object store compare it). Lives until the request is answered.
class FileBody {
 public:
  FileBody(io::World& world, io::File& file, uint64_t offset, uint64_t length,
           UploadProgress& progress);
  ~FileBody();

  bool is_at_end() const { return offset_ == end_; }
  io::Task<Result<std::string>> next();  // Empty at the end. corrupt: the file is shorter.
  std::string md5();                     // 16 raw bytes; after the end.

 private:
  static constexpr uint64_t kPieceBytes = 1 << 20;
  struct Md5;

  io::World& world_;
  io::File& file_;
  uint64_t offset_, end_;
  UploadProgress& progress_;
  std::unique_ptr<Md5> md5_;
};

std::string md5_of(std::string_view data);

}  // namespace om::transfer
