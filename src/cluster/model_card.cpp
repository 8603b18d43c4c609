#include "cluster/model_card.h"

#include "base/json_fields.h"
#include "base/utf8.h"
#include "model/json_text.h"
#include "model/messages.h"
#include "store/gguf_file.h"

namespace om::cluster {
namespace {

namespace json = boost::json;

// Every scalar of a GgufSummary under its name, for one function that writes and one that reads.
template <class Summary, class Each>
void each_field(Summary& gguf, Each&& each) {
  each("architecture", gguf.architecture);
  each("name", gguf.name);
  each("file_type", gguf.file_type);
  each("parameter_size", gguf.parameter_size);
  each("chat_template", gguf.chat_template);
  each("chat_template_tools", gguf.chat_template_tools);
  each("bos_token", gguf.bos_token);
  each("eos_token", gguf.eos_token);
  each("add_bos", gguf.add_bos);
  each("add_eos", gguf.add_eos);
  each("has_pooling", gguf.has_pooling);
  each("has_vision", gguf.has_vision);
  each("has_audio", gguf.has_audio);
  each("block_count", gguf.block_count);
  each("context_length", gguf.context_length);
  each("embedding_length", gguf.embedding_length);
  each("parameter_count", gguf.parameter_count);
  each("type", gguf.type);
  each("pooling_type", gguf.pooling_type);
  each("head_count", gguf.head_count);
  each("feed_forward_length", gguf.feed_forward_length);
  each("vocabulary_size", gguf.vocabulary_size);
  each("expert_count", gguf.expert_count);
  each("sliding_window", gguf.sliding_window);
  each("split_count", gguf.split_count);
  each("state_bytes", gguf.state_bytes);
  each("tensor_bytes", gguf.tensor_bytes);
  each("input_bytes", gguf.input_bytes);
  each("output_bytes", gguf.output_bytes);
  each("block_bytes_max", gguf.block_bytes_max);
  each("repack_bytes", gguf.repack_bytes);
  each("query_width", gguf.query_width);
  each("expert_used_count", gguf.expert_used_count);
  each("expert_feed_forward_length", gguf.expert_feed_forward_length);
}

json::object write_gguf(const model::GgufSummary& gguf) {
  json::object object;
  each_field(gguf, [&object](std::string_view name, const auto& value) { object[name] = value; });
  json::array layers;
  for (const model::GgufCacheLayer& layer : gguf.cache_layers) {
    layers.push_back(json::array{layer.key_width, layer.value_width, layer.sliding});
  }
  object["cache_layers"] = std::move(layers);
  return object;
}

model::GgufSummary read_gguf(const json::object& object) {
  model::GgufSummary gguf;
  const JsonFields fields(object);
  each_field(gguf, [&fields](std::string_view name, auto& value) { fields.read(name, value); });
  const json::array* layers = fields.array("cache_layers");
  if (!layers) return gguf;
  for (const json::value& value : *layers) {
    const json::array* parts = value.if_array();
    if (!parts || parts->size() < 3 || !(*parts)[0].is_number() || !(*parts)[1].is_number()) {
      continue;
    }
    model::GgufCacheLayer& layer = gguf.cache_layers.emplace_back();
    boost::system::error_code inexact;
    layer.key_width = (*parts)[0].to_number<uint64_t>(inexact);
    layer.value_width = (*parts)[1].to_number<uint64_t>(inexact);
    layer.sliding = (*parts)[2].is_bool() && (*parts)[2].get_bool();
  }
  return gguf;
}

void set_paths(store::Model& model, const store::Store& store) {
  for (const model::Layer& layer : model.manifest.layers) {
    const std::string_view kind = layer.kind();
    io::Path path = store.blob_path(layer.digest);
    if (kind == "model" && model.weights_path.empty()) {
      model.weights = layer.digest;
      model.weights_path = std::move(path);
    } else if (kind == "projector") {
      model.projector_paths.push_back(std::move(path));
    } else if (kind == "adapter") {
      model.adapter_paths.push_back(std::move(path));
    } else if (kind == "draft") {
      model.draft_path = std::move(path);
    }
  }
}

}  // namespace

Result<store::Model> with_headers(io::Filesystem& files, store::Model model) {
  const auto read = [&files](const io::Path& path) -> Result<json::object> {
    TRY(const auto file, store::GgufFile::open(files, path));
    TRY(const model::Gguf gguf, model::read_gguf(*file));
    return gguf.model_info(false);
  };
  if (!model.weights_path.empty()) {
    TRY(model.model_info, read(model.weights_path));
  }
  if (!model.projector_paths.empty()) {
    TRY(model.projector_info, read(model.projector_paths.front()));
  }
  return model;
}

Result<std::string> write_card(const store::Model& model, std::string_view manifest,
                               std::string_view by) {
  json::object object{{"name", model.name.str()},
                      {"manifest", manifest},
                      {"by", by},
                      {"modified_ns", model.modified.time_since_epoch().count()},
                      {"config", model.config.to_json()},
                      {"system", model.system},
                      {"params", model.params},
                      {"messages", model::messages_to_json(model.messages)},
                      {"capabilities", json_texts(model.capabilities)},
                      {"gguf", write_gguf(model.gguf)}};
  if (model.template_text) object["template"] = *model.template_text;
  if (model.model_info) object["model_info"] = *model.model_info;
  if (model.projector_info) object["projector_info"] = *model.projector_info;
  // A model's file may hold anything; whoever reads the card wants UTF-8.
  std::string text = utf8_repaired(json::serialize(object));
  json::array licenses = json_texts(model.licenses);
  if (text.size() + json::serialize(licenses).size() <= kCardBytesMax) {
    object["licenses"] = std::move(licenses);
    text = utf8_repaired(json::serialize(object));
  }
  if (text.size() > kCardBytesMax) {
    return fail(
        Errc::overloaded,
        "{}: template, system and messages together take {} bytes; a cluster keeps up to {}",
        model.name.shortest(), text.size(), kCardBytesMax);
  }
  return text;
}

Result<Card> read_card(std::string_view text, const store::Store& store) {
  TRY(const json::object object, model::parse_json_object(text, "model card"));
  const JsonFields fields(object);
  Card card;
  fields.read("manifest", card.manifest);
  fields.read("by", card.by);
  auto model = std::make_shared<store::Model>();
  TRY(model->name, model::Name::parse(fields.text("name")));
  TRY(model->manifest, model::Manifest::parse(card.manifest));
  model->digest = Digest::of(card.manifest);
  int64_t modified_ns = 0;
  fields.read("modified_ns", modified_ns);
  model->modified = io::WallTime(io::Duration(modified_ns));
  TRY(model->config, model::Config::parse(fields.text("config")));
  fields.read("system", model->system);
  std::optional<std::string> own_template;
  fields.read("template", own_template);
  model->template_text = std::move(own_template);
  if (const json::object* params = fields.object("params")) model->params = *params;
  if (const std::string messages = fields.text("messages"); !messages.empty()) {
    TRY(model->messages, model::parse_messages(messages));
  }
  model->licenses = fields.texts("licenses");
  model->capabilities = fields.texts("capabilities");
  if (const json::object* gguf = fields.object("gguf")) model->gguf = read_gguf(*gguf);
  if (const json::object* info = fields.object("model_info")) model->model_info = *info;
  if (const json::object* info = fields.object("projector_info")) model->projector_info = *info;
  set_paths(*model, store);
  card.model = std::move(model);
  return card;
}

}  // namespace om::cluster
