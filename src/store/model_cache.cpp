#include "store/model_cache.h"

namespace om::store {
namespace {

bool has_weights(io::World& world, const std::string& path) {
  return path.empty() || world.files.exists(path);
}

}  // namespace

std::shared_ptr<const Model> ModelCache::find(const StoredManifest& stored) {
  for (auto at = models_.begin(); at != models_.end(); ++at) {
    const auto& model = **at;
    if (model.digest != stored.digest || !(model.name == stored.name)) continue;
    if (!has_weights(world_, model.weights_path) || model.modified != stored.modified) {
      models_.erase(at);
      return nullptr;
    }
    models_.splice(models_.begin(), models_, at);
    return models_.front();
  }
  return nullptr;
}

void ModelCache::put(std::shared_ptr<const Model> model) {
  models_.push_front(std::move(model));
  if (models_.size() > kEntriesMax) models_.pop_back();
}

std::shared_ptr<const ModelDetails> DetailsCache::find(const Digest& manifest) {
  const auto at = known_.find(manifest);
  if (at == known_.end()) return nullptr;
  if (has_weights(world_, at->second.weights_path)) return at->second.details;
  known_.erase(at);
  return nullptr;
}

std::shared_ptr<const ModelDetails> DetailsCache::put(const Digest& manifest, const Model& model) {
  if (known_.size() >= kEntriesMax) known_.clear();
  auto details = std::make_shared<const ModelDetails>(ModelDetails::of(model));
  known_.insert_or_assign(manifest, Known{details, model.weights_path});
  return details;
}

}  // namespace om::store
