#include "model/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <tuple>

#include "model/json_text.h"

namespace om::model {
namespace {

constexpr size_t kLayersMax = 100'000;
constexpr uint64_t kLayerBytesMax = uint64_t{1} << 46;  // So that the sum cannot overflow.
static_assert(kLayerBytesMax <= UINT64_MAX / (kLayersMax + 1));

std::string string_or_empty(const boost::json::object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  return value && value->is_string() ? std::string(value->get_string()) : std::string();
}

Result<Layer> parse_layer(const boost::json::value& value) {
  const auto* object = value.if_object();
  if (!object) return fail(Errc::corrupt, "manifest: a layer is not an object");
  Layer layer;
  layer.media_type = string_or_empty(*object, "mediaType");
  layer.from = string_or_empty(*object, "from");
  auto digest = Digest::parse(string_or_empty(*object, "digest"));
  if (!digest) return fail(Errc::corrupt, "manifest: {}", digest.error().what);
  layer.digest = *digest;
  const auto* size = object->if_contains("size");
  if (!size || !size->is_number()) return fail(Errc::corrupt, "manifest: a layer has no size");
  boost::system::error_code error;
  layer.size = size->to_number<uint64_t>(error);
  if (error || layer.size > kLayerBytesMax) {
    return fail(Errc::corrupt, "manifest: the size of layer {} is impossible", layer.digest.str());
  }
  return layer;
}

void write_layer(std::string& out, const Layer& layer) {
  out += R"({"mediaType":)";
  write_json_string(out, layer.media_type);
  out += fmt::format(R"(,"digest":"{}","size":{})", layer.digest.str(), layer.size);
  if (!layer.from.empty()) {
    out += R"(,"from":)";
    write_json_string(out, layer.from);
  }
  out += '}';
}

}  // namespace

std::string_view Layer::kind() const {
  std::string_view type = media_type;
  if (!type.starts_with(kLayerMediaPrefix)) return type;
  type.remove_prefix(kLayerMediaPrefix.size());
  return type == "prompt" ? "template" : type;
}

Result<Manifest> Manifest::parse(std::string_view json) {
  TRY(auto object, parse_json_object(json, "manifest"));
  Manifest manifest;
  const auto* config = object.if_contains("config");
  if (!config) return fail(Errc::corrupt, "manifest: config is missing");
  TRY(manifest.config, parse_layer(*config));
  const auto* layers = object.if_contains("layers");
  if (!layers || layers->is_null()) return manifest;
  if (!layers->is_array()) return fail(Errc::corrupt, "manifest: layers is not a list");
  if (layers->get_array().size() > kLayersMax) {
    return fail(Errc::corrupt, "manifest: more than {} layers", kLayersMax);
  }
  // One that is named again counts once: each is read, and some bytes more here would be megabytes
  // more in memory.
  std::set<std::tuple<std::string, Digest, uint64_t>> known;
  for (const auto& value : layers->get_array()) {
    TRY(auto layer, parse_layer(value));
    const bool is_new = known.emplace(layer.media_type, layer.digest, layer.size).second;
    if (is_new) manifest.layers.push_back(std::move(layer));
  }
  return manifest;
}

std::string Manifest::to_json() const {
  std::string out = R"({"schemaVersion":2,"mediaType":)";
  write_json_string(out, kManifestMediaType);
  out += R"(,"config":)";
  write_layer(out, config);
  out += R"(,"layers":[)";
  for (const Layer& layer : layers) {
    if (&layer != &layers.front()) out += ',';
    write_layer(out, layer);
  }
  return out + "]}\n";
}

uint64_t Manifest::total_size() const {
  uint64_t total = config.size;
  for (const Layer& layer : layers) total += layer.size;
  return total;
}

const Layer* Manifest::find(std::string_view kind) const {
  for (const Layer& layer : layers) {
    if (layer.kind() == kind) return &layer;
  }
  return nullptr;
}

std::vector<Layer> Manifest::blobs() const {
  std::vector<Layer> blobs = layers;
  blobs.push_back(config);
  // One that is named with two sizes stays twice: no file has both, and such a model is not whole.
  std::set<std::pair<Digest, uint64_t>> seen;
  std::erase_if(
      blobs, [&seen](const Layer& blob) { return !seen.emplace(blob.digest, blob.size).second; });
  return blobs;
}

std::vector<Digest> Manifest::digests() const {
  std::vector<Digest> digests;
  for (const Layer& blob : blobs()) digests.push_back(blob.digest);
  return digests;
}

Digest Manifest::runner_key() const {
  const Layer* weights = find("model");
  if (weights == nullptr) return {};
  std::vector<std::string> beside;
  for (const Layer& layer : layers) {
    const std::string_view kind = layer.kind();
    if (kind == "adapter" || kind == "projector" || kind == "draft") {
      beside.push_back(fmt::format("{} {}", kind, layer.digest.hex()));
    }
  }
  return model::runner_key(weights->digest, std::move(beside));
}

Digest runner_key(const Digest& weights, std::vector<std::string> beside) {
  if (beside.empty()) return weights;
  std::ranges::sort(beside);
  std::string all = weights.hex();
  for (const std::string& one : beside) all += "\n" + one;
  return Digest::of(all);
}

}  // namespace om::model
