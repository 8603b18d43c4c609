// Models on this node's disk, in Ollama's layout: manifests/HOST/NAMESPACE/MODEL/TAG and
// blobs/sha256-<hex>. Several processes may use one folder.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/digest.h"
#include "io/world.h"
#include "model/chat.h"
#include "model/gguf.h"
#include "model/manifest.h"
#include "model/name.h"

namespace om::store {

struct StoredManifest {
  model::Name name;
  Digest digest;  // Of the manifest's bytes.
  model::Manifest manifest;
  io::WallTime modified{};
};

// A model with its small layers read: all that show, generate and chat need. Immutable; shared.
struct Model {
  model::Name name;
  Digest digest;
  model::Manifest manifest;
  model::Config config;
  io::WallTime modified{};

  Digest weights;
  std::string weights_path;
  std::vector<std::string> adapter_paths, projector_paths;
  std::string draft_path;
  std::optional<std::string> template_text;  // Go template layer; absent: the GGUF's jinja is used.
  std::string system;
  boost::json::object params;
  std::vector<model::Message> messages;
  std::vector<std::string> licenses;
  model::GgufSummary gguf;                // Of the weights.
  std::vector<std::string> capabilities;  // completion, embedding, vision, tools, thinking, insert.
  // What `show` tells of the headers, for a model whose files lie elsewhere.
  std::optional<boost::json::object> model_info, projector_info;
  bool can(std::string_view capability) const;
};

// What lists tell of a model: small enough to be kept for each one of a folder.
struct ModelDetails {
  std::string format, family, parameter_size, quantization_level;
  std::vector<std::string> families, capabilities;
  int64_t context_length = 0, embedding_length = 0;

  static ModelDetails of(const Model& model);
};

// Receives one blob. It appears under its digest only after its bytes were hashed, synced and
// renamed into place. Destroying an unfinished writer removes what it wrote.
class BlobWriter {
 public:
  virtual ~BlobWriter() = default;
  virtual io::Task<Result<void>> write(std::string data) = 0;
  // corrupt: `expected` is given and differs (the text says both); nothing is kept.
  virtual io::Task<Result<Digest>> finish(std::optional<Digest> expected) = 0;
};

// Keeps blobs from being collected, by this process or another one, while a manifest that names
// them is in the making. Destroying it lets them go. Take it before looking whether a blob exists.
class Hold {
 public:
  virtual ~Hold() = default;
  virtual io::Task<Result<void>> add(std::vector<Digest> digests) = 0;
};

// A blob that arrives in pieces, in any order, and survives a crash: what sync() has returned for
// is there after open_partial() again. Pieces are blocks of kBlockBytes (the last one may be
// shorter). Used by one coroutine at a time for each block; destroying it keeps what was synced.
class PartialBlob {
 public:
  static constexpr uint64_t kBlockBytes = 1 << 20;

  virtual ~PartialBlob() = default;
  virtual uint64_t size() const = 0;
  virtual size_t block_count() const = 0;
  virtual bool has_block(size_t block) const = 0;
  virtual uint64_t bytes_present() const = 0;
  // Where the blocks can be read while it arrives; the file keeps its bytes when it is renamed.
  virtual const io::Path& path() const = 0;
  // A whole block, at its place. io_failed: the disk is full (says needed and free bytes) or
  // broken.
  virtual io::Task<Result<void>> write_block(size_t block, std::string data) = 0;
  // Every block written before this call survives a crash afterwards.
  virtual io::Task<Result<void>> sync() = 0;
  // These blocks turned out wrong: they are missing again, also after a crash.
  virtual io::Task<Result<void>> forget_blocks(size_t first, size_t end) = 0;
  // With all blocks present: hashes, syncs and renames into place. corrupt: the bytes are not
  // the digest's ("digest mismatch, file must be downloaded again") or cannot be read; everything
  // is removed.
  virtual io::Task<Result<void>> finish() = 0;
  virtual Result<void> discard() = 0;  // Removes it; nothing else may be called afterwards.
};

// A folder of its own for a child program's files, on the same disk as the blobs. Destroying it (or
// a crash and the next start) removes it with everything in it.
class Workspace {
 public:
  virtual ~Workspace() = default;
  virtual const io::Path& path() const = 0;
};

// The models folder as this process sees it. One per node; used from the io thread. The plain
// functions read small files and return at once; the tasks use the workers. A reader sees a model
// whole or not at all, also after a crash in the middle of a write. Errors besides those named:
// io_failed (the disk; a full one with needed and free bytes).
class Store {
 public:
  static constexpr std::chrono::seconds kLearnMax{1};

