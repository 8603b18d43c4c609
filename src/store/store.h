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
  model::GgufSummary gguf;            // Of the weights.
  std::vector<std::string> capabilities;  // completion, embedding, vision, tools, thinking, insert.
  bool can(std::string_view capability) const;
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

class Store {
 public:
  // Makes the folders, removes what a crash left behind (unless `prune` is off: also blobs that
  // no manifest names and that are older than an hour).
  static io::Task<Result<std::unique_ptr<Store>>> open(io::World& world, io::Path root, bool prune);
  virtual ~Store() = default;

  virtual const io::Path& root() const = 0;
  virtual io::Path blob_path(const Digest& digest) const = 0;
  virtual Result<uint64_t> blob_size(const Digest& digest) = 0;  // not_found.
  virtual Result<std::string> read_blob(const Digest& digest, uint64_t size_max) = 0;
  virtual io::Task<Result<std::unique_ptr<BlobWriter>>> write_blob() = 0;
  virtual io::Task<Result<Digest>> put_blob(std::string data) = 0;

  virtual Result<std::vector<StoredManifest>> list() = 0;  // Newest first; corrupt ones skipped.
  // Names match without case. not_found: "model 'x' not found".
  virtual Result<StoredManifest> find(const model::Name& name) = 0;
  // find() and its small layers; cached by the manifest's digest.
  virtual Result<std::shared_ptr<const Model>> load(const model::Name& name) = 0;
  // Replaces at once; the name takes the spelling of an existing manifest that differs in case.
  virtual io::Task<Result<void>> put_manifest(const model::Name& name, std::string bytes) = 0;
  virtual io::Task<Result<void>> copy(const model::Name& from, const model::Name& to) = 0;
  // Removes the manifest, then blobs no other manifest names.
  virtual io::Task<Result<void>> remove(const model::Name& name) = 0;
  virtual io::Task<Result<void>> remove_unreferenced(std::vector<Digest> candidates) = 0;
};

}  // namespace om::store
