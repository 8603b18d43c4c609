// Part of a file as the streamed body of a request.
#pragma once

#include <memory>
#include <string>

#include "io/world.h"
#include "transfer/context.h"

namespace om::transfer {

// Tells how much of a blob has gone out, at most every 60 ms.
class UploadProgress {
 public:
  UploadProgress(io::Clock& clock, const ProgressSink& sink, Digest digest, uint64_t total);
  io::Task<Result<void>> sent(uint64_t count);  // Since the last call.
  io::Task<Result<void>> tell();
  void restart_at(uint64_t completed) { completed_ = completed; }

 private:
  io::Clock& clock_;
  const ProgressSink& sink_;
  Digest digest_;
  uint64_t total_, completed_ = 0;
  io::TimePoint next_{};
};

// Bytes offset..offset+length of a file, read on the workers, with their MD5 (registries that hand
// uploads to an object store compare it). Lives until the request is answered.
class FileBody {
 public:
  FileBody(io::World& world, io::File& file, uint64_t offset, uint64_t length,
           UploadProgress& progress);
  ~FileBody();

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