  // Makes the folders, removes what a crash left behind (unless `prune` is off: also blobs that
  // no manifest names and that are older than an hour). Folders that are there and may only be read
  // are used so, with a warning; then each change fails by itself.
  static io::Task<Result<std::unique_ptr<Store>>> open(io::World& world, io::Path root, bool prune);
  virtual ~Store() = default;

  virtual const io::Path& root() const = 0;
  virtual io::Path blob_path(const Digest& digest) const = 0;
  virtual Result<uint64_t> blob_size(const Digest& digest) = 0;  // not_found.
  // All of a small one. io_failed also: its bytes have changed since it was written. overloaded:
  // it is larger.
  virtual Result<std::string> read_blob(const Digest& digest, uint64_t size_max) = 0;
  virtual io::Task<Result<std::unique_ptr<BlobWriter>>> write_blob() = 0;
  virtual io::Task<Result<Digest>> put_blob(std::string data) = 0;
  virtual io::Task<Result<std::unique_ptr<Workspace>>> make_workspace() = 0;
  // Takes a file of a workspace as a blob by renaming it: synced, but the digest is the caller's
  // word (hash_file() of it).
  virtual io::Task<Result<void>> adopt_file(io::Path file, Digest digest) = 0;
  // Begins or goes on. overloaded: another process or coroutine is receiving this blob.
  virtual io::Task<Result<std::unique_ptr<PartialBlob>>> open_partial(Digest digest,
                                                                      uint64_t size) = 0;
  // Reads the blob again from the disk. corrupt: its bytes have changed; not_found.
  virtual io::Task<Result<void>> verify(Digest digest) = 0;
  // The digests of all blobs, sorted; whether they are sound only verify() tells.
  virtual Result<std::vector<Digest>> blobs() = 0;
  // Takes a blob whose bytes are wrong out of use: it has its name no longer, and its bytes stay in
  // partial/ for a week, for whoever wants to look at them. not_found.
  virtual io::Task<Result<void>> quarantine_blob(Digest digest) = 0;
  virtual io::Task<Result<void>> remove_blob(Digest digest) = 0;  // Whoever names it; not_found.
  virtual io::Task<Result<std::unique_ptr<Hold>>> hold(std::vector<Digest> digests) = 0;

  // Newest first; corrupt ones are skipped, and told in the log once. A worker reads them.
  virtual io::Task<Result<std::vector<StoredManifest>>> list() = 0;
  // Names match without case. not_found: "model 'x' not found".
  virtual Result<StoredManifest> find(const model::Name& name) = 0;
  // find() and its small layers; cached by the manifest's digest.
  virtual Result<std::shared_ptr<const Model>> load(const model::Name& name) = 0;
  // Of those that list() told, in their order. Workers read each once: a folder may hold more
  // models than load() remembers. Errors as of load().
  using Details = Result<std::shared_ptr<const ModelDetails>>;
  virtual io::Task<std::vector<Details>> details(std::vector<StoredManifest> listed) = 0;
  virtual Result<std::string> read_manifest(const model::Name& name) = 0;  // Its bytes, verbatim.
  // For who is about to look a name up: where a cluster agrees on names and this node knows none
  // such, another one may have made it a moment ago. It is asked for, kLearnMax long at most; if
  // nobody answers, what is known stands.
  virtual io::Task<void> learn(model::Name name);
  // Replaces at once; the name takes the spelling of an existing manifest that differs in case.
  // corrupt: not a manifest. not_found: it names a blob that is not here.
  virtual io::Task<Result<void>> put_manifest(const model::Name& name, std::string bytes) = 0;
  virtual io::Task<Result<void>> copy(const model::Name& from, const model::Name& to) = 0;
  // Removes the manifest, then blobs no other manifest names.
  virtual io::Task<Result<void>> remove(const model::Name& name) = 0;
  virtual io::Task<Result<void>> remove_unreferenced(std::vector<Digest> candidates) = 0;
  // As open() does it, for a node that runs for months: what lies in partial/ of no use, or for
  // more than a week, and (unless `prune` is off) blobs that no manifest has named for a day.
  // unsupported: not the store of a folder.
  virtual io::Task<Result<void>> remove_leftovers();
  // An upload that is here already is about to be named: that day begins anew.
  virtual io::Task<void> keep_upload(Digest digest);

  // remove() and put_manifest(), if the name means just what the caller last saw: the manifest of
  // this digest, or nothing (a corrupt manifest is none). It is looked at under the lock of the
  // folder. False: it means something else by now, and nothing was done. unsupported: not the
  // store of a folder.
  virtual io::Task<Result<bool>> remove_if(const model::Name& name, Digest seen);
  virtual io::Task<Result<bool>> replace_if(const model::Name& name, std::optional<Digest> seen,
                                            std::string bytes);
};

}  // namespace om::store
