#include "store/model_loader.h"

#include "model/capabilities.h"
#include "model/json_text.h"
#include "model/messages.h"
#include "store/gguf_file.h"

namespace om::store {
namespace {

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
    auto data = store_.read_blob(layer.digest, kTextBytesMax);
    if (!data) return fail(annotate(data.error(), layer.kind()));
    TRY_VOID(count(data->size()));
    return data;
  }

  // Who may pull chooses how many there are, and whoever lists models reads them all.
  Result<void> count(uint64_t text_bytes) {
    layers_++;
    text_bytes_ += text_bytes;
    if (layers_ <= kLayersReadMax && text_bytes_ <= kTextsBytesMax) return {};
    return fail(Errc::corrupt, "{}: more than {} layers to read, or {} MiB of text",
                model_.name.shortest(), kLayersReadMax, kTextsBytesMax >> 20);
  }

  Result<void> take_path(const model::Layer& layer, std::vector<std::string>& into) {
    TRY_VOID(count(0));
    into.push_back(store_.blob_path(layer.digest));
    return {};
  }

  Result<void> take_weights(const model::Layer& layer) {
    if (!model_.weights_path.empty()) return {};  // The first one counts, as in Ollama.
    model_.weights = layer.digest;
    model_.weights_path = store_.blob_path(layer.digest);
    return {};
  }

  Result<void> read_params(const model::Layer& layer) {
    TRY(const std::string data, text(layer));
    TRY(model_.params, model::parse_json_object(data, "layer params"));
    return {};
  }

  Result<void> read_messages(const model::Layer& layer) {
    TRY(const std::string data, text(layer));
    TRY(model_.messages, model::parse_messages(data));
    return {};
  }

  Store& store_;
  Model& model_;
  size_t layers_ = 0;
  uint64_t text_bytes_ = 0;
};

Result<std::vector<std::string>> capabilities_of(io::Filesystem& files, const Model& model) {
  model::CapabilityFacts facts{model.gguf};
  for (const std::string& path : model.projector_paths) {
    TRY(const auto projector, read_gguf_summary(files, path));
    facts.projector_vision = facts.projector_vision || projector.has_vision;
    facts.projector_audio = facts.projector_audio || projector.has_audio;
  }
  facts.renderer = model.config.renderer;
  facts.parser = model.config.parser;
  if (model.template_text) facts.go_template = *model.template_text;
  return model::find_capabilities(facts);
}

}  // namespace

bool Model::can(std::string_view capability) const {
  return std::find(capabilities.begin(), capabilities.end(), capability) != capabilities.end();
}

ModelDetails ModelDetails::of(const Model& model) {
  const model::Config& config = model.config;
  const model::GgufSummary& gguf = model.gguf;
  const auto either = [](const std::string& first, const std::string& second) {
    return first.empty() ? second : first;
  };
  ModelDetails details;
  details.format = config.model_format.empty() ? "gguf" : config.model_format;
  details.family = either(config.model_family, gguf.architecture);
  details.families = config.model_families;
  if (details.families.empty() && !details.family.empty()) {
    details.families.push_back(details.family);
  }
  details.parameter_size = either(config.model_type, gguf.parameter_size);
  details.quantization_level = either(config.file_type, gguf.file_type);
  details.context_length = config.context_length > 0 ? config.context_length : gguf.context_length;
  details.embedding_length =
      config.embedding_length > 0 ? config.embedding_length : gguf.embedding_length;
  details.capabilities = model.capabilities;
  return details;
}

Result<std::shared_ptr<const Model>> read_model(Store& store, io::Filesystem& files,
                                                StoredManifest stored) {
  auto model = std::make_shared<Model>();
  model->name = stored.name;
  model->digest = stored.digest;
  model->modified = stored.modified;
  model->manifest = std::move(stored.manifest);
  if (model->manifest.config.size > 0) {
    TRY(const auto config, store.read_blob(model->manifest.config.digest, kTextBytesMax));
    TRY(model->config, model::Config::parse(config));
  }
  LayerReader reader(store, *model);
  for (const model::Layer& layer : model->manifest.layers) TRY_VOID(reader.read(layer));
  if (model->weights_path.empty()) return model;  // Weights of another format (safetensors).
  auto gguf = read_gguf_summary(files, model->weights_path);
  if (!gguf) return fail(annotate(gguf.error(), model->name.shortest()));
  model->gguf = std::move(*gguf);
  TRY(model->capabilities, capabilities_of(files, *model));
  return model;
}

}  // namespace om::store
