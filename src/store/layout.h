// Where things lie in a models folder. manifests/ and blobs/ are Ollama's; partial/ is ours, holds
// everything unfinished, and is never looked at by Ollama (which deletes foreign names in blobs/).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/digest.h"
#include "io/filesystem.h"
#include "model/name.h"

namespace om::store {

inline constexpr std::string_view kChunkListSuffix = ".chunks";

struct Layout {
  io::Path root;

  io::Path blobs() const { return io::join(root, "blobs"); }
  io::Path manifests() const { return io::join(root, "manifests"); }
  io::Path partial() const { return io::join(root, "partial"); }
  io::Path lock_file() const { return io::join(partial(), "lock"); }
  io::Path blob(const Digest& digest) const { return io::join(blobs(), digest.file_name()); }
  io::Path rotten(const Digest& digest) const {
    return io::join(partial(), digest.file_name() + ".rotten");
  }
  // The digests of the blob's chunks, see transfer/chunk_list.h.
  io::Path chunk_list(const Digest& digest) const {
    return io::join(partial(), digest.file_name() + std::string(kChunkListSuffix));
  }
  io::Path manifest(const model::Name& name) const { return io::join(manifests(), name.path()); }
};

inline constexpr uint64_t kManifestBytesMax = 4 << 20;
inline constexpr size_t kManifestsMax = 100'000;

struct ManifestFile {
  model::Name name;
  io::Path path;
};

// Every file at manifests/HOST/NAMESPACE/MODEL/TAG. Files whose path is no model name are
// counted in `strangers` (an editor's backup, a newer layout); `unseen` is why the first folder
// could not be listed, if one could not: whoever collects must be careful.
struct ManifestFiles {
  std::vector<ManifestFile> files;
  size_t strangers = 0;
  std::optional<Error> unseen;
};
Result<ManifestFiles> list_manifest_files(io::Filesystem& files, const Layout& layout);

// The name with each part in the spelling of what is on disk, where only the case differs.
model::Name spelled_as_stored(io::Filesystem& files, const Layout& layout, model::Name name);

}  // namespace om::store
