#include "store/model_loader.h"

namespace om::store {
namespace {

constexpr uint64_t kTextLayerBytesMax = 16 << 20;

// Where one layer goes in a Model.
class LayerReader {
 public:
  LayerReader(Store& store, Model& model) : store_(store), model_(model) {}

  Result<void> read(const model::Layer& layer) {
    const std::string_view kind = layer.kind();
    if (kind == "model") return take_weights(layer);
    if (kind == "projector") return take_path(layer, model_.projector_paths);
    if (kind == "adapter") return take_path(layer, model_.adapter_paths);
    if (kind == "draft") {
      model_.draft_path = store_.blob_path(layer.digest);
      return {};
    }
    if (kind == "template") {
      TRY(model_.template_text, text(layer));
    } else if (kind == "system") {
      TRY(model_.system, text(layer));
    } else if (kind == "license") {
      TRY(std::string license, text(layer));
      model_.licenses.push_back(std::move(license));
    } else if (kind == "params") {
      return read_params(layer);
    } else if (kind == "messages") {
      return read_messages(layer);
    }
    return {};  // A kind we do not know is somebody else's.
  }

 private:
  Result<std::string> text(const model::Layer& layer) {
    auto data = store_.read_blob(layer.digest, kTextLayerBytesMax);
    if (data) return data;
    return fail(annotate(data.error(), layer.kind()));
  }

  Result<void> take_path(const model::Layer& layer, std::vector<std::string>& into) {
    into.push_back(store_.blob_path(layer.digest));
    return {};
  }

  Result<void> take_weights(const model::Layer& layer) {
    if (!model_.weights_path.empty()) return {};  // The first one counts, as in Ollama.
    model_.weights = layer.digest;
    model_.weights_path = store_.blob_path(layer.digest);
    return {};
  }

  Result<boost::json::value> json(const model::Layer& layer) {
    TRY(const std::string data, text(layer));
    boost::system::error_code error;
    auto value = boost::json::parse(data, error);
    if (!error) return value;
    return fail(Errc::corrupt, "{}: layer {}: {}", model_.name.shortest(), layer.kind(),
                error.message());
  }

  Result<void> read_params(const model::Layer& layer) {
    TRY(auto value, json(layer));
    if (!value.is_object()) return fail(Errc::corrupt, "layer params is not an object");
    model_.params = std::move(value.get_object());
    return {};
  }

  Result<void> read_messages(const model::Layer& layer) {
    TRY(auto value, json(layer));
    if (!value.is_array()) return fail(Errc::corrupt, "layer messages is not a list");
    for (const auto& entry : value.get_array()) {
      const auto* object = entry.if_object();
      if (!object) return fail(Errc::corrupt, "layer messages: an entry is not an object");
      const auto field = [object](std::string_view name) {
        const auto* found = object->if_contains(name);
        return found && found->is_string() ? std::string(found->get_string()) : std::string();
      };
      model::Message message;
      message.role = field("role");
      message.content = field("content");
      model_.messages.push_back(std::move(message));
    }
    return {};
  }

  Store& store_;
  Model& model_;
};

}  // namespace

bool Model::can(std::string_view capability) const {
  return std::find(capabilities.begin(), capabilities.end(), capability) != capabilities.end();
}

Result<std::shared_ptr<const Model>> read_model(Store& store, io::Filesystem& files,
                                                StoredManifest stored) {
  auto model = std::make_shared<Model>();
  model->name = stored.name;
  model->digest = stored.digest;
  model->modified = stored.modified;
  model->manifest = std::move(stored.manifest);
  if (model->manifest.config.size > 0) {
    TRY(const auto config, store.read_blob(model->manifest.config.digest, kTextLayerBytesMax));
    TRY(model->config, model::Config::parse(config));
  }
  LayerReader reader(store, *model);
  for (const model::Layer& layer : model->manifest.layers) TRY_VOID(reader.read(layer));
  (void)files;
  return model;
}

}  // namespace om::store
