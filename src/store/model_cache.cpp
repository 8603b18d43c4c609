#include "store/model_cache.h"

namespace om::store {

bool has_weights(io::Filesystem& files, const std::string& path) {
  return path.empty() || files.exists(path);
}

std::shared_ptr<const Model> ModelCache::find(const StoredManifest& stored) {
  for (auto at = models_.begin(); at != models_.end(); ++at) {
    const auto& model = **at;
    if (model.digest != stored.digest || !(model.name == stored.name)) continue;
    if (!has_weights(world_.files, model.weights_path) || model.modified != stored.modified) {
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

DetailsCache::Known DetailsCache::find(const Digest& manifest) const {
  const auto at = known_.find(manifest);
  return at == known_.end() ? Known() : at->second;
}

std::shared_ptr<const ModelDetails> DetailsCache::put(const Digest& manifest, const Model& model) {
  if (known_.size() >= kEntriesMax) known_.clear();
  auto details = std::make_shared<const ModelDetails>(ModelDetails::of(model));
  known_.insert_or_assign(manifest, Known{details, model.weights_path});
  return details;
}

}  // namespace om::store
