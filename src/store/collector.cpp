#include "store/collector.h"

#include <algorithm>

#include "model/manifest.h"

namespace om::store {
namespace {

constexpr uint64_t kHoldFileBytesMax = 16 << 20;
constexpr std::string_view kHoldPrefix = "hold-";

Result<std::string> read_all(io::File& file, uint64_t size_max) {
  TRY(const uint64_t size, file.size());
  std::string data(std::min(size, size_max), '\0');
  size_t filled = 0;
  while (filled < data.size()) {
    TRY(const size_t count, file.read_at(filled, std::span(data).subspan(filled)));
    if (count == 0) break;
    filled += count;
  }
  data.resize(filled);
  return data;
}

// Those that a crash left announced count only where it is said.
enum class Holds { live, all };

Result<std::set<Digest>> held_blobs(io::Filesystem& files, const Layout& layout, Holds which) {
  std::set<Digest> held;
  TRY(const auto names, files.list(layout.partial()));
  for (const std::string& name : names) {
    const io::Path path = io::join(layout.partial(), name);
    if (!name.starts_with(kHoldPrefix)) continue;
    if (which == Holds::live && !is_locked(files, path)) continue;
    TRY(auto file, files.open(path, io::Filesystem::Open::read));
    TRY(const std::string text, read_all(*file, kHoldFileBytesMax));
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find('\n', at), text.size());
      const auto digest = Digest::parse(std::string_view(text).substr(at, end - at));
      if (digest) held.insert(*digest);
      at = end + 1;
    }
  }
  return held;
}

// corrupt, whatever the disk says: a manifest that cannot be read may name any blob.
Result<std::set<Digest>> named_blobs(io::Filesystem& files, const Layout& layout) {
  std::set<Digest> named;
  const auto cannot_tell = [](const Error& why) { return fail(Errc::corrupt, "{}", why.what); };
  const auto manifests = list_manifest_files(files, layout);
  if (!manifests) return cannot_tell(manifests.error());
  if (manifests->unseen) return cannot_tell(*manifests->unseen);
  if (manifests->strangers > 0) {
    return fail(Errc::corrupt, "{} files in {} are no manifests", manifests->strangers,
                layout.manifests());
  }
  for (const ManifestFile& entry : manifests->files) {
    const auto bytes = files.read_file(entry.path, kManifestBytesMax);
    if (!bytes) return cannot_tell(bytes.error());
    const auto manifest = model::Manifest::parse(*bytes);
    if (!manifest) return cannot_tell(annotate(manifest.error(), entry.path));
    named.insert(manifest->config.digest);
    for (const model::Layer& layer : manifest->layers) named.insert(layer.digest);
  }
  return named;
}

// Removes one blob, counting it; one that is gone already is no error.
Result<void> remove_blob(io::Filesystem& files, const io::Path& path, Collected& collected) {
  const auto info = files.info(path);
  if (!info) return {};
  TRY_VOID(files.remove(path));
  collected.blobs++;
  collected.bytes += info->size;
  return {};
}

// A blob that is whole keeps its list of chunks for good.
bool is_list_of_a_blob(io::Filesystem& files, const Layout& layout, std::string_view name) {
  if (!name.ends_with(kChunkListSuffix)) return false;
  name.remove_suffix(kChunkListSuffix.size());
  return files.exists(io::join(layout.blobs(), name));
}

}  // namespace

bool is_locked(io::Filesystem& files, const io::Path& path) {
  auto file = files.open(path, io::Filesystem::Open::read_write);
  if (!file) return false;
  const auto locked = (*file)->lock(true, false);
  return !locked && locked.error().code == Errc::overloaded;
}

Result<std::set<Digest>> held_now(io::Filesystem& files, const Layout& layout) {
  return held_blobs(files, layout, Holds::live);
}

Result<std::unique_ptr<io::File>> lock_store(io::Filesystem& files, const Layout& layout) {
  TRY_VOID(files.make_directories(layout.partial()));  // Else it says that a file is not there.
  TRY(auto file, files.open(layout.lock_file(), io::Filesystem::Open::create));
  TRY_VOID(file->lock(true, true));
  return file;
}

Result<std::unique_ptr<io::File>> make_hold_file(io::Filesystem& files, const io::Path& path,
                                                 const std::vector<Digest>& digests) {
  TRY(auto file, files.open(path, io::Filesystem::Open::create_new));
  TRY_VOID(file->lock(true, true));
  std::string text;
  for (const Digest& digest : digests) text += digest.str() + "\n";
  TRY_VOID(file->write_at(0, text));
  TRY_VOID(file->sync());
  TRY_VOID(files.sync_directory(io::parent(path)));
  return file;
}

Result<void> clean_partial(io::Filesystem& files, const Layout& layout, io::WallTime now) {
  TRY(const auto names, files.list(layout.partial()));
  for (const std::string& name : names) {
    const io::Path path = io::join(layout.partial(), name);
    if (path == layout.lock_file() || is_locked(files, path)) continue;
    const bool is_kept = name.starts_with("sha256-") || name.starts_with(kHoldPrefix);
    const auto info = files.info(path);
    if (!info || (is_kept && now - info->modified < kPartialAgeMax)) continue;
    if (is_list_of_a_blob(files, layout, name)) continue;
    if (info->is_directory && is_locked(files, path + std::string(kWorkspaceLockSuffix))) continue;
    TRY_VOID(info->is_directory ? files.remove_all(path) : files.remove(path));
  }
  return {};
}

Result<Collected> collect(io::Filesystem& files, const Layout& layout,
                          const std::vector<Digest>& candidates) {
  Collected collected;
  if (candidates.empty()) return collected;
  TRY(const auto named, named_blobs(files, layout));
  TRY(const auto held, held_now(files, layout));
  for (const Digest& digest : candidates) {
    if (named.contains(digest) || held.contains(digest)) continue;
    TRY_VOID(remove_blob(files, layout.blob(digest), collected));
  }
  return collected;
}

Result<Collected> clean_up(io::Filesystem& files, const Layout& layout, io::WallTime now,
                           std::optional<io::Duration> unreferenced_age) {
  Collected collected;
  TRY_VOID(clean_partial(files, layout, now));
  if (!unreferenced_age) return collected;
  TRY(const auto named, named_blobs(files, layout));
  TRY(const auto held, held_blobs(files, layout, Holds::all));
  TRY(const auto blobs, files.list(layout.blobs()));
  for (const std::string& name : blobs) {
    const io::Path path = io::join(layout.blobs(), name);
    const auto info = files.info(path);
    if (!info || info->is_directory) continue;
    // A copy of a models folder that is being made keeps the files' own times, and comes to the
    // manifests last.
    if (now - std::max(info->modified, info->changed) < *unreferenced_age) continue;
    const auto digest = Digest::parse(name);
    if (digest && (named.contains(*digest) || held.contains(*digest))) continue;
    TRY_VOID(remove_blob(files, path, collected));
  }
  return collected;
}

}  // namespace om::store
