// The Store on this machine's disk; what it promises is said in store.h.
#pragma once

#include "base/said_once.h"
#include "store/collector.h"
#include "store/disk_space.h"
#include "store/model_cache.h"
#include "store/store.h"

namespace om::store {

class DiskStore final : public Store {
 public:
  DiskStore(io::World& world, io::Path root);
  io::Task<Result<void>> start(bool prune);

  const io::Path& root() const override { return layout_.root; }
  io::Path blob_path(const Digest& digest) const override { return layout_.blob(digest); }
  Result<uint64_t> blob_size(const Digest& digest) override;
  Result<std::string> read_blob(const Digest& digest, uint64_t size_max) override;
  io::Task<Result<std::unique_ptr<BlobWriter>>> write_blob() override;
  io::Task<Result<Digest>> put_blob(std::string data) override;
  io::Task<Result<std::unique_ptr<Workspace>>> make_workspace() override;
  io::Task<Result<void>> adopt_file(io::Path file, Digest digest) override;
  io::Task<Result<std::unique_ptr<PartialBlob>>> open_partial(Digest digest,
                                                              uint64_t size) override;
  io::Task<Result<void>> verify(Digest digest) override;
  Result<std::vector<Digest>> blobs() override;
  io::Task<Result<void>> quarantine_blob(Digest digest) override;
  io::Task<Result<void>> remove_blob(Digest digest) override;
  io::Task<Result<std::unique_ptr<Hold>>> hold(std::vector<Digest> digests) override;

  io::Task<Result<std::vector<StoredManifest>>> list() override;
  Result<StoredManifest> find(const model::Name& name) override;
  Result<std::shared_ptr<const Model>> load(const model::Name& name) override;
  io::Task<std::vector<Details>> details(std::vector<StoredManifest> listed) override;
  Result<std::string> read_manifest(const model::Name& name) override;
  io::Task<Result<void>> put_manifest(const model::Name& name, std::string bytes) override;
  io::Task<Result<void>> copy(const model::Name& from, const model::Name& to) override;
  io::Task<Result<void>> remove(const model::Name& name) override;
  io::Task<Result<void>> remove_unreferenced(std::vector<Digest> candidates) override;
  io::Task<Result<void>> remove_leftovers() override;
  io::Task<void> keep_upload(Digest digest) override;
  io::Task<Result<bool>> remove_if(const model::Name& name, Digest seen) override;
  io::Task<Result<bool>> replace_if(const model::Name& name, std::optional<Digest> seen,
                                    std::string bytes) override;

  io::Path temporary_path(std::string_view kind);  // In partial/, never used before.

 private:
  // Runs `job` on a worker with the store locked against other processes.
  template <class Job>
  auto locked(Job job) -> io::Task<std::invoke_result_t<Job&>>;
  // On a worker, with the store locked; a manifest that cannot be read is told in the log.
  io::Task<Result<void>> clean(io::Duration unreferenced_age);
  io::Task<Result<void>> prepare();  // Makes the folders and sees that they can be changed.
  Result<StoredManifest> read_stored(const ManifestFile& file);
  struct Listing {
    std::vector<StoredManifest> found;
    std::vector<Error> troubles;
  };
  Result<Listing> read_all();  // On a worker.
  io::Task<Details> read_details(StoredManifest stored);
  io::Task<void> clear(std::vector<Digest> unneeded);  // Of a model that is gone.
  // On a worker, under the lock.
  Result<std::optional<Digest>> meaning_of(const model::Name& name);
  Result<void> require_blobs(const model::Name& name, const std::vector<Digest>& needed);
  Result<void> write_manifest(const model::Name& name, const std::string& bytes,
                              const io::Path& temporary);
  Result<void> remove_manifest(const model::Name& name, std::vector<Digest>& unneeded);

  io::World& world_;
  Layout layout_;
  ModelCache cache_;
  DetailsCache details_;
  SaidOnce bad_manifests_;
  bool prune_ = true;
  uint64_t temporary_count_ = 0;
  Promise::Total promised_ = std::make_shared<std::atomic<uint64_t>>();  // To open partial blobs.
};

}  // namespace om::store
