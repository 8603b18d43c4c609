#include "store/disk_store.h"

#include "base/log.h"
#include "store/blob_writer.h"
#include "store/disk_hold.h"
#include "store/hash_file.h"
#include "store/model_loader.h"
#include "store/partial_blob.h"

namespace om::store {
namespace {

// partial/work-N and partial/work-N.lock, which is locked while it is in use.
class DiskWorkspace final : public Workspace {
 public:
  DiskWorkspace(io::Filesystem& files, io::Path path, std::unique_ptr<io::File> lock)
      : files_(files), path_(std::move(path)), lock_(std::move(lock)) {}
  ~DiskWorkspace() override {
    // What stays is removed by the next start.
    (void)files_.remove_all(path_);
    (void)files_.remove(path_ + std::string(kWorkspaceLockSuffix));
  }
  const io::Path& path() const override { return path_; }

 private:
  io::Filesystem& files_;
  io::Path path_;
  std::unique_ptr<io::File> lock_;
};

// Cutting a file to the length it has tells its system that it was changed now.
Result<void> set_time(io::Filesystem& files, const io::Path& path) {
  TRY(const auto file, files.open(path, io::Filesystem::Open::read_write));
  TRY(const uint64_t size, file->size());
  return file->truncate(size);
}

std::string changed_text(const Digest& digest, const Digest& found) {
  return fmt::format("blob {} has changed on the disk, its bytes hash to {}: pull its model again",
                     digest.str(), found.str());
}

void log_collected(const Collected& collected) {
  if (collected.blobs == 0) return;
  log_info("blobs removed", field("count", collected.blobs), field("bytes", collected.bytes));
}

}  // namespace

io::Task<Result<std::unique_ptr<Store>>> Store::open(io::World& world, io::Path root, bool prune) {
  auto store = std::make_unique<DiskStore>(world, std::move(root));
  CO_TRY_VOID(co_await store->start(prune));
  co_return std::unique_ptr<Store>(std::move(store));
}

io::Task<void> Store::learn(model::Name) { co_return; }

io::Task<void> Store::keep_upload(Digest) { co_return; }

io::Task<Result<void>> Store::remove_leftovers() {
  co_return fail(Errc::unsupported, "not the store of a folder");
}

io::Task<Result<bool>> Store::remove_if(const model::Name&, Digest) {
  co_return fail(Errc::unsupported, "not the store of a folder");
}

io::Task<Result<bool>> Store::replace_if(const model::Name&, std::optional<Digest>, std::string) {
  co_return fail(Errc::unsupported, "not the store of a folder");
}

DiskStore::DiskStore(io::World& world, io::Path root)
    : world_(world), layout_{std::move(root)}, cache_(world) {}

template <class Job>
auto DiskStore::locked(Job job) -> io::Task<std::invoke_result_t<Job&>> {
  auto locked_job = [this, &job]() -> std::invoke_result_t<Job&> {
    TRY(const auto lock, lock_store(world_.files, layout_));
    return job();
  };
  co_return co_await world_.workers.run(std::move(locked_job));
}

io::Task<Result<void>> DiskStore::prepare() {
  for (const io::Path& folder : {layout_.blobs(), layout_.manifests()}) {
    CO_TRY_VOID(world_.files.make_directories(folder));
  }
  auto job = []() -> Result<void> { return {}; };
  co_return co_await locked(std::move(job));
}

io::Task<Result<void>> DiskStore::start(bool prune) {
  prune_ = prune;
  if (const auto prepared = co_await prepare(); !prepared) {
    // A folder that may only be read, such as a shared one, serves what it has.
    const bool can_read =
        world_.files.list(layout_.blobs()) && world_.files.list(layout_.manifests());
    if (!can_read) co_return fail(prepared.error());
    log_warn("models cannot be added here", field("folder", layout_.root),
             field("error", prepared.error()));
    co_return Result<void>{};
  }
  co_return co_await clean(kUnreferencedAgeMin);
}

io::Task<Result<void>> DiskStore::clean(io::Duration unreferenced_age) {
  const io::WallTime now = world_.clock.wall_now();
  std::optional<io::Duration> age;
  if (prune_) age = unreferenced_age;
  auto job = [this, now, age] { return clean_up(world_.files, layout_, now, age); };
  const auto cleaned = co_await locked(std::move(job));
  if (cleaned) {
    log_collected(*cleaned);
  } else if (cleaned.error().code == Errc::corrupt) {
    // As Ollama: who cannot read every manifest must not judge which blobs are needed.
    log_warn("models are not pruned", field("error", cleaned.error()));
  } else {
    co_return fail(cleaned.error());
  }
  co_return Result<void>{};
}

io::Task<Result<void>> DiskStore::remove_leftovers() {
  co_return co_await clean(kUnreferencedAgeRunning);
}

io::Task<void> DiskStore::keep_upload(Digest digest) {
  auto job = [this, digest] { return set_time(world_.files, layout_.blob(digest)); };
  const auto kept = co_await world_.workers.run(std::move(job));
  // In a folder that may only be read nothing is removed either.
  if (!kept) log_debug("blob keeps its old time", field("error", kept.error()));
}

io::Path DiskStore::temporary_path(std::string_view kind) {
  return io::join(layout_.partial(),
                  fmt::format("{}-{}-{}", kind, world_.files.unique_suffix(), ++temporary_count_));
}

Result<uint64_t> DiskStore::blob_size(const Digest& digest) {
  auto info = world_.files.info(layout_.blob(digest));
  if (info) return info->size;
  return fail(std::move(info).error());
}

Result<std::string> DiskStore::read_blob(const Digest& digest, uint64_t size_max) {
  TRY(std::string data, world_.files.read_file(layout_.blob(digest), size_max));
  if (const Digest found = Digest::of(data); found != digest) {
    return fail(Errc::io_failed, "{}", changed_text(digest, found));
  }
  return data;
}

io::Task<Result<std::unique_ptr<BlobWriter>>> DiskStore::write_blob() {
  auto job = [this, path = temporary_path("write")] {
    return DiskBlobWriter::make(world_, layout_, path);
  };
  CO_TRY(auto writer, co_await locked(std::move(job)));
  co_return std::unique_ptr<BlobWriter>(std::move(writer));
}

io::Task<Result<Digest>> DiskStore::put_blob(std::string data) {
  CO_TRY(auto writer, co_await write_blob());
  CO_TRY_VOID(co_await writer->write(std::move(data)));
  co_return co_await writer->finish({});
}

io::Task<Result<std::unique_ptr<Workspace>>> DiskStore::make_workspace() {
  auto job = [this, path = temporary_path("work")]() -> Result<std::unique_ptr<Workspace>> {
    TRY(auto lock, world_.files.open(path + std::string(kWorkspaceLockSuffix),
                                     io::Filesystem::Open::create_new));
    TRY_VOID(lock->lock(true, true));
    auto workspace = std::make_unique<DiskWorkspace>(world_.files, path, std::move(lock));
    TRY_VOID(world_.files.make_directories(path));
    return std::unique_ptr<Workspace>(std::move(workspace));
  };
  co_return co_await locked(std::move(job));
}

io::Task<Result<void>> DiskStore::adopt_file(io::Path file, Digest digest) {
  auto job = [this, &file, digest]() -> Result<void> {
    TRY(auto opened, world_.files.open(file, io::Filesystem::Open::read_write));
    TRY_VOID(opened->sync());
    TRY_VOID(world_.files.rename(file, layout_.blob(digest)));
    return world_.files.sync_directory(layout_.blobs());
  };
  co_return co_await world_.workers.run(std::move(job));
}

io::Task<Result<std::unique_ptr<PartialBlob>>> DiskStore::open_partial(Digest digest,
                                                                       uint64_t size) {
  DiskPartialBlob::Room room{world_.clock.wall_now(), promised_};
  auto job = [this, digest, size, &room] {
    return DiskPartialBlob::open(world_, layout_, digest, size, std::move(room));
  };
  CO_TRY(auto blob, co_await locked(std::move(job)));
  co_return std::unique_ptr<PartialBlob>(std::move(blob));
}

io::Task<Result<void>> DiskStore::verify(Digest digest) {
  CO_TRY(const Digest found, co_await hash_file(world_, layout_.blob(digest)));
  if (found == digest) co_return Result<void>{};
  co_return fail(Errc::corrupt, "{}", changed_text(digest, found));
}

Result<std::vector<Digest>> DiskStore::blobs() {
  std::vector<Digest> found;
  TRY(const auto names, world_.files.list(layout_.blobs()));
  for (const std::string& name : names) {
    if (const auto digest = Digest::parse(name)) found.push_back(*digest);
  }
  std::ranges::sort(found);
  return found;
}

io::Task<Result<void>> DiskStore::quarantine_blob(Digest digest) {
  auto job = [this, digest]() -> Result<void> {
    // Its week begins now, not when it was written. Without that it only goes earlier.
    if (const auto dated = set_time(world_.files, layout_.blob(digest)); !dated) {
      log_info("blob put aside with its old time", field("error", dated.error()));
    }
    TRY_VOID(world_.files.rename(layout_.blob(digest), layout_.rotten(digest)));
    TRY_VOID(world_.files.sync_directory(layout_.partial()));
    return world_.files.sync_directory(layout_.blobs());
  };
  co_return co_await locked(std::move(job));
}

io::Task<Result<void>> DiskStore::remove_blob(Digest digest) {
  auto job = [this, digest]() -> Result<void> {
    TRY_VOID(world_.files.remove(layout_.blob(digest)));
    return world_.files.sync_directory(layout_.blobs());
  };
  co_return co_await locked(std::move(job));
}

io::Task<Result<std::unique_ptr<Hold>>> DiskStore::hold(std::vector<Digest> digests) {
  auto held = std::make_unique<DiskHold>(world_, layout_, temporary_path("hold"));
  CO_TRY_VOID(co_await held->add(std::move(digests)));
  co_return std::unique_ptr<Hold>(std::move(held));
}

Result<StoredManifest> DiskStore::read_stored(const ManifestFile& file) {
  TRY(const std::string bytes, world_.files.read_file(file.path, kManifestBytesMax));
  TRY(const auto info, world_.files.info(file.path));
  auto manifest = model::Manifest::parse(bytes);
  if (!manifest) return fail(annotate(manifest.error(), file.path));
  return StoredManifest{file.name, Digest::of(bytes), std::move(*manifest), info.modified};
}

Result<DiskStore::Listing> DiskStore::read_all() {
  Listing all;
  TRY(auto manifests, list_manifest_files(world_.files, layout_));
  if (manifests.unseen) all.troubles.push_back(std::move(*manifests.unseen));
  for (const ManifestFile& file : manifests.files) {
    auto stored = read_stored(file);
    if (stored) {
      all.found.push_back(std::move(*stored));
    } else if (stored.error().code != Errc::not_found) {  // Removed in between is no trouble.
      all.troubles.push_back(std::move(stored).error());
    }
  }
  std::ranges::sort(all.found, [](const auto& a, const auto& b) {
    return a.modified != b.modified ? a.modified > b.modified : a.name.str() < b.name.str();
  });
  return all;
}

io::Task<Result<std::vector<StoredManifest>>> DiskStore::list() {
  auto job = [this] { return read_all(); };
  CO_TRY(auto all, co_await world_.workers.run(std::move(job)));
  for (const Error& trouble : all.troubles) {
    if (!bad_manifests_.is_new(trouble.what)) continue;
    log_warn("left out of the list of models", field("error", trouble));
  }
  bad_manifests_.end_look();
  co_return std::move(all.found);
}

Result<StoredManifest> DiskStore::find(const model::Name& name) {
  const model::Name stored = spelled_as_stored(world_.files, layout_, name);
  auto found = read_stored({stored, layout_.manifest(stored)});
  if (!found && found.error().code == Errc::not_found) {
    return fail(Errc::not_found, "model '{}' not found", name.shortest());
  }
  return found;
}

Result<std::string> DiskStore::read_manifest(const model::Name& name) {
  const model::Name stored = spelled_as_stored(world_.files, layout_, name);
  auto bytes = world_.files.read_file(layout_.manifest(stored), kManifestBytesMax);
  if (!bytes && bytes.error().code == Errc::not_found) {
    return fail(Errc::not_found, "model '{}' not found", name.shortest());
  }
  return bytes;
}

Result<std::shared_ptr<const Model>> DiskStore::load(const model::Name& name) {
  TRY(auto stored, find(name));
  if (auto cached = cache_.find(stored)) return cached;
  TRY(auto model, read_model(*this, world_.files, std::move(stored)));
  cache_.put(model);
  return model;
}

io::Task<Store::Details> DiskStore::read_details(StoredManifest stored) {
  const Digest manifest = stored.digest;
  auto job = [this, &stored] { return read_model(*this, world_.files, std::move(stored)); };
  CO_TRY(const auto model, co_await world_.workers.run(std::move(job)));
  co_return details_.put(manifest, *model);
}

io::Task<std::vector<Store::Details>> DiskStore::details(std::vector<StoredManifest> listed) {
  std::vector<DetailsCache::Known> known(listed.size());
  for (size_t i = 0; i < listed.size(); i++) known[i] = details_.find(listed[i].digest);
  // One job for all that were read before: only whether their weights are still there.
  auto look = [&files = world_.files, known = std::move(known)]() mutable {
    for (DetailsCache::Known& model : known) {
      if (!has_weights(files, model.weights_path)) model.details.reset();
    }
    return std::move(known);
  };
  known = co_await world_.workers.run(std::move(look));
  std::vector<Details> all;
  all.reserve(listed.size());
  for (size_t i = 0; i < listed.size(); i++) {
    if (known[i].details) {
      all.emplace_back(std::move(known[i].details));
    } else {
      all.push_back(co_await read_details(std::move(listed[i])));
    }
  }
  co_return all;
}

Result<void> DiskStore::write_manifest(const model::Name& name, const std::string& bytes,
                                       const io::Path& temporary) {
  const model::Name stored = spelled_as_stored(world_.files, layout_, name);
  const io::Path path = layout_.manifest(stored);
  auto written = [&]() -> Result<void> {
    TRY(auto file, world_.files.open(temporary, io::Filesystem::Open::create_new));
    TRY_VOID(file->write_at(0, bytes));
    TRY_VOID(file->sync());
    TRY_VOID(world_.files.make_directories(io::parent(path)));
    TRY_VOID(world_.files.rename(temporary, path));
    // New folders are entries of their parents, up to manifests/.
    for (io::Path folder = io::parent(path); folder.size() >= layout_.manifests().size();
         folder = io::parent(folder)) {
      TRY_VOID(world_.files.sync_directory(folder));
    }
    return {};
  }();
  if (written) return written;
  (void)world_.files.remove(temporary);  // The first error is the one to tell.
  return fail(explain_write_error(world_.files, layout_.root, written.error(), bytes.size()));
}

Result<void> DiskStore::require_blobs(const model::Name& name, const std::vector<Digest>& needed) {
  for (const Digest& digest : needed) {
    if (world_.files.exists(layout_.blob(digest))) continue;
    return fail(Errc::not_found, "{}: blob {} is not here", name.shortest(), digest.str());
  }
  return {};
}

io::Task<Result<void>> DiskStore::put_manifest(const model::Name& name, std::string bytes) {
  CO_TRY(const auto manifest, model::Manifest::parse(bytes));
  auto job = [this, name, bytes = std::move(bytes), needed = manifest.digests(),
              temporary = temporary_path("manifest")]() -> Result<void> {
    TRY_VOID(require_blobs(name, needed));
    return write_manifest(name, bytes, temporary);
  };
  co_return co_await locked(std::move(job));
}

Result<std::optional<Digest>> DiskStore::meaning_of(const model::Name& name) {
  const auto stored = find(name);
  if (stored) return stored->digest;
  const Errc code = stored.error().code;
  if (code == Errc::not_found || code == Errc::corrupt) return std::nullopt;
  return fail(stored.error());
}

io::Task<Result<bool>> DiskStore::replace_if(const model::Name& name, std::optional<Digest> seen,
                                             std::string bytes) {
  CO_TRY(const auto manifest, model::Manifest::parse(bytes));
  auto job = [this, name, seen, bytes = std::move(bytes), needed = manifest.digests(),
              temporary = temporary_path("manifest")]() -> Result<bool> {
    TRY(const auto now, meaning_of(name));
    if (now != seen) return false;
    TRY_VOID(require_blobs(name, needed));
    TRY_VOID(write_manifest(name, bytes, temporary));
    return true;
  };
  co_return co_await locked(std::move(job));
}

io::Task<Result<void>> DiskStore::copy(const model::Name& from, const model::Name& to) {
  auto job = [this, from, to, temporary = temporary_path("manifest")]() -> Result<void> {
    TRY(const std::string bytes, read_manifest(from));
    return write_manifest(to, bytes, temporary);
  };
  co_return co_await locked(std::move(job));
}

Result<void> DiskStore::remove_manifest(const model::Name& name, std::vector<Digest>& unneeded) {
  const model::Name stored = spelled_as_stored(world_.files, layout_, name);
  const io::Path path = layout_.manifest(stored);
  auto bytes = world_.files.read_file(path, kManifestBytesMax);
  if (!bytes) {
    if (bytes.error().code != Errc::not_found) return fail(bytes.error());
    return fail(Errc::not_found, "model '{}' not found", name.shortest());
  }
  // A corrupt manifest can be removed too; then nobody knows which blobs it named.
  if (const auto manifest = model::Manifest::parse(*bytes)) unneeded = manifest->digests();
  TRY_VOID(world_.files.remove(path));
  io::Path folder = io::parent(path);
  TRY_VOID(world_.files.sync_directory(folder));
  while (folder.size() > layout_.manifests().size()) {
    if (!world_.files.remove(folder)) break;  // Not empty.
    folder = io::parent(folder);
  }
  return world_.files.sync_directory(folder);
}

io::Task<void> DiskStore::clear(std::vector<Digest> unneeded) {
  auto job = [this, &unneeded] { return collect(world_.files, layout_, unneeded); };
  const auto collected = co_await locked(std::move(job));
  if (collected) {
    log_collected(*collected);
  } else {
    // The model is gone, as was asked; remove_leftovers() looks for its blobs again.
    log_warn("unused blobs are kept", field("error", collected.error()));
  }
}

io::Task<Result<void>> DiskStore::remove(const model::Name& name) {
  std::vector<Digest> unneeded;
  auto job = [this, name, &unneeded] { return remove_manifest(name, unneeded); };
  CO_TRY_VOID(co_await locked(std::move(job)));
  co_await clear(std::move(unneeded));
  co_return Result<void>{};
}

io::Task<Result<bool>> DiskStore::remove_if(const model::Name& name, Digest seen) {
  std::vector<Digest> unneeded;
  auto job = [this, name, seen, &unneeded]() -> Result<bool> {
    TRY(const auto now, meaning_of(name));
    if (now != seen) return false;
    TRY_VOID(remove_manifest(name, unneeded));
    return true;
  };
  CO_TRY(const bool removed, co_await locked(std::move(job)));
  co_await clear(std::move(unneeded));
  co_return removed;
}

io::Task<Result<void>> DiskStore::remove_unreferenced(std::vector<Digest> candidates) {
  auto job = [this, &candidates] { return collect(world_.files, layout_, candidates); };
  CO_TRY(const auto collected, co_await locked(std::move(job)));
  log_collected(collected);
  co_return Result<void>{};
}

}  // namespace om::store
