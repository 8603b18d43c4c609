#include "store/model_cache.h"

namespace om::store {

std::shared_ptr<const Model> ModelCache::find(const StoredManifest& stored) {
  for (auto at = models_.begin(); at != models_.end(); ++at) {
    const auto& model = **at;
    if (model.digest != stored.digest || !(model.name == stored.name)) continue;
    const bool is_whole = model.weights_path.empty() || world_.files.exists(model.weights_path);
    if (!is_whole || model.modified != stored.modified) {
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

}  // namespace om::store
