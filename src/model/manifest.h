// What a model consists of, as Ollama's store and registry write it.
#pragma once

#include <boost/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/result.h"

namespace om::model {

inline constexpr std::string_view kManifestMediaType =
    "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view kConfigMediaType =
    "application/vnd.docker.container.image.v1+json";
inline constexpr std::string_view kLayerMediaPrefix = "application/vnd.ollama.image.";

struct Layer {
  std::string media_type;
  Digest digest;
  uint64_t size = 0;
  std::string from;  // Name of the model it was taken from (push mounts it), or empty.

  // "model", "projector", "adapter", "draft", "template" (also for the old "prompt"), "system",
  // "params", "messages", "license", ... or the whole media type if it is not Ollama's.
  std::string_view kind() const;
};

struct Manifest {
  Layer config;
  std::vector<Layer> layers;

  // corrupt: not a manifest, or digests or sizes that cannot be.
  static Result<Manifest> parse(std::string_view json);
  std::string to_json() const;  // With a newline at the end, Ollama's field order.
  uint64_t total_size() const;  // Layers and config.
  const Layer* find(std::string_view kind) const;
  // All files: the layers in their order, the config last. Each once, of whatever kinds it is.
  std::vector<Layer> blobs() const;
  std::vector<Digest> digests() const;  // Theirs.
  Digest runner_key() const;            // See below; zeros without weights.
};

// What tells runners apart, on every node alike: the digest of the weights, or one of all that a
// runner takes. `beside`: kind and digest ("adapter 12ab...") of what lies beside the weights.
Digest runner_key(const Digest& weights, std::vector<std::string> beside);

// The config blob.
struct Config {
  std::string model_format, model_family, model_type, file_type;
  std::vector<std::string> model_families;
  std::string renderer, parser, requires_version, base_name;
  std::vector<std::string> capabilities;
  int64_t context_length = 0, embedding_length = 0;
  boost::json::object other;  // Fields we do not know, kept.

  static Result<Config> parse(std::string_view json);
  std::string to_json() const;
};

}  // namespace om::model
