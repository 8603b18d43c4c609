// A store for those who need only paths: every blob with an even first byte is there, and empty.
#pragma once

#include "store/store.h"

namespace om::store {

class PathsOnly final : public Store {
 public:
  const io::Path& root() const override { return root_; }
  io::Path blob_path(const Digest& digest) const override {
    return io::join(root_, digest.file_name());
  }
  Result<uint64_t> blob_size(const Digest& digest) override {
    if (digest.bytes[0] % 2 != 0) return nothing();
    return 0;
  }
  Result<std::string> read_blob(const Digest&, uint64_t) override { return nothing(); }
  io::Task<Result<std::unique_ptr<BlobWriter>>> write_blob() override { co_return nothing(); }
  io::Task<Result<Digest>> put_blob(std::string) override { co_return nothing(); }
  io::Task<Result<std::unique_ptr<Workspace>>> make_workspace() override { co_return nothing(); }
  io::Task<Result<void>> adopt_file(io::Path, Digest) override { co_return nothing(); }
  io::Task<Result<std::unique_ptr<PartialBlob>>> open_partial(Digest, uint64_t) override {
    co_return nothing();
  }
  io::Task<Result<void>> verify(Digest) override { co_return nothing(); }
  Result<std::vector<Digest>> blobs() override { return nothing(); }
  io::Task<Result<void>> quarantine_blob(Digest) override { co_return nothing(); }
  io::Task<Result<void>> remove_blob(Digest) override { co_return nothing(); }
  io::Task<Result<std::unique_ptr<Hold>>> hold(std::vector<Digest>) override {
    co_return nothing();
  }
  io::Task<Result<std::vector<StoredManifest>>> list() override { co_return nothing(); }
  io::Task<std::vector<Details>> details(std::vector<StoredManifest>) override {
    co_return std::vector<Details>();
  }
  Result<StoredManifest> find(const model::Name&) override { return nothing(); }
  Result<std::shared_ptr<const Model>> load(const model::Name&) override { return nothing(); }
  Result<std::string> read_manifest(const model::Name&) override { return nothing(); }
  io::Task<Result<void>> put_manifest(const model::Name&, std::string) override {
    co_return nothing();
  }
  io::Task<Result<void>> copy(const model::Name&, const model::Name&) override {
    co_return nothing();
  }
  io::Task<Result<void>> remove(const model::Name&) override { co_return nothing(); }
  io::Task<Result<void>> remove_unreferenced(std::vector<Digest>) override { co_return nothing(); }

 private:
  static std::unexpected<Error> nothing() { return fail(Errc::not_found, "only paths are here"); }
  io::Path root_ = "/blobs";
};

}  // namespace om::store
