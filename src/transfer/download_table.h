// The blobs on their way in, shared by all callers that want them.
#pragma once

#include <map>
#include <memory>

#include "io/event.h"
#include "io/task_group.h"
#include "transfer/transfer.h"

namespace om::transfer {

class Registry;

// One blob on its way in, from a source that the derived class knows. On the io thread. run() once;
// it must have ended before this is destroyed: cancel() ends it.
class BlobDownload {
 public:
  BlobDownload(io::World& world, Digest digest, uint64_t size)
      : digest_(digest), size_(size), finished_(world.clock) {}
  virtual ~BlobDownload() = default;

  io::Task<void> run();  // Sets done().
  virtual void cancel() = 0;
  virtual bool cancelled() const = 0;

  const Digest& digest() const { return digest_; }
  uint64_t size() const { return size_; }
  bool done() const { return result_.has_value(); }
  const Result<void>& result() const { return *result_; }
  uint64_t completed() const;
  io::Event& finished() { return finished_; }

  // Of DownloadTable.
  size_t waiters = 0;
  std::shared_ptr<Registry> registry;

 protected:
  virtual io::Task<Result<void>> receive() = 0;  // Until the blob is in the store.
  virtual uint64_t received() const = 0;         // Bytes so far.

 private:
  Digest digest_;
  uint64_t size_;
  std::optional<Result<void>> result_;
  io::Event finished_;
};

// The downloads under way, by digest. One per node, on the io thread.
class DownloadTable {
 public:
  // `registry` is null if only other nodes can have the blob.
  using Make = std::function<std::shared_ptr<BlobDownload>(std::shared_ptr<Registry> registry,
                                                           Digest digest, uint64_t size)>;
  DownloadTable(io::World& world, Make make)
      : world_(world), make_(std::move(make)), tasks_(world.executor, world.clock) {}

  // Waits until the blob is in the store; calls `sink` now and then. The download is cancelled when
  // its last caller leaves. If a download that others began from another registry, or from none,
  // fails, this caller's registry is tried.
  io::Task<Result<void>> fetch(std::shared_ptr<Registry> registry, Digest digest, uint64_t size,
                               const ProgressSink& sink, io::Call call);
  io::Task<void> stop();

 private:
  class Ticket;
  io::Task<std::shared_ptr<BlobDownload>> join(std::shared_ptr<Registry> registry, Digest digest,
                                               uint64_t size);
  io::Task<void> run(std::shared_ptr<BlobDownload> download);
  io::Task<Result<void>> follow(std::shared_ptr<BlobDownload> download, const ProgressSink& sink,
                                io::Call call);

  io::World& world_;
  Make make_;
  std::map<Digest, std::shared_ptr<BlobDownload>> downloads_;
  io::TaskGroup tasks_;
};

}  // namespace om::transfer
