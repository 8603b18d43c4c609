// The models of the cluster as every part of a node sees them: names from the catalogue, blobs on
// this node's disk.
#pragma once

#include <memory>
#include <string>

#include "cluster/catalogue.h"
#include "store/store.h"

namespace om::cluster {

// On the io thread. References outlive it.
//
// A name means what the catalogue says. A model that only this disk has, because the catalogue was
// not told yet, is seen too. A change is agreed on first, then all nodes see it; or it is refused
// with unavailable and a reason, and nothing has changed.
class ClusterStore final : public store::Store {
 public:
  ClusterStore(io::World& world, store::Store& local, Catalogue& catalogue)
      : world_(world), local_(local), catalogue_(catalogue) {}

  const io::Path& root() const override { return local_.root(); }
  io::Path blob_path(const Digest& digest) const override { return local_.blob_path(digest); }
  Result<uint64_t> blob_size(const Digest& digest) override { return local_.blob_size(digest); }
  Result<std::string> read_blob(const Digest& digest, uint64_t size_max) override {
    return local_.read_blob(digest, size_max);
  }
  io::Task<Result<std::unique_ptr<store::BlobWriter>>> write_blob() override {
    return local_.write_blob();
  }
  io::Task<Result<Digest>> put_blob(std::string data) override {
    return local_.put_blob(std::move(data));
  }
  io::Task<Result<std::unique_ptr<store::Workspace>>> make_workspace() override {
    return local_.make_workspace();
  }
  io::Task<Result<void>> adopt_file(io::Path file, Digest digest) override {
    return local_.adopt_file(std::move(file), digest);
  }
  io::Task<Result<std::unique_ptr<store::PartialBlob>>> open_partial(Digest digest,
                                                                     uint64_t size) override {
    return local_.open_partial(digest, size);
  }
  io::Task<Result<void>> verify(Digest digest) override { return local_.verify(digest); }
  io::Task<Result<void>> remove_blob(Digest digest) override { return local_.remove_blob(digest); }
  io::Task<Result<std::unique_ptr<store::Hold>>> hold(std::vector<Digest> digests) override {
    return local_.hold(std::move(digests));
  }
  io::Task<void> keep_upload(Digest digest) override { return local_.keep_upload(digest); }
  Result<std::vector<Digest>> blobs() override { return local_.blobs(); }
  io::Task<Result<void>> quarantine_blob(Digest digest) override {
    return local_.quarantine_blob(digest);
  }
  io::Task<Result<void>> remove_unreferenced(std::vector<Digest> candidates) override {
    return local_.remove_unreferenced(std::move(candidates));
  }

  io::Task<Result<std::vector<store::StoredManifest>>> list() override;
  Result<store::StoredManifest> find(const model::Name& name) override;
  Result<std::shared_ptr<const store::Model>> load(const model::Name& name) override;
  io::Task<std::vector<Details>> details(std::vector<store::StoredManifest> listed) override;
  Result<std::string> read_manifest(const model::Name& name) override;
  io::Task<void> learn(model::Name name) override;
  io::Task<Result<void>> put_manifest(const model::Name& name, std::string bytes) override;
  io::Task<Result<void>> copy(const model::Name& from, const model::Name& to) override;
  io::Task<Result<void>> remove(const model::Name& name) override;

 private:
  bool has_files(const store::Model& model);
  io::Task<Result<store::Model>> describe(const model::Name& name);
  io::Call call() const { return world_.clock.call_within(metadata::kCallMax); }

  io::World& world_;
  store::Store& local_;
  Catalogue& catalogue_;
};

}  // namespace om::cluster
