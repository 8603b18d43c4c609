#include "transfer/layer_list.h"

#include "model/json_text.h"
#include "model/options.h"
#include "store/gguf_file.h"
#include "store/model_loader.h"

namespace om::transfer {
namespace {

std::string media_type(std::string_view kind) {
  return std::string(model::kLayerMediaPrefix) + std::string(kind);
}

}  // namespace

io::Task<Result<void>> LayerList::announce(bool is_new, Digest digest) {
  co_return co_await report(
      sink_, fmt::format("{} layer {}", is_new ? "creating new" : "using existing", digest.str()));
}

io::Task<Result<void>> LayerList::add_existing(model::Layer layer) {
  const Digest digest = layer.digest;
  layers_.push_back(std::move(layer));
  co_return co_await announce(false, digest);
}

io::Task<Result<void>> LayerList::add_blob(std::string_view kind, Digest digest, bool is_new) {
  CO_TRY(const uint64_t size, context_.store.blob_size(digest));
  layers_.push_back({media_type(kind), digest, size, ""});
  co_return co_await announce(is_new, digest);
}

io::Task<Result<void>> LayerList::replace_blob(std::string_view kind, Digest digest) {
  CO_TRY(const uint64_t size, context_.store.blob_size(digest));
  for (model::Layer& layer : layers_) {
    if (layer.kind() != kind) continue;
    layer = {media_type(kind), digest, size, ""};
    break;
  }
  co_return co_await announce(true, digest);
}

io::Task<Result<model::Layer>> LayerList::put_text(std::string type, std::string data) {
  model::Layer layer{std::move(type), Digest::of(data), data.size(), ""};
  // One that has changed on the disk is written again.
  const bool is_new = !context_.store.read_blob(layer.digest, data.size());
  if (is_new) {
    CO_TRY(const Digest digest, co_await context_.store.put_blob(std::move(data)));
    layer.digest = digest;
  }
  CO_TRY_VOID(co_await announce(is_new, layer.digest));
  co_return layer;
}

io::Task<Result<void>> LayerList::add_text(std::string_view kind, std::string data) {
  CO_TRY(auto layer, co_await put_text(media_type(kind), std::move(data)));
  layers_.push_back(std::move(layer));
  co_return Result<void>{};
}

void LayerList::remove(std::string_view kind) {
  std::erase_if(layers_, [kind](const model::Layer& layer) { return layer.kind() == kind; });
}

const model::Layer* LayerList::find(std::string_view kind) const {
  for (const model::Layer& layer : layers_) {
    if (layer.kind() == kind) return &layer;
  }
  return nullptr;
}

Result<std::string> LayerList::merged_params(const boost::json::object& changes) {
  if (changes.empty()) return std::string();
  boost::json::object merged;
  if (const model::Layer* before = find("params")) {
    TRY(const std::string text, context_.store.read_blob(before->digest, store::kTextBytesMax));
    TRY(merged, model::parse_json_object(text, "parameters of the base model"));
  }
  for (const auto& [name, value] : changes) merged[name] = value;
  return model::params_to_json(merged);
}

Result<void> LayerList::describe(model::Config& config) {
  std::vector<std::string> families;
  bool described = false;
  for (const model::Layer& layer : layers_) {
    const auto kind = layer.kind();
    if (kind != "model" && kind != "projector" && kind != "adapter") continue;
    TRY(const auto summary,
        store::read_gguf_summary(context_.world.files, context_.store.blob_path(layer.digest)));
    if (std::find(families.begin(), families.end(), summary.architecture) == families.end()) {
      families.push_back(summary.architecture);
    }
    if (kind != "model" || described) continue;
    described = true;
    config.model_format = "gguf";
    config.model_family = summary.architecture;
    config.model_type = summary.parameter_size;
    config.file_type = summary.file_type;
    config.context_length = summary.context_length;
    config.embedding_length = summary.embedding_length;
  }
  if (described) config.model_families = std::move(families);
  return {};
}

io::Task<Result<model::Manifest>> LayerList::manifest(std::string config_json) {
  model::Manifest manifest;
  CO_TRY(manifest.config,
         co_await put_text(std::string(model::kConfigMediaType), std::move(config_json)));
  manifest.layers = layers_;
  co_return manifest;
}

}  // namespace om::transfer
